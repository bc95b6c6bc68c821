#include "blockdev/format/qcow2/qcow2.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "blockdev/format/qcow2/keys.h"
#include "blockdev/format/qcow2/resizer.h"

namespace vireo::blk {

using qcow2::Mapping;
using qcow2::Traffic;

namespace {

constexpr size_t kParallelClusters = 16;
constexpr uint64_t kPreallocateStep = 64 * 1024 * 1024;  // bytes of the disk between two looks up

}  // namespace

// Holds the image for one operation: nobody else is inside.
//   const Alone alone = co_await enter_alone();
class Qcow2::Alone {
 public:
  Alone(AsyncMutex::Guard guard, Traffic& traffic) noexcept
      : guard_(std::move(guard)), traffic_(&traffic) {}
  Alone(Alone&& other) noexcept
      : guard_(std::move(other.guard_)), traffic_(std::exchange(other.traffic_, nullptr)) {}
  Alone& operator=(Alone&&) = delete;
  ~Alone() {
    if (traffic_ != nullptr) traffic_->reopen();
  }

 private:
  AsyncMutex::Guard guard_;
  Traffic* traffic_;
};

Task<Qcow2::Alone> Qcow2::enter_alone() {
  AsyncMutex::Guard guard = co_await alone_.lock();
  co_await traffic_.shut();
  co_return Alone(std::move(guard), traffic_);
}

Qcow2::Qcow2(std::unique_ptr<qcow2::Image> image, std::unique_ptr<Node> backing,
             uint64_t cache_bytes)
    : image_(std::move(image)),
      tables_(*image_, traffic_, cache_bytes == 0 ? kQcow2DefaultCache : cache_bytes),
      reader_(*image_, tables_.map, std::move(backing)),
      writer_(*image_, tables_, reader_),
      snapshots_(*image_, tables_),
      bitmaps_(*image_, tables_) {
  update_limits();
}

Qcow2::~Qcow2() = default;

void Qcow2::update_limits() noexcept {
  const auto take = [&](const Node& node) {
    limits_.block = std::max(limits_.block, node.limits().block);
    limits_.buffer_alignment = std::max(limits_.buffer_alignment, node.limits().buffer_alignment);
  };
  take(image_->file.node());
  if (image_->data) take(image_->data->node());
  if (reader_.backing() != nullptr) take(*reader_.backing());
  limits_.size = qcow2::align_down(image_->header.size, limits_.block);
  limits_.optimal_block = static_cast<uint32_t>(image_->geometry.granule());
  limits_.read_only = image_->read_only;
  limits_.can_discard = !image_->read_only;
  limits_.can_zero = !image_->read_only && image_->geometry.zero_flag;
}

Task<void> Qcow2::start(bool for_repair, ProgressFunction progress) {
  std::error_code error = co_await tables_.load();
  if (!error) error = co_await snapshots_.load();
  const uint64_t autoclear = image_->header.autoclear;
  if (!error) error = co_await bitmaps_.load(!image_->read_only && !for_repair);
  if (!image_->read_only) image_->header.clear_unknown_autoclear();
  if (!error && !image_->read_only && image_->header.autoclear != autoclear) {
    error = co_await image_->write_fields();
    if (!error) error = co_await image_->file.flush();
  }
  if (error)
    throw std::system_error(error, fmt::format("cannot read qcow2 image '{}'", image_->name));
  if (!image_->read_only && !for_repair && image_->fixed_overlap())
    error = co_await image_->corrupt("tables that its header names overlap");
  keep_dirty_ = for_repair && image_->header.dirty();
  if (!for_repair && !image_->read_only && image_->header.dirty())
    co_await repair_unclosed(std::move(progress));
}

// The last program to write the image kept refcounts in memory and did not close it ("Dirty bit").
Task<void> Qcow2::repair_unclosed(ProgressFunction progress) {
  image_->host.log.info(
      "qcow2", fmt::format("image '{}' was not closed; counting its clusters", image_->name));
  bool stopped = false;
  ProgressFunction watch = [&](uint64_t done, uint64_t total) {
    stopped = progress && !progress(done, total);
    return !stopped;
  };
  const CheckResult result = co_await check(Repair::all, std::move(watch));
  if (stopped)
    throw std::system_error(std::make_error_code(std::errc::operation_canceled),
                            fmt::format("cannot open qcow2 image '{}'", image_->name));
  if (!result.clean())
    throw ConfigError(fmt::format(
        "qcow2 image '{}' was not closed and its refcounts cannot be repaired; copy it with "
        "'vireo image convert' or open it read-only",
        image_->name));
}

Task<std::error_code> Qcow2::read(uint64_t offset, IoVecs into) {
  while (!traffic_.open()) co_await traffic_.opened();
  const Traffic::Pass pass(traffic_);
  const uint64_t length = total_length(into);
  const std::optional<Mapping> run = tables_.map.find(offset, length);
  if (run && run->length == length && reader_.direct(*run) && !file_debugger())
    co_return co_await image_->guest_file().node().read(run->host, std::move(into));
  co_return co_await reader_.read(offset, std::move(into));
}

Task<std::error_code> Qcow2::write(uint64_t offset, IoVecs from, WriteFlags flags) {
  while (!traffic_.open()) co_await traffic_.opened();
  Traffic::Pass pass(traffic_);
  const uint64_t length = total_length(from);
  bitmaps_.mark(offset, length);
  const std::optional<Mapping> run = tables_.map.find(offset, length);
  if (!flags.fua && !flags.compressed && run && run->length == length && !image_->is_corrupt() &&
      !bitmaps_.heavy() && writer_.overwrites(*run) && !file_debugger())
    co_return co_await image_->guest_file().node().write(run->host, std::move(from), flags);
  co_return co_await write_range(offset, std::move(from), flags, pass);
}

Task<std::error_code> Qcow2::write_range(uint64_t offset, IoVecs from, WriteFlags flags,
                                         Traffic::Pass& pass) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  IoVecs again = from;
  std::error_code error = co_await change_range(offset, std::move(from), flags.compressed);
  if (error == std::errc::no_space_on_device && tables_.allocator.freed().waiting() > 0) {
    error = co_await make_space(pass);
    Traffic::Pass second(traffic_);
    if (!error) error = co_await change_range(offset, std::move(again), flags.compressed);
  }
  if (!error && flags.fua) error = co_await tables_.flush();
  co_return co_await after_change(error, pass);
}

