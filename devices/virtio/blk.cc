#include "devices/virtio/blk.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <limits>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::dev {

// What a chain asks for, copied out of guest memory once; the buffers stay there.
struct Blk::Request {
  bool valid = false;  // there was a whole header
  BlkType type{};
  uint64_t sector = 0;
  IoVecs from{};                   // the data of a write
  IoVecs into{};                   // where the data of a read go: all but the status byte
  std::vector<BlkRange> ranges{};  // of discard and write-zeroes
};

struct Blk::Outcome {
  BlkStatus status = BlkStatus::io_error;
  uint64_t length = 0;       // bytes from the start of `into` that are valid
  bool lacks_space = false;  // the host had no room
};

namespace {

// A notification and an interrupt cost a guest more than the rest of a small request. A driver with
// several under way is looked at now and then, and as long as it goes on adding some it does not
// wait for those that ended, unless they are a good share of what is left.
constexpr size_t kBusy = 2;    // requests under way
constexpr size_t kShare = 4;   // one that ended to so many under way is enough
constexpr size_t kLooks = 16;  // after so many the driver is told all the same

uint64_t features_of(const blk::Limits& limits, uint16_t queues) {
  uint64_t features = kBlkFeatureSegMax | kBlkFeatureBlockSize | kBlkFeatureFlush |
                      kBlkFeatureTopology | kBlkFeatureConfigWce;
  if (queues > 1) features |= kBlkFeatureMq;
  if (limits.read_only) return features | kBlkFeatureReadOnly;
  if (limits.can_discard) features |= kBlkFeatureDiscard;
  return features | kBlkFeatureWriteZeroes;
}

BlkConfig checked(const std::string& name, BlkConfig config) {
  if (config.serial.size() > kBlkIdLength)
    throw ConfigError(fmt::format("{}: the serial '{}' is longer than {} bytes", name,
                                  config.serial, kBlkIdLength));
  if (config.queues < 1 || config.queues > Blk::kMaxQueues)
    throw ConfigError(
        fmt::format("{}: a disk has 1 to {} queues, not {}", name, Blk::kMaxQueues, config.queues));
  return config;
}

// A saved state is not trusted. Whether a kept head is one shows when it is tried again.
BlkState checked(const std::string& name, BlkState state, const BlkConfig& config) {
  const auto fits = [&](const BlkState::KeptRequest& kept) { return kept.queue < config.queues; };
  if (!std::all_of(state.kept.begin(), state.kept.end(), fits))
    throw StateError(fmt::format("the saved state of '{}' is of a disk with more queues", name));
  return state;
}

bool lacks_space(std::error_code error) noexcept {
  return error == std::errc::no_space_on_device ||
         error == std::error_code(EDQUOT, std::system_category());
}

// Discards and the like: nothing when their length is no whole number of ranges. One more than is
// allowed is enough to see that there are too many.
std::vector<BlkRange> read_ranges(ReadCursor& cursor) {
  std::vector<BlkRange> ranges;
  if (cursor.remaining() % sizeof(BlkRange) != 0) return ranges;
  while (ranges.size() <= std::max(Blk::kMaxDiscardRanges, Blk::kMaxZeroRanges)) {
    const auto range = cursor.read<BlkRange>();
    if (!range) break;
    ranges.push_back(*range);
  }
  return ranges;
}

}  // namespace

Blk::Blk(std::string name, VirtioEnv env, std::unique_ptr<blk::Disk> disk, const BlkConfig& config,
         State state)
    : name_(std::move(name)),
      loop_(env.loop),
      log_(std::move(env.log)),
      config_(checked(name_, config)),
      disk_(std::move(disk)),
      info_{.type = kTypeBlock,
            .features = features_of(disk_->limits(), config.queues),
            .queue_sizes = std::vector<uint16_t>(config.queues, kQueueSize)},
      state_(checked(name_, std::move(state), config_)),
      turn_end_(env.loop.each_turn([this] { notify_queues(); })) {
  for (uint16_t i = 0; i < config.queues; ++i) queues_.emplace_back(loop_);
}

