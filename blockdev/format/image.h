// What images of formats tell of themselves and can do beyond the requests of a node. The node of a
// format is a FormatNode, and one of the others here for each thing that its images have:
//
//   if (auto* const with = dynamic_cast<WithSnapshots*>(&node)) … with->create_snapshot("clean")
//
// Thread: the graph's loop. Errors: those of the node; what a format adds, it says itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "blockdev/format/image_keys.h"
#include "blockdev/host.h"
#include "blockdev/node.h"

namespace vireo::blk {

struct ImageSnapshot {
  std::string id;
  std::string name;
  uint32_t date_seconds = 0;  // since the epoch
  uint32_t date_nanoseconds = 0;
  uint64_t vm_clock_nanoseconds = 0;
  uint64_t vm_state_size = 0;              // bytes
  std::optional<uint64_t> instructions{};  // of a recorded guest
};

struct ImageBitmap {
  std::string name;
  uint64_t granularity = 0;  // bytes of the disk per bit
  bool in_use = false;       // was not closed: its bits mean nothing
  bool automatic = false;    // records what is written
  bool foreign = false;      // of a kind that is not known: only kept
  bool usable() const noexcept { return !in_use && !foreign; }
};
using ImageBitmaps = std::vector<ImageBitmap>;

// What only one format has, by QEMU's names: "refcount bits".
struct ImageDetail {
  std::string_view name;
  std::variant<bool, uint64_t, std::string, ImageBitmaps> value;
};

// What an image says of itself, as far as its header and what that leads to go.
struct ImageFacts {
  uint64_t virtual_size = 0;  // of the disk, in bytes
  uint64_t cluster_size = 0;  // bytes that are allocated at a time; 0: nothing is
  bool encrypted = false;
  bool dirty = false;            // it was not closed
  std::string backing_file{};    // as it is recorded; empty: none
  std::string backing_format{};  // the same
  std::string data_file{};       // the same
  std::vector<ImageSnapshot> snapshots{};
  std::vector<ImageDetail> details{};
};

class FormatNode : public Node {
 public:
  virtual std::string_view format() const noexcept = 0;
  virtual ImageFacts facts() const = 0;
  // What tells where the requests of its file can be stopped; null: nothing does.
  virtual Debugger* file_debugger() noexcept { return debugger(); }
};

class WithSnapshots {
 public:
  virtual Task<std::error_code> create_snapshot(std::string name) = 0;
  // The disk becomes what it was; its size too. By id or name; ENOENT.
  virtual Task<std::error_code> apply_snapshot(std::string id_or_name) = 0;
  virtual Task<std::error_code> delete_snapshot(std::string id_or_name) = 0;

 protected:
  ~WithSnapshots() = default;
};

// Persistent dirty bitmaps.
class WithBitmaps {
 public:
  virtual ImageBitmaps bitmap_list() const = 0;
  // Bytes of a file with such clusters for them, with all their bits stored; nullopt: this image
  // cannot have any.
  virtual std::optional<uint64_t> bitmaps_size(uint64_t cluster_size) const = 0;
  virtual Task<std::error_code> add_bitmap(std::string name, uint64_t granularity) = 0;
  virtual Task<std::error_code> remove_bitmap(std::string name) = 0;
  virtual Task<std::error_code> clear_bitmap(std::string name) = 0;
  virtual Task<std::error_code> enable_bitmap(std::string name, bool enabled) = 0;
  // `from` is a bitmap of `source`, which may be this image. ENOTSUP for one of another format.
  virtual Task<std::error_code> merge_bitmap(std::string name, WithBitmaps& source,
                                             std::string from) = 0;

 protected:
  virtual ~WithBitmaps() = default;
};

class WithBacking {
 public:
  virtual Node* backing() noexcept = 0;  // null: none is open
  // Lets go of all that the disk holds, so that its backing image shows everywhere. What snapshots
  // hold stays.
  virtual Task<std::error_code> clear() = 0;
  // Names another backing image in the header (empty: none); content is the caller's business. The
  // node that is read does not change.
  virtual Task<std::error_code> set_backing(std::string name, std::string format) = 0;

 protected:
  ~WithBacking() = default;
};

// The state of a machine, which lies behind the disk and is not a part of it: `offset` counts from
// state_offset().
class WithState {
 public:
  virtual uint64_t state_offset() const noexcept = 0;
  virtual Task<std::error_code> read_state(uint64_t offset, IoVecs into) = 0;
  virtual Task<std::error_code> write_state(uint64_t offset, IoVecs from) = 0;

 protected:
  ~WithState() = default;
};

// A run of an image's own, with the place that its file has for it, if that can be told.
struct Placement {
  uint64_t length = 0;
  bool allocated = false, data = false, zero = false;  // as in Extent
  std::optional<uint64_t> host{};
};
class WithClusters {
 public:
  virtual uint64_t cluster_size() const noexcept = 0;  // bytes
  // Allocates what is not allocated from `start` to the disk's end.
  virtual Task<std::error_code> preallocate(uint64_t start, Preallocation how,
                                            ProgressFunction progress) = 0;
  // The run at `offset`, up to `length` bytes.
  virtual Task<std::pair<std::error_code, Placement>> placement(uint64_t offset,
                                                                uint64_t length) = 0;

 protected:
  ~WithClusters() = default;
};

enum class Repair : uint8_t { none, leaks, all };

// `errors` are what kept the check from finishing, `corruptions` what can hurt data, `leaks` what
// is allocated and not used.
struct CheckResult {
  uint64_t errors = 0;
  uint64_t corruptions = 0, leaks = 0;
  uint64_t corruptions_fixed = 0, leaks_fixed = 0;
  uint64_t image_end_offset = 0;
  uint64_t total_clusters = 0, allocated_clusters = 0;
  uint64_t fragmented_clusters = 0, compressed_clusters = 0;

  // Nothing that matters is left.
  bool clean() const noexcept { return errors == 0 && corruptions == corruptions_fixed; }
};

class Checkable {
 public:
  virtual Task<CheckResult> check(Repair repair, ProgressFunction progress = {}) = 0;

 protected:
  ~Checkable() = default;
};

class Changeable {
 public:
  // Changes what the image is, by the keys of its format; afterwards it is only closed. Throws
  // ConfigError, before anything changed, for what cannot be. After an error each option is in
  // force or is not. EOVERFLOW: a reference count is too large for the new width.
  virtual Task<std::error_code> change(KeyTexts given, ProgressFunction progress = {}) = 0;

 protected:
  ~Changeable() = default;
};

}  // namespace vireo::blk