Task<std::error_code> Qcow2::change_range(uint64_t offset, IoVecs from, bool compressed) {
  if (compressed) co_return co_await compress_range(offset, std::move(from));
  co_return co_await writer_.write(offset, std::move(from));
}

// Clusters side by side: compressing is the work of all processors.
Task<std::error_code> Qcow2::compress_range(uint64_t offset, IoVecs from) {
  const uint64_t cluster = image_->geometry.cluster_size();
  if (offset % cluster != 0) co_return std::make_error_code(std::errc::invalid_argument);
  const uint64_t length = total_length(from);
  qcow2::Gather gather(kParallelClusters);
  for (uint64_t done = 0; done < length && !gather.error(); done += cluster) {
    const uint64_t some = std::min(cluster, length - done);
    const bool whole = some == cluster || offset + length == limits_.size;
    IoVecs part = slice(from, done, some);
    Task<std::error_code> task = whole ? writer_.write_compressed(offset + done, std::move(part))
                                       : writer_.write(offset + done, std::move(part));
    co_await gather.add(std::move(task));
  }
  co_return co_await gather.done();
}

// The disk is full, but clusters wait for the flush that lets them go.
Task<std::error_code> Qcow2::make_space(Traffic::Pass& pass) {
  pass.leave_epoch();
  std::error_code error = co_await tables_.flush();
  if (error) co_return error;
  // What is let go now was unmapped before any request that is still inside began.
  if (tables_.allocator.freed().has_sealed()) reader_.decompressor().clear();
  co_return co_await tables_.release();
}