Blk::~Blk() = default;

// Disks move between hosts: what an image was partitioned by must not depend on where it lies. So
// images have sectors of 512 bytes; what the host would rather have is the physical block.
std::vector<std::byte> Blk::config() const {
  const blk::Limits& limits = disk_->limits();
  const uint32_t block = limits.logical_block;
  const uint32_t optimal = std::max({limits.optimal_block, limits.block, block});
  const uint32_t physical = std::min(std::bit_floor(optimal), std::max(block, 4096U));
  BlkConfigSpace config;
  config.capacity = capacity();
  config.seg_max = kMaxSegments;
  config.block_size = block;
  config.physical_block_exponent = static_cast<uint8_t>(std::countr_zero(physical / block));
  config.min_io_size = static_cast<uint16_t>(
      std::min<uint32_t>(optimal / block, std::numeric_limits<uint16_t>::max()));
  config.opt_io_size = optimal / block;
  config.writeback = state_.writeback ? 1 : 0;
  config.num_queues = static_cast<uint16_t>(queues_.size());
  config.max_discard_sectors = kMaxDiscardSectors;
  config.max_discard_segments = kMaxDiscardRanges;
  config.discard_sector_alignment = static_cast<uint32_t>(optimal / kBlkSector);
  config.max_write_zeroes_sectors = kMaxZeroSectors;
  config.max_write_zeroes_segments = kMaxZeroRanges;
  config.write_zeroes_may_unmap = limits.can_discard ? 1 : 0;
  const auto bytes = bytes_of(config);
  return {bytes.begin(), bytes.end()};
}

// 5.2.5: only the cache mode can be written.
void Blk::config_written(uint32_t offset, std::span<const std::byte> bytes) {
  constexpr size_t kWriteback = offsetof(BlkConfigSpace, writeback);
  if (offset > kWriteback || kWriteback - offset >= bytes.size()) return;
  state_.writeback = bytes[kWriteback - offset] != std::byte{0};
}

void Blk::save(StateWriter& writer) const {
  writer.put(name_ + ".device", state_);
}

Task<std::error_code> Blk::resize(uint64_t bytes) {
  const std::error_code error = co_await disk_->resize(bytes);
  if (!error) config_changed();
  co_return error;
}

Task<void> Blk::close() {
  const std::error_code error = co_await disk_->close();
  if (error) log_.error(name_, fmt::format("the disk did not close cleanly: {}", error.message()));
}

void Blk::start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) {
  features_ = features;
  // 5.2.5.2: a driver that can not flush gets a cache that needs no flushing.
  if ((features & kBlkFeatureFlush) == 0) state_.writeback = false;
  waits_for_space_ = false;
  queues_[index].work.start(std::move(queue));
  retry_kept(index);
  queues_[index].work.spawn(serve(index));
}

void Blk::retry_kept(uint16_t index) {
  std::vector<BlkState::KeptRequest> others;
  for (const auto& kept : std::exchange(state_.kept, {})) {
    if (kept.queue != index) {
      others.push_back(kept);
    } else if (auto chain = queues_[index].work.queue().take_again(kept.head)) {
      queues_[index].work.spawn(handle(index, std::move(*chain)));
    }
  }
  state_.kept.insert(state_.kept.end(), others.begin(), others.end());
}

void Blk::keep(uint16_t index, Chain chain) {
  state_.kept.push_back({index, queues_[index].work.queue().keep(std::move(chain))});
  if (std::exchange(waits_for_space_, true)) return;
  config_.no_space(fmt::format("disk '{}': there is no space left on the host", name_));
}

// Once a turn, so that what ends together makes one interrupt.
void Blk::notify_queues() {
  for (QueueTasks& tasks : queues_) {
    if (!tasks.work) continue;
    Queue& queue = tasks.work.queue();
    if (tasks.pacing.pausing() && queue.unannounced() * kShare < queue.in_flight()) continue;
    queue.notify();
    if (!tasks.pacing.pausing()) continue;
    tasks.pacing.wake();
    loop_.turn_again();  // to submit what the driver has added meanwhile
  }
}

