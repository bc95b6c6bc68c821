// From a description to an open graph.
//
// Thread: opening is awaited on the graph's loop. The format comes from `format`, or from the
// ending of the file's name (.qcow2, .raw, .img) when `format` is empty; only "probe" looks at the
// content. Throws ConfigError or std::system_error naming the file, the cause and what to do.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blockdev/disk.h"
#include "blockdev/filter/throttle.h"
#include "blockdev/format/format.h"
#include "blockdev/format/qcow2/qcow2.h"
#include "blockdev/format/raw.h"
#include "blockdev/host.h"
#include "blockdev/location.h"
#include "blockdev/reference.h"

namespace vireo::blk {

// A Spec's format: what the header says, raw when it says nothing. Such an image opens no file that
// it names, unless the ending of its own name says the same format.
inline constexpr const char* kProbe = "probe";

struct Spec {
  Location location;
  std::string format;  // "raw", "qcow2", empty: by the name's ending, or kProbe
  CacheMode cache = CacheMode::writeback;
  AioMode aio = AioMode::automatic;
  bool read_only = false;
  References references = References::none;  // the files an image names that may be opened
  // Of an image that keeps its data in another file: the user's own, wherever it lies.
  std::optional<Location> data_file{};
  bool snapshot = false;        // writes go to an unlinked file in $TMPDIR and are thrown away
  uint64_t metadata_cache = 0;  // bytes for a format's tables; 0: the format's default
  bool no_backing = false;      // leaves a qcow2's backing image out: its share reads as zeros
  std::string internal;         // shows this internal snapshot of a qcow2; read_only
  ProgressFunction progress{};  // of repairing a qcow2 that was not closed; may end it
  bool for_repair = false;      // opens what is marked dirty or damaged, too, and leaves it so
  bool empty = false;           // a raw image may have no bytes at all
  bool lock = true;             // refuse what another process or machine writes
  RawWindow window{};           // format raw: only this part of the file
  ThrottleRates throttle{};
  std::string backing_format{};         // of the backing image, whatever a qcow2 says
  std::shared_ptr<const Spec> below{};  // the backing image, whatever a qcow2 names itself

  std::string name() const { return location.name(); }
};

// What it is opened as: the given format, else what the ending of its name says. Throws ConfigError
// when neither tells.
std::string format_of(const Spec& spec);

Task<std::unique_ptr<Disk>> open_disk(Host host, std::string name, Spec spec);

// The image's format in the graph of such a disk, below the filters that `spec` put upon it.
FormatNode& format_node(Disk& disk) noexcept;

// What stops the requests of such a disk on their way to its file; null: Faults::debug is not set.
Debugger* debugger(Disk& disk) noexcept;

struct ImageDescription {
  std::string path;  // the name of its location
  std::string format;
  bool probed = false;       // the content says so, and the ending of the name does not
  uint64_t actual_size = 0;  // bytes that the host has set aside for the file itself
  ImageFacts facts{};
};

// Looks at an image and opens nothing that it names, for which reason an empty format means kProbe
// here. Formats that cannot be opened are told, with a virtual size of 0.
Task<ImageDescription> describe_image(Host host, Spec spec);

// What opens the backing image of the image that `spec` opens and `image` describes, which has one.
// Throws ConfigError when spec.references does not let it.
Spec backing_spec(const Spec& spec, const ImageDescription& image);

}  // namespace vireo::blk