Task<std::error_code> Qcow2::after_change(std::error_code error, Traffic::Pass& pass) {
  if (bitmaps_.heavy()) co_await bitmaps_.store();
  if (error || !tables_.many_waiting()) co_return error;
  co_return co_await make_space(pass);
}

Task<std::error_code> Qcow2::flush() {
  if (image_->read_only) co_return std::error_code{};
  while (!traffic_.open()) co_await traffic_.opened();
  Traffic::Pass pass(traffic_);
  if (image_->is_corrupt()) co_return qcow2::io_error();
  co_return co_await make_space(pass);
}

Task<std::error_code> Qcow2::discard(uint64_t offset, uint64_t length) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  while (!traffic_.open()) co_await traffic_.opened();
  Traffic::Pass pass(traffic_);
  co_await bitmaps_.record(offset, length);
  const std::error_code error = co_await writer_.discard(offset, length);
  co_return co_await after_change(error, pass);
}

Task<std::error_code> Qcow2::zero(uint64_t offset, uint64_t length, ZeroFlags flags) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  while (!traffic_.open()) co_await traffic_.opened();
  Traffic::Pass pass(traffic_);
  co_await bitmaps_.record(offset, length);
  const std::error_code error = co_await writer_.zero(offset, length, flags);
  co_return co_await after_change(error, pass);
}

Task<Extent> Qcow2::extent(uint64_t offset, uint64_t length) {
  while (!traffic_.open()) co_await traffic_.opened();
  const Traffic::Pass pass(traffic_);
  co_return co_await reader_.extent(offset, length);
}

ImageFacts Qcow2::facts() const {
  return qcow2::facts_of(image_->header, snapshots_.list(), bitmaps_.list());
}

Task<std::pair<std::error_code, Placement>> Qcow2::placement(uint64_t offset, uint64_t length) {
  const qcow2::Outcome<qcow2::Layout> run = co_await layout(offset, length);
  const qcow2::Kind kind = run.value.kind;
  const Placement placement{.length = run.value.length,
                            .allocated = kind != qcow2::Kind::unallocated,
                            .data = kind == qcow2::Kind::data || kind == qcow2::Kind::compressed,
                            .zero = run.value.zero,
                            .host = run.value.host};
  co_return std::pair(run.error, placement);
}

Task<qcow2::Outcome<qcow2::Layout>> Qcow2::layout(uint64_t offset, uint64_t length) {
  while (!traffic_.open()) co_await traffic_.opened();
  const Traffic::Pass pass(traffic_);
  qcow2::Outcome<qcow2::Layout> layout = co_await tables_.map.layout(offset, length);
  qcow2::Layout& run = layout.value;
  if (layout.error || run.kind != qcow2::Kind::data || !image_->data_may_have_holes())
    co_return layout;
  const Extent below = co_await image_->guest_file().node().extent(*run.host, run.length);
  run.length = std::min(run.length, below.length);
  run.zero = below.zero;
  co_return layout;
}

Task<std::error_code> Qcow2::preallocate(uint64_t start, Preallocation how,
                                         ProgressFunction progress) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  const uint64_t end = image_->header.size;
  for (uint64_t at = start; at < end;) {
    const uint64_t some = std::min(end - at, kPreallocateStep);
    const std::error_code error = co_await writer_.preallocate(at, some, how);
    if (error) co_return error;
    at += some;
    if (progress && !progress(at - start, end - start))
      co_return std::make_error_code(std::errc::operation_canceled);
  }
  co_return std::error_code{};
}

Task<std::error_code> Qcow2::resize(uint64_t size) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  co_return co_await resize_alone(size);
}

Task<std::error_code> Qcow2::resize_alone(uint64_t size) {
  std::error_code error = co_await bitmaps_.before_resize();
  if (error) co_return error;
  qcow2::Resizer resizer(*image_, tables_, reader_, writer_);
  error = co_await resizer.resize(size);
  const std::error_code after = co_await bitmaps_.after_resize();
  reader_.decompressor().clear();
  update_limits();
  co_return error ? error : after;
}