Task<std::optional<QueueState>> Blk::stop_queue(uint16_t index) {
  disk_->hurry();  // what a rate limit holds back must not keep the machine from stopping
  QueueTasks& tasks = queues_[index];
  if (tasks.work) tasks.work.queue().stop();
  tasks.pacing.stop();
  return tasks.work.stop();
}

Task<void> Blk::serve(uint16_t index) {
  QueueTasks& tasks = queues_[index];
  Queue& queue = tasks.work.queue();
  do {
    for (size_t looks = 1; take_requests(index) && queue.in_flight() >= kBusy; ++looks) {
      if (looks % kLooks == 0) queue.notify();
      co_await tasks.pacing.pause();
    }
  } while (co_await queue.kicked());
}

bool Blk::take_requests(uint16_t index) {
  QueueTasks& tasks = queues_[index];
  bool any = false;
  while (auto chain = tasks.work.queue().pop()) {
    tasks.work.spawn(handle(index, std::move(*chain)));
    any = true;
  }
  return any;
}

Task<void> Blk::handle(uint16_t index, Chain chain) {
  if (chain.writable().remaining() == 0) {
    log_.guest_noise(name_, "a request has no room for its status");
    co_return;  // the chain goes back by itself
  }
  Request request = parse(chain);
  const uint64_t room = total_length(request.into);
  const Outcome outcome = co_await execute(std::move(request));
  if (outcome.lacks_space && config_.no_space) co_return keep(index, std::move(chain));
  const auto status = static_cast<uint8_t>(outcome.status);
  chain.writable().write(bytes_of(status));
  // The length counts from the first writable byte on (2.7.8.2): the status only when all before
  // it was written.
  const uint64_t written = outcome.length == room ? room + 1 : outcome.length;
  queues_[index].work.queue().push(std::move(chain), static_cast<uint32_t>(written));
}

Blk::Request Blk::parse(Chain& chain) const {
  Request request;
  request.into = chain.writable().take(chain.writable().remaining() - 1);
  const auto header = chain.readable().read<BlkHeader>();
  if (!header) return request;
  request.valid = true;
  request.type = static_cast<BlkType>(uint32_t{header->type});
  request.sector = header->sector;
  if (request.type == BlkType::discard || request.type == BlkType::write_zeroes)
    request.ranges = read_ranges(chain.readable());
  else
    request.from = chain.readable().take(chain.readable().remaining());
  return request;
}

Task<Blk::Outcome> Blk::execute(Request request) {
  if (!request.valid) co_return Outcome{BlkStatus::io_error};
  switch (request.type) {
    case BlkType::read:
      co_return co_await read(std::move(request));
    case BlkType::write:
      co_return co_await write(std::move(request));
    case BlkType::flush:
      co_return co_await flush();
    case BlkType::get_id:
      co_return identify(request);
    case BlkType::discard:
      co_return co_await discard(std::move(request));
    case BlkType::write_zeroes:
      co_return co_await write_zeroes(std::move(request));
  }
  co_return Outcome{BlkStatus::unsupported};
}

bool Blk::transfer_fits(uint64_t sector, const IoVecs& data) const noexcept {
  const uint64_t length = total_length(data);
  return data.size() <= kMaxSegments && length % kBlkSector == 0 && sector <= capacity() &&
         length / kBlkSector <= capacity() - sector;
}

Blk::Outcome Blk::outcome_of(std::error_code error, const char* what) const {
  if (!error) return {BlkStatus::ok};
  if (config_.no_space && lacks_space(error)) return {.lacks_space = true};
  log_.guest_noise(name_, fmt::format("{} failed: {}", what, error.message()));
  return {BlkStatus::io_error};
}

Task<Blk::Outcome> Blk::read(Request request) {
  if (!transfer_fits(request.sector, request.into)) co_return Outcome{BlkStatus::io_error};
  const uint64_t length = total_length(request.into);
  const std::error_code error =
      co_await disk_->read(request.sector * kBlkSector, std::move(request.into));
  Outcome outcome = outcome_of(error, "a read");
  if (!error) outcome.length = length;
  co_return outcome;
}

