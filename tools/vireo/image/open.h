// An image that a command works on, from its name on the command line to its closing.
//
// Thread: the session's. Errors: ConfigError and std::system_error naming the image.
#pragma once

#include <memory>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include "blockdev/disk.h"
#include "blockdev/format/image.h"
#include "blockdev/open.h"
#include "tools/vireo/image/session.h"
#include "tools/vireo/options.h"
#include "vmm/base/error.h"

namespace vireo::cli {

// What the user says about an image. Cache words are QEMU's.
struct ImageArguments {
  std::string path;
  std::string format;  // empty: as the name's options or the header say
  std::string cache = "writeback";
  std::string snapshot{};  // an internal one: its id or name, "snapshot.id=1", "snapshot.name=x"
  std::string options{};   // on top of those in the name: "driver=raw,offset=1M"
  std::string aio{};       // empty: as the cache mode wants it
  bool path_is_options = false;  // --image-opts
  bool force_share = false;
};

// The options that most commands have: -f, -U, --image-opts, --object and the positional FILE.
void add_image_options(Options& command, ImageArguments& image, bool file_required = true);

// The word for an image is options, not a name; secrets for the images that need some.
void add_name_options(Options& command, ImageArguments& image);

// `option`, whose text begins with `what`: "Cache of both".
void add_cache_option(Options& command, const std::string& option, std::string& cache,
                      const std::string& what = "Cache");

// -l SNAPSHOT
void add_snapshot_option(Options& command, std::string& snapshot);

// --output=human|json.
void add_output_option(Options& command, std::string& output);

// To be completed by commands with needs of their own (read_only, no_backing, …).
blk::Spec image_spec(const ImageArguments& image);

// What the image says about itself; it is opened for looking only, and nothing that it names.
blk::ImageDescription describe_image(Session& session, const blk::Spec& spec);

// A path on the command line, which may begin with "file:".
std::string local_path(const std::string& name);

// One line on standard error where the header of the image says something else than the ending of
// its name does. `format`: what the header says.
void warn_of_ending(const blk::Spec& spec, const std::string& format);

// An open image; whatever happens, it is closed at the end of its scope.
class Image {
 public:
  Image(Session& session, const blk::Spec& spec);
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  ~Image();

  const std::string& path() const noexcept { return path_; }
  blk::Disk& disk() noexcept { return *disk_; }
  uint64_t size() const noexcept { return disk_->limits().size; }
  blk::FormatNode& node() noexcept { return node_; }
  // What some formats have; null: this one does not.
  template <class With>
  With* find() noexcept {
    return dynamic_cast<With*>(&node_);
  }
  // Throws ConfigError: "'x' is a raw image, which has no <what>".
  template <class With>
  With& need(const std::string& what) {
    if (With* const with = find<With>()) return *with;
    throw ConfigError(
        fmt::format("'{}' is a {} image, which has no {}", path_, node_.format(), what));
  }

  // Flushes and closes; a command that wrote calls it, to be told of errors.
  void close();
  // std::system_error "cannot <do> 'x'" when there is an error.
  void check(std::error_code error, const std::string& action) const;

 private:
  Session& session_;
  std::string path_;
  std::unique_ptr<blk::Disk> disk_;
  blk::FormatNode& node_;
  bool closed_ = false;
};

}  // namespace vireo::cli