Task<std::error_code> Qcow2::create_snapshot(std::string name) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  co_return co_await snapshots_.create(std::move(name));
}

Task<std::error_code> Qcow2::apply_snapshot(std::string id_or_name) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  std::error_code error = co_await bitmaps_.before_resize();
  if (error) co_return error;
  error = co_await snapshots_.apply(std::move(id_or_name));
  const std::error_code after = co_await bitmaps_.after_resize();
  if (!error) co_await bitmaps_.record(0, image_->header.size);  // anything may differ
  reader_.decompressor().clear();
  update_limits();
  co_return error ? error : after;
}

Task<std::error_code> Qcow2::delete_snapshot(std::string id_or_name) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  const std::error_code error = co_await snapshots_.remove(std::move(id_or_name));
  reader_.decompressor().clear();
  co_return error;
}

Task<std::error_code> Qcow2::show_snapshot(std::string id_or_name) {
  VMM_CHECK(image_->read_only, "an image that shows a snapshot is not changed");
  const Alone alone = co_await enter_alone();
  const std::error_code error = co_await snapshots_.show(std::move(id_or_name));
  update_limits();
  co_return error;
}

Task<std::error_code> Qcow2::clear() {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  const std::error_code error = co_await snapshots_.clear();
  reader_.decompressor().clear();
  co_return error;
}

Task<std::error_code> Qcow2::add_bitmap(std::string name, uint64_t granularity) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  co_return co_await bitmaps_.add(std::move(name), granularity);
}

Task<std::error_code> Qcow2::remove_bitmap(std::string name) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  co_return co_await bitmaps_.remove(std::move(name));
}

Task<std::error_code> Qcow2::clear_bitmap(std::string name) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  co_return co_await bitmaps_.clear(std::move(name));
}

Task<std::error_code> Qcow2::enable_bitmap(std::string name, bool enabled) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  co_return co_await bitmaps_.enable(std::move(name), enabled);
}

std::optional<uint64_t> Qcow2::bitmaps_size(uint64_t cluster_size) const {
  if (image_->header.version < 3) return std::nullopt;
  return qcow2::bitmaps_file_size(bitmaps_.list(), limits_.size, cluster_size);
}

Task<std::error_code> Qcow2::merge_bitmap(std::string name, WithBitmaps& source, std::string from) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  auto* const other = dynamic_cast<Qcow2*>(&source);
  if (other == nullptr) co_return std::make_error_code(std::errc::not_supported);
  const Alone alone = co_await enter_alone();
  const auto reader = co_await other->bitmaps_.read(std::move(from));
  if (reader.error) co_return reader.error;
  co_return co_await bitmaps_.merge(std::move(name), *reader.value);
}

// At the first byte that the disk's last L1 entry does not map.
uint64_t Qcow2::state_offset() const noexcept {
  return qcow2::align_up(image_->header.size, image_->geometry.l2_coverage());
}

std::error_code Qcow2::check_state(uint64_t offset, uint64_t length) const noexcept {
  constexpr uint64_t kEnd = uint64_t{1} << 62;
  if (image_->header.has_data_file()) return std::make_error_code(std::errc::not_supported);
  if (offset > kEnd || length > kEnd - offset) return Refusal::clusters_too_small;
  const bool whole = ((offset | length) & (limits_.block - 1)) == 0;
  return whole ? std::error_code{} : std::make_error_code(std::errc::invalid_argument);
}

Task<std::error_code> Qcow2::read_state(uint64_t offset, IoVecs into) {
  const std::error_code error = check_state(offset, total_length(into));
  if (error) co_return error;
  while (!traffic_.open()) co_await traffic_.opened();
  const Traffic::Pass pass(traffic_);
  const uint64_t place = state_offset() + offset;
  co_return co_await reader_.read(place, std::move(into));
}

