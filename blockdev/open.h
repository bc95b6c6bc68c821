// From a description to an open graph: the only file that names all drivers.
//
// Thread: opening is awaited on the graph's loop. Formats are never guessed: they come from
// `format`, or from the ending of the file's name (.qcow2, .raw, .img) when `format` is empty.
// Throws ConfigError or std::system_error naming the file, the cause and what to do.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "blockdev/disk.h"
#include "blockdev/filter/throttle.h"
#include "blockdev/format/qcow2.h"
#include "blockdev/format/raw.h"
#include "blockdev/host.h"

namespace vireo::blk {

struct Spec {
  std::string path;
  std::string format;  // "raw", "qcow2", or empty: by the name's ending
  CacheMode cache = CacheMode::writeback;
  AioMode aio = AioMode::automatic;
  bool read_only = false;
  bool backing = false;         // may open the backing files an image names
  bool snapshot = false;        // writes go to an unlinked file in $TMPDIR and are thrown away
  uint64_t metadata_cache = 0;  // bytes for a format's tables; 0: the format's default
  bool no_backing = false;      // leaves a qcow2's backing image out: its share reads as zeros
  std::string internal;         // shows this internal snapshot of a qcow2; read_only
  bool for_repair = false;      // opens what is marked dirty or damaged, too, and leaves it so
  bool empty = false;           // a raw image may have no bytes at all
  bool lock = true;             // refuse what another process or machine writes
  RawWindow window{};           // format raw: only this part of the file
  ThrottleRates throttle{};
};

// What it is opened as: the given format, else what the ending of its name says. Throws ConfigError
// when neither tells.
std::string format_of(const Spec& spec);

Task<std::unique_ptr<Disk>> open_disk(Host host, std::string name, Spec spec);

struct ImageDescription {
  std::string path;
  std::string format;
  uint64_t virtual_size = 0;  // of the disk, in bytes
  uint64_t actual_size = 0;   // that the host has set aside for the file itself
  std::optional<Qcow2Description> qcow2{};
};

// Looks at an image and opens nothing that it names, for which reason the format may come from the
// content here: empty, it is qcow2 for what starts like one.
Task<ImageDescription> describe_image(Host host, Spec spec);

}  // namespace vireo::blk
