// A qcow2 image as a node of the block graph: versions 2 and 3, read and write, over a file node,
// an optional backing node and an optional external data file node. Specification: the qcow2
// interop document; section names in comments are its.
//
// The parts, each in its file:
//   on_disk, header        what lies where; the first cluster
//   image                  the files and the header of an open image, which all parts share
//   allocator, refcounts   host clusters, their counts, and the order of writes
//   map, slice_cache       from guest to host offsets; tables in memory
//   tables                 both, and flushing; traffic: the requests under way
//   reader, writer         the guest's bytes; compress: packed ones; claims: who writes where
//   snapshots, tree        internal snapshots; bitmap_store: persistent dirty bitmaps
//   resizer, amender, expander, checker, create, open, keys, facts
//                          the whole image: what changes it, makes it and tells of it
// This class lets requests in and out.
//
// Thread: the graph's loop; requests run side by side, operations on the whole image (snapshots,
// resize, check, close) wait until the others are done and keep new ones out meanwhile.
// Errors: those of the nodes below, ENOSPC, EROFS, EIO for a damaged image (which then takes no
// more writes).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blockdev/format/image.h"
#include "blockdev/format/qcow2/amender.h"
#include "blockdev/format/qcow2/bitmap_store.h"
#include "blockdev/format/qcow2/checker.h"
#include "blockdev/format/qcow2/facts.h"
#include "blockdev/format/qcow2/snapshots.h"
#include "blockdev/format/qcow2/writer.h"
#include "blockdev/host.h"
#include "blockdev/reference.h"

namespace vireo::blk {

class Qcow2 final : public FormatNode,
                    public WithSnapshots,
                    public WithBitmaps,
                    public WithBacking,
                    public WithState,
                    public WithClusters,
                    public Checkable,
                    public Changeable {
 public:
  Qcow2(std::unique_ptr<qcow2::Image> image, std::unique_ptr<Node> backing, uint64_t cache_bytes);
  ~Qcow2() override;

  // Reads the tables; for writing, clears what other programs left behind and repairs an image that
  // was not closed (`progress` is told how far). Awaited once before anything else. Throws.
  Task<void> start(bool for_repair, ProgressFunction progress);

  std::string_view format() const noexcept override { return "qcow2"; }
  ImageFacts facts() const override;
  const Limits& limits() const noexcept override { return limits_; }
  Task<std::error_code> read(uint64_t offset, IoVecs into) override;
  // Compressed: whole clusters from the start of one on; what is left behind them is written plain,
  // unless the disk ends there. EINVAL elsewhere, ENOTSUP with a data file.
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags) override;
  Task<std::error_code> flush() override;
  Task<std::error_code> discard(uint64_t offset, uint64_t length) override;
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags) override;
  // Growing reads as zeros. Shrinking gives up what lies beyond.
  Task<std::error_code> resize(uint64_t size) override;
  Task<Extent> extent(uint64_t offset, uint64_t length) override;
  Task<std::error_code> close() override;

  const qcow2::Header& header() const noexcept { return image_->header; }
  Debugger* file_debugger() noexcept override { return image_->file.debugger(); }
  Node* backing() noexcept override { return reader_.backing(); }
  // What the image itself says of the run at `offset`, up to `length` bytes.
  Task<qcow2::Outcome<qcow2::Layout>> layout(uint64_t offset, uint64_t length);
  uint64_t cluster_size() const noexcept override { return image_->geometry.cluster_size(); }
  Task<std::pair<std::error_code, Placement>> placement(uint64_t offset, uint64_t length) override;
  // Allocates what is not allocated from `start` to the disk's end.
  Task<std::error_code> preallocate(uint64_t start, Preallocation how,
                                    ProgressFunction progress) override;

  using Snapshots = std::vector<qcow2::SnapshotInfo>;
  const Snapshots& snapshots() const noexcept { return snapshots_.list(); }
  Task<std::error_code> create_snapshot(std::string name) override;
  Task<std::error_code> apply_snapshot(std::string id_or_name) override;
  Task<std::error_code> delete_snapshot(std::string id_or_name) override;
  // The disk shows what it was then, as long as the image is open; read-only images. By id or name;
  // ENOENT.
  Task<std::error_code> show_snapshot(std::string id_or_name);
  Task<std::error_code> clear() override;

  // Persistent dirty bitmaps: bitmap_store.h says what they do and which errors there are.
  std::vector<qcow2::BitmapInfo> bitmaps() const { return bitmaps_.list(); }
  ImageBitmaps bitmap_list() const override { return qcow2::listed(bitmaps_.list()); }
  std::optional<uint64_t> bitmaps_size(uint64_t cluster_size) const override;
  Task<std::error_code> add_bitmap(std::string name, uint64_t granularity) override;
  Task<std::error_code> remove_bitmap(std::string name) override;
  Task<std::error_code> clear_bitmap(std::string name) override;
  Task<std::error_code> enable_bitmap(std::string name, bool enabled) override;
  Task<std::error_code> merge_bitmap(std::string name, WithBitmaps& source,
                                     std::string from) override;

  // What was never written reads as zeros. ENOTSUP with a data file, EINVAL for parts of the file's
  // blocks, EFBIG for more than the L1 table can map.
  uint64_t state_offset() const noexcept override;
  Task<std::error_code> read_state(uint64_t offset, IoVecs into) override;
  Task<std::error_code> write_state(uint64_t offset, IoVecs from) override;

  Task<CheckResult> check(Repair repair, ProgressFunction progress = {}) override;
  Task<std::error_code> change(KeyTexts given, ProgressFunction progress = {}) override;
  // Changes what the image is; afterwards it is only closed. Throws ConfigError, before anything
  // changed, for what cannot be. After an error each option is in force or is not.
  Task<std::error_code> amend(Qcow2AmendOptions options, ProgressFunction progress = {});
  Task<std::error_code> set_backing(std::string name, std::string format) override;

 private:
  class Alone;
  Task<Alone> enter_alone();
  void update_limits() noexcept;
  Task<std::error_code> write_range(uint64_t offset, IoVecs from, WriteFlags flags,
                                    qcow2::Traffic::Pass& pass);
  Task<std::error_code> change_range(uint64_t offset, IoVecs from, bool compressed);
  Task<std::error_code> compress_range(uint64_t offset, IoVecs from);
  Task<std::error_code> make_space(qcow2::Traffic::Pass& pass);
  Task<std::error_code> after_change(std::error_code error, qcow2::Traffic::Pass& pass);
  Task<void> repair_unclosed(ProgressFunction progress);
  Task<std::error_code> resize_alone(uint64_t size);
  std::error_code check_state(uint64_t offset, uint64_t length) const noexcept;
  Task<std::error_code> amend_all(Qcow2AmendOptions options, ProgressFunction progress);

  std::unique_ptr<qcow2::Image> image_;
  qcow2::Traffic traffic_;
  qcow2::Tables tables_;
  qcow2::Reader reader_;
  qcow2::Writer writer_;
  qcow2::Snapshots snapshots_;
  qcow2::BitmapStore bitmaps_;
  Limits limits_;
  AsyncMutex alone_;
  bool keep_dirty_ = false;  // opened for repair: the dirty bit goes when the repair was done
};

