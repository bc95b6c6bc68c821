// virtio-scsi (virtio 1.2, 5.6): a host adapter whose targets have one SCSI unit each, number 0.
//
// Thread: its loop, which is that of all media. Commands run concurrently, each as a coroutine;
// there are never more than the request queue has entries.
// Owns the units with their media, which it closes in close(). What a unit refuses, the sense data
// of its answer tell the guest. The limits that the configuration space states are enforced, but
// those that are hints.
//
// A command that a task management function ends goes on in the unit, and the function waits for
// it: once that is answered, nothing of the command reaches the medium any more, and its own answer
// was given before.
//
// A driver that accepts VIRTIO_SCSI_F_CHANGE is told of media that come and go. Some events wait
// for a buffer; that there were more, or that the machine was saved before they were told, the
// driver learns as events that it missed.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "blockdev/disk.h"
#include "devices/scsi/unit.h"
#include "devices/virtio/device.h"
#include "devices/virtio/scsi_wire.h"
#include "vmm/base/async_sync.h"
#include "vmm/base/event_loop.h"

namespace vireo::dev {

struct ScsiTarget {
  scsi::Identity identity{};
  std::unique_ptr<blk::Disk> medium{};  // may be missing in a CD-ROM drive
};

struct ScsiState {
  static constexpr StateTag kTag{"virtio-scsi", 1};

  uint32_t sense_size = kScsiSenseSize;  // bytes, as the driver set them
  uint32_t cdb_size = kScsiCdbSize;
  bool events_missed = false;            // the driver is still to be told so
  std::vector<scsi::UnitState> units{};  // by target; none stands for power-on
  static void fields(auto& self, auto& archive) {
    archive("sense_size", self.sense_size)("cdb_size", self.cdb_size)(
        "events_missed", self.events_missed)("units", self.units);
  }
  bool operator==(const ScsiState&) const = default;
};

class Scsi final : public VirtioDevice {
 public:
  using State = ScsiState;
  static constexpr size_t kMaxTargets = 256;  // 5.6.4
  static constexpr uint16_t kQueueSize = 256;
  static constexpr uint32_t kMaxSegments = kQueueSize - 2;  // header and response are two more
  static constexpr uint32_t kMaxSenseSize = 4096;           // bytes
  static constexpr uint32_t kMaxCdbSize = 260;              // bytes; SPC-4, 4.2.1

  // `targets` by their numbers, at least one. Throws ConfigError when there are too many,
  // StateError on the state of another adapter.
  Scsi(std::string name, VirtioEnv env, std::vector<ScsiTarget> targets, State state = {});
  ~Scsi() override;

  // Take a medium out of a CD-ROM drive, and put one into it (scsi/unit.h), and tell the driver.
  // On the loop; the target is there.
  Task<scsi::TrayResult> eject(size_t target, bool forced);
  Task<scsi::TrayResult> insert(size_t target, std::unique_ptr<blk::Disk> medium);

  const VirtioInfo& info() const noexcept override { return info_; }
  std::vector<std::byte> config() const override;
  void config_written(uint32_t offset, std::span<const std::byte> bytes) override;
  void start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) override;
  Task<std::optional<QueueState>> stop_queue(uint16_t index) override;
  void reset() override;
  void save(StateWriter& writer) const override;
  Task<void> close() override;

 private:
  struct Request;
  struct Outcome;
  struct Tasks;
  // A command under way.
  struct Flight {
    uint64_t number = 0;  // in the order of arrival
    ScsiLun lun{};
    uint64_t id = 0;                   // the driver's
    std::optional<ScsiResult> fate{};  // its answer, when a function has ended it
  };

  ScsiConfigSpace config_space() const noexcept;
  std::optional<size_t> target_of(const ScsiLun& lun) const noexcept;
  void notify_queues();

  Task<void> serve_requests();
  Task<void> handle(Chain chain);
  std::optional<Request> parse(Chain& chain) const;
  Task<Outcome> execute(Request request);

  Task<void> serve_control();
  Task<void> control(Chain chain);
  Task<ScsiResult> manage_tasks(ScsiTaskManagement request);
  Task<ScsiResult> end_tasks(Tasks tasks, ScsiResult fate);
  bool concerns(const Tasks& tasks, const Flight& flight) const noexcept;
  bool any_under_way(const Tasks& tasks) const noexcept;
  ScsiEventResponse answer_events(const ScsiEventRequest& request) const noexcept;
  void answer_control(Chain chain, std::span<const std::byte> answer);

  Task<void> serve_events();
  void deliver_events();
  bool has_events() const noexcept { return !events_.empty() || state_.events_missed; }
  ScsiEvent take_event();
  void tell_change(size_t target, const scsi::Sense& what);

  const std::string name_;
  const Logger log_;
  const VirtioInfo info_;
  State state_;  // but for the units, which keep their own
  std::deque<scsi::Unit> units_;
  uint64_t features_ = 0;  // negotiated
  std::array<QueueWork, 3> queues_;
  std::list<Flight> flights_;
  uint64_t arrivals_ = 0;
  Event flight_ended_;
  std::deque<ScsiEvent> events_;  // that wait for a buffer
  Event has_event_;
  EventLoop::Registration turn_end_;
};

}  // namespace vireo::dev
