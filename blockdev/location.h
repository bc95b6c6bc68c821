// Where the bytes of an image are: what the image's name says. A value: protocol/protocol.h opens
// it. A further protocol is one more alternative here and one more line there.
//
// Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "blockdev/filter/fault.h"

namespace vireo::blk {

struct Spec;

// Which links a path may go through.
enum class Links : uint8_t {
  all,       // the user's own path
  ordinary,  // a name out of an image: not those of /proc (/dev/stdin, /dev/fd/3) nor its files
  none,      // the file itself is none, either: it lies where the name says
};

// A regular file or a block device of this host.
struct FileLocation {
  std::string path;
  Links links = Links::all;
};

// A disk of so many bytes that reads as zeros and drops what is written.
struct NullLocation {
  uint64_t size = 0;
};

// What another image shows, as if it were a file.
struct NestedLocation {
  std::shared_ptr<const Spec> image;
};

// What meets requests on their way to the bytes: QEMU's blkdebug.
struct Faults {
  std::vector<FaultRule> rules{};
  bool debug = false;  // debugger() tells where requests can be stopped
  FaultLimits limits{};

  bool any() const noexcept { return debug || !rules.empty() || limits.any(); }
};

struct Location {
  using Place = std::variant<FileLocation, NullLocation, NestedLocation>;

  Location() = default;
  Location(std::string path, Links links = Links::all)
      : place(FileLocation{std::move(path), links}) {}
  Location(const char* path) : Location(std::string(path)) {}
  Location(const std::filesystem::path& path) : Location(path.string()) {}
  Location(Place where) : place(std::move(where)) {}

  // For messages, and what names in the image are relative to: the path of the file, that below
  // other images, too.
  std::string name() const;

  Place place{};
  Faults faults{};
};

// Both are there and are the same file, whatever their names.
bool same_file(const Location& one, const Location& other);

}  // namespace vireo::blk
