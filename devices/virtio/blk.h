// virtio-blk (virtio 1.2, 5.2): a disk of the block layer as a guest's block device.
//
// Thread: its loop, which is the disk's. Requests of all queues run concurrently, each as a
// coroutine; there are never more than the queues have entries.
// Owns the disk, which it closes in close(). The state is the cache mode and the requests that wait
// for room; all else is the disk's. What the disk refuses, a request's status byte tells the guest.
// The limits that the configuration space states are enforced.
//
// Who keeps the disk busy is served in batches: while several requests are under way, the driver
// neither has to notify of further ones nor is interrupted for each that ends. The pause between
// two looks at its queue ends early when a share of what is under way has ended, so that the disk
// does not run dry.
//
// Where the host has no room for a write (ENOSPC, EDQUOT) and `no_space` is set, the request is
// kept instead of failed, and tried again when the queue is started anew: after the machine was
// paused and resumed.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "blockdev/disk.h"
#include "devices/virtio/blk_wire.h"
#include "devices/virtio/device.h"
#include "devices/virtio/queue_pacing.h"
#include "vmm/base/event_loop.h"

namespace vireo::dev {

struct BlkConfig {
  std::string serial{};  // at most 20 bytes
  uint16_t queues = 1;   // 1..kMaxQueues
  // Called on the loop when the first request since the start has to wait for room: pause the
  // machine. Empty: such requests fail.
  std::function<void(const std::string& why)> no_space{};
};

struct BlkState {
  static constexpr StateTag kTag{"virtio-blk", 2};
  struct KeptRequest {
    uint16_t queue = 0;
    uint16_t head = 0;  // of its descriptor chain
    static void fields(auto& self, auto& archive) {
      archive("queue", self.queue)("head", self.head);
    }
    bool operator==(const KeptRequest&) const = default;
  };

  bool writeback = true;  // as the driver set it, where it may
  std::vector<KeptRequest> kept{};
  static void fields(auto& self, auto& archive) {
    archive("writeback", self.writeback)("kept", self.kept);
  }
  bool operator==(const BlkState&) const = default;
};

class Blk final : public VirtioDevice {
 public:
  using State = BlkState;
  static constexpr uint16_t kMaxQueues = 64;
  static constexpr uint16_t kQueueSize = 512;               // a request of 1 MiB in pages fits
  static constexpr uint32_t kMaxSegments = kQueueSize - 2;  // header and status are two more
  static constexpr uint32_t kMaxDiscardSectors = 2 << 20;   // 1 GiB a range
  static constexpr uint32_t kMaxDiscardRanges = 32;
  static constexpr uint32_t kMaxZeroSectors = 128 << 10;  // 64 MiB: they may have to be written
  static constexpr uint32_t kMaxZeroRanges = 1;

  // Throws ConfigError on options that can not be, StateError on the state of another disk.
  Blk(std::string name, VirtioEnv env, std::unique_ptr<blk::Disk> disk,
      const BlkConfig& config = {}, State state = {});
  ~Blk() override;

  blk::Disk& disk() noexcept { return *disk_; }
  // Makes the disk larger or smaller and tells the driver; on the loop.
  Task<std::error_code> resize(uint64_t bytes);

  const VirtioInfo& info() const noexcept override { return info_; }
  std::vector<std::byte> config() const override;
  void config_written(uint32_t offset, std::span<const std::byte> bytes) override;
  void start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) override;
  Task<std::optional<QueueState>> stop_queue(uint16_t index) override;
  void reset() override { state_ = {}; }
  void save(StateWriter& writer) const override;
  Task<void> close() override;

 private:
  struct Request;
  struct Outcome;
  struct QueueTasks {
    explicit QueueTasks(EventLoop& loop) noexcept : pacing(loop) {}
    QueueWork work{};
    QueuePacing pacing;
  };

  void retry_kept(uint16_t index);
  void keep(uint16_t index, Chain chain);
  void notify_queues();
  Task<void> serve(uint16_t index);
  bool take_requests(uint16_t index);
  Task<void> handle(uint16_t index, Chain chain);
  Request parse(Chain& chain) const;
  Task<Outcome> execute(Request request);
  Task<Outcome> read(Request request);
  Task<Outcome> write(Request request);
  Task<Outcome> flush();
  Task<Outcome> discard(Request request);
  Task<Outcome> write_zeroes(Request request);
  Outcome identify(const Request& request) const;

  bool offers(uint64_t feature) const noexcept { return (info_.features & feature) != 0; }
  bool writes_through() const noexcept;
  uint64_t capacity() const noexcept { return disk_->limits().size / kBlkSector; }
  bool transfer_fits(uint64_t sector, const IoVecs& data) const noexcept;
  bool range_fits(const BlkRange& range, uint32_t most) const noexcept;
  BlkStatus check_ranges(const Request& request, uint32_t most_sectors, size_t most_ranges,
                         uint32_t known_flags) const noexcept;
  Outcome outcome_of(std::error_code error, const char* what) const;
  Task<Outcome> settle_writes(std::error_code error, const char* what);

  const std::string name_;
  EventLoop& loop_;
  const Logger log_;
  const BlkConfig config_;
  std::unique_ptr<blk::Disk> disk_;
  const VirtioInfo info_;
  State state_;
  uint64_t features_ = 0;  // negotiated; of use only while a queue runs
  std::deque<QueueTasks> queues_;
  bool waits_for_space_ = false;  // said so since the start
  EventLoop::Registration turn_end_;
};

}  // namespace vireo::dev