Task<std::error_code> Qcow2::write_state(uint64_t offset, IoVecs from) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const uint64_t length = total_length(from);
  std::error_code error = check_state(offset, length);
  if (error || length == 0) co_return error;
  const Alone alone = co_await enter_alone();
  qcow2::Resizer resizer(*image_, tables_, reader_, writer_);
  const uint64_t place = state_offset() + offset;
  error = co_await resizer.map_up_to(place + length);
  if (!error) error = co_await writer_.write(place, std::move(from));
  co_return error;
}

Task<CheckResult> Qcow2::check(Repair repair, ProgressFunction progress) {
  const Alone alone = co_await enter_alone();
  qcow2::Checker checker(*image_, tables_, snapshots_);
  if (image_->read_only) repair = Repair::none;
  CheckResult result = co_await checker.run(repair, std::move(progress));
  if (repair == Repair::all) keep_dirty_ = keep_dirty_ && !result.clean();
  co_return result;
}

Task<std::error_code> Qcow2::change(KeyTexts given, ProgressFunction progress) {
  Qcow2AmendOptions options = parse_qcow2_amend(given);
  co_return co_await amend(std::move(options), std::move(progress));
}

Task<std::error_code> Qcow2::amend(Qcow2AmendOptions options, ProgressFunction progress) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  qcow2::check_amend(image_->name, image_->header, snapshots_.list(), bitmaps_.list(), options);
  if (image_->is_corrupt()) co_return qcow2::io_error();
  co_return co_await amend_all(std::move(options), std::move(progress));
}

// What needs version 3 comes while the image has it.
Task<std::error_code> Qcow2::amend_all(Qcow2AmendOptions options, ProgressFunction progress) {
  qcow2::Amender amender(*image_, tables_, snapshots_);
  const uint32_t before = image_->header.version, after = options.version.value_or(before);
  std::error_code error;
  if (after > before) error = co_await amender.upgrade();
  if (!error && options.size) error = co_await resize_alone(*options.size);
  if (!error && options.refcount_bits)
    error = co_await amender.change_width(*options.refcount_bits, progress);
  if (!error) error = co_await amender.rewrite_names(options);
  if (!error && after < before) error = co_await amender.downgrade(std::move(progress));
  co_return error;
}

Task<std::error_code> Qcow2::set_backing(std::string name, std::string format) {
  if (image_->read_only) co_return std::make_error_code(std::errc::read_only_file_system);
  const Alone alone = co_await enter_alone();
  const qcow2::Header before = image_->header;
  image_->header.backing_file = std::move(name);
  image_->header.set_text_extension(qcow2::kExtensionBackingFormat, format);
  std::error_code error;
  if (image_->header.backing_file.size() > qcow2::kMaxBackingName ||
      !qcow2::make_fit(image_->header))
    error = Refusal::backing_name_too_long;
  if (!error) error = co_await tables_.settle();
  if (!error) error = co_await image_->write_header();
  if (!error) error = co_await image_->file.flush();
  if (error) image_->header = before;
  co_return error;
}

Task<std::error_code> Qcow2::close() {
  const Alone alone = co_await enter_alone();
  std::error_code error;
  if (!image_->read_only && !image_->is_corrupt()) {
    error = co_await tables_.settle();
    co_await bitmaps_.close();
    if (!error && !keep_dirty_) error = co_await image_->set_dirty(false);
    if (const std::optional<uint64_t> end = tables_.allocator.used_end(); !error && end) {
      [[maybe_unused]] const std::error_code longer = co_await image_->file.trim(*end);
    }
  }
  std::error_code last = co_await image_->file.close();
  if (!error) error = last;
  if (image_->data) {
    last = co_await image_->data->close();
    if (!error) error = last;
  }
  if (reader_.backing() != nullptr) {
    last = co_await reader_.backing()->close();
    if (!error) error = last;
  }
  co_return error;
}

}  // namespace vireo::blk