// Read-only is the disk's to say, not the driver's to accept (5.2.6.2).
Task<Blk::Outcome> Blk::write(Request request) {
  if (offers(kBlkFeatureReadOnly) || !transfer_fits(request.sector, request.from))
    co_return Outcome{BlkStatus::io_error};
  const blk::WriteFlags flags{.fua = writes_through()};
  const std::error_code error =
      co_await disk_->write(request.sector * kBlkSector, std::move(request.from), flags);
  co_return outcome_of(error, "a write");
}

// Also on a read-only disk, where firmware asks for it.
Task<Blk::Outcome> Blk::flush() {
  const std::error_code error = co_await disk_->flush();
  co_return outcome_of(error, "a flush");
}

Blk::Outcome Blk::identify(const Request& request) const {
  std::array<char, kBlkIdLength> id{};
  std::copy(config_.serial.begin(), config_.serial.end(), id.begin());
  copy_to(request.into, std::as_bytes(std::span(id)));
  return {BlkStatus::ok, std::min<uint64_t>(total_length(request.into), id.size())};
}

// 5.2.6.2: without flushes, or with the cache set to write through, a completed write is stable.
bool Blk::writes_through() const noexcept {
  const bool by_config = (features_ & kBlkFeatureConfigWce) != 0;
  return by_config ? !state_.writeback : (features_ & kBlkFeatureFlush) == 0;
}

Task<Blk::Outcome> Blk::settle_writes(std::error_code error, const char* what) {
  if (error || !writes_through()) co_return outcome_of(error, what);
  co_return co_await flush();
}

bool Blk::range_fits(const BlkRange& range, uint32_t most) const noexcept {
  return range.sectors <= most && range.sector <= capacity() &&
         range.sectors <= capacity() - range.sector;
}

BlkStatus Blk::check_ranges(const Request& request, uint32_t most_sectors, size_t most_ranges,
                            uint32_t known_flags) const noexcept {
  const auto& ranges = request.ranges;
  if (std::any_of(ranges.begin(), ranges.end(),
                  [&](const BlkRange& range) { return (range.flags & ~known_flags) != 0; }))
    return BlkStatus::unsupported;
  const bool fit = std::all_of(ranges.begin(), ranges.end(), [&](const BlkRange& range) {
    return range_fits(range, most_sectors);
  });
  return fit && !ranges.empty() && ranges.size() <= most_ranges ? BlkStatus::ok
                                                                : BlkStatus::io_error;
}

Task<Blk::Outcome> Blk::discard(Request request) {
  if (!offers(kBlkFeatureDiscard)) co_return Outcome{BlkStatus::unsupported};
  const BlkStatus status = check_ranges(request, kMaxDiscardSectors, kMaxDiscardRanges, 0);
  if (status != BlkStatus::ok) co_return Outcome{status};
  std::error_code error;
  for (const BlkRange& range : request.ranges) {
    error = co_await disk_->discard(range.sector * kBlkSector, range.sectors * kBlkSector);
    if (error) break;
  }
  co_return co_await settle_writes(error, "a discard");
}

Task<Blk::Outcome> Blk::write_zeroes(Request request) {
  if (!offers(kBlkFeatureWriteZeroes)) co_return Outcome{BlkStatus::unsupported};
  const BlkStatus status = check_ranges(request, kMaxZeroSectors, kMaxZeroRanges, kBlkRangeUnmap);
  if (status != BlkStatus::ok) co_return Outcome{status};
  std::error_code error;
  for (const BlkRange& range : request.ranges) {
    const blk::ZeroFlags flags{.may_unmap = (range.flags & kBlkRangeUnmap) != 0};
    error = co_await disk_->zero(range.sector * kBlkSector, range.sectors * kBlkSector, flags);
    if (error) break;
  }
  co_return co_await settle_writes(error, "a write of zeros");
}

}  // namespace vireo::dev