// What the image in `file` says of itself, without opening, changing or believing anything that it
// names. Throws ConfigError or std::system_error that names the image.
Task<ImageFacts> describe_qcow2(std::unique_ptr<Node> file, std::string path);

struct Qcow2Options {
  std::string path;  // of the image: names in it are relative to its directory
  bool read_only = false;
  References references = References::none;  // the files it names that may be opened
  bool probed = false;                       // its format was found by looking
  std::optional<Location> data_file{};       // the user's own, instead of the named one
  bool other_backing = false;                // the opener has a backing image of its own for it
  bool no_backing = false;         // leave the backing image out: what it holds reads as zeros
  std::string snapshot;            // show this internal snapshot; read_only
  bool for_repair = false;         // also open what is marked dirty or corrupt, and leave it so
  std::string backing_format;      // instead of a recorded one
  uint64_t metadata_cache = 0;     // bytes; 0: kDefaultCache
  ProgressFunction progress{};     // of the repair of an image that was not closed; may end it
  std::vector<std::string> chain;  // the images above this one
};

// How the backing image is opened that an image records by this name and format. Throws ConfigError
// when it may not be, or cannot.
ImageReference backing_reference(const Qcow2Options& options, const std::string& name,
                                 const std::string& recorded_format);

inline constexpr uint64_t kQcow2DefaultCache = 32 * 1024 * 1024;
inline constexpr size_t kMaxBackingDepth = 64;

// Opens the image in `file`; `open_reference` opens its backing image and its data file (format
// "raw"). Throws ConfigError or std::system_error that names the image.
Task<std::unique_ptr<Qcow2>> open_qcow2(Host host, std::unique_ptr<Node> file, Qcow2Options options,
                                        OpenReference open_reference);

}  // namespace vireo::blk
