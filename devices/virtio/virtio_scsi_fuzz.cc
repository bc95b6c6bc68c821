// A SCSI adapter under a driver that sends any commands, task management functions and chains in
// any buffers, over disks that answer late or fail, while media come and go and the machine is
// paused, restored and reset. What is answered is an answer, and a disc is never written.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "devices/testing/guest_driver.h"
#include "devices/testing/test_disk.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/scsi.h"

using namespace vireo;
using namespace vireo::dev;

namespace {

constexpr blk::Limits kDisk{.size = 128 * KiB, .can_discard = true};
constexpr blk::Limits kDisc{.size = 64 * KiB, .read_only = true};
constexpr size_t kTargets = 3;
constexpr uint16_t kQueues = 3;

class Session {
 public:
  Session() {
    build({});
    start_driver();
  }
  ~Session() {
    let_go();
    stop();
    transport_->reset();
    transport_->start();
    VMM_CHECK(driver_.status() == 0, "a reset device is at rest");
    stop();
    block_on(machine_.loop, transport_->close());
  }

  void play(ByteReader& script) {
    for (int steps = 0; steps < 200 && script.ok() && !script.at_end(); ++steps) step(script);
  }

 private:
  std::unique_ptr<blk::Disk> disk_of(blk::Limits limits) {
    auto owned = std::make_unique<TestNode>(limits);
    (limits.read_only ? disc_ : disk_) = owned.get();
    return std::make_unique<blk::Disk>("disk", std::move(owned));
  }
  void build(StateSections sections) {
    StateReader saved(std::move(sections));
    std::vector<ScsiTarget> targets;
    targets.push_back({{scsi::UnitKind::disk, "S", "disk0"}, disk_of(kDisk)});
    targets.push_back({{scsi::UnitKind::cdrom, "", "cdrom0"}, disk_of(kDisc)});
    targets.push_back({{scsi::UnitKind::cdrom, "", "cdrom1"}, nullptr});
    auto device = std::make_unique<Scsi>("dev", machine_.virtio_env(), std::move(targets),
                                         saved.take<ScsiState>("dev.device"));
    scsi_ = device.get();
    transport_ = std::make_unique<MmioTransport>("dev", machine_.env, std::move(device),
                                                 saved.take<MmioState>("dev"));
    transport_->start();
  }

  void step(ByteReader& script) {
    switch (script.get<uint8_t>() % 11) {
      case 0:
        return start_driver();
      case 1:
        return submit(script);
      case 2:
        return command(script);
      case 3:
        return control(script);
      case 4:
        return offer_event_buffer(script);
      case 5:
        return let_go();
      case 6:
        return disk_->may_answer.reset();
      case 7:
        disk_->error = script.get<uint8_t>() % 2 == 0
                           ? std::error_code()
                           : std::make_error_code(std::errc::no_space_on_device);
        return;
      case 8:
        return change_medium(script);
      case 9:
        return configure(script);
      case 10:
        return pause(script);
    }
  }

  void start_driver() {
    let_go();
    started_ = driver_.negotiate(kFeatureVersion1 | kFeatureIndirect | kScsiFeatureChange);
    if (!started_) return;
    for (uint16_t i = 0; i < kQueues; ++i) driver_.add_queue(i, 16);
    driver_.driver_ok();
    read_sizes();
  }

  // A chain that begins with the script's bytes, on any queue.
  void submit(ByteReader& script) {
    const auto number = static_cast<uint16_t>(script.get<uint8_t>() % kQueues);
    std::vector<GuestBuffer> buffers;
    const auto bytes = script.take(std::min<size_t>(script.get<uint8_t>(), script.rest().size()));
    if (started_ && !bytes.empty()) buffers.push_back(driver_.queue(number).readable(bytes));
    const size_t count = script.get<uint8_t>() % 5;
    for (size_t i = 0; i < count; ++i) {
      const uint8_t flags = script.get<uint8_t>();
      const uint64_t address = (flags & 2) != 0 ? uint64_t{script.get<le32>()} : 0x100000;
      buffers.push_back({address, script.get<le16>(), (flags & 1) != 0});
    }
    submit_to(number, buffers);
  }

  ScsiLun lun_of(ByteReader& script) const {
    const uint8_t which = script.get<uint8_t>();
    return {uint8_t{(which & 0x80) == 0}, static_cast<uint8_t>(which % (kTargets + 1)), 0x40,
            uint8_t{(which & 0x40) != 0}};
  }
  void command(ByteReader& script) {
    if (!started_) return;
    GuestQueue& queue = driver_.queue(kScsiRequestQueue);
    ScsiRequestHeader header;
    header.lun = lun_of(script);
    header.id = script.get<uint8_t>() % 4;
    std::vector<std::byte> cdb(cdb_size_);
    const auto bytes = script.take(std::min<size_t>(16, script.rest().size()));
    std::copy_n(bytes.begin(), std::min(bytes.size(), cdb.size()), cdb.begin());
    const auto out = script.take(std::min<size_t>(script.get<uint8_t>(), script.rest().size()));
    const uint32_t in = out.empty() ? uint32_t{script.get<le16>()} : 0;
    std::vector<GuestBuffer> buffers{queue.readable(bytes_of(header))};
    if (!cdb.empty()) buffers.push_back(queue.readable(cdb));
    if (!out.empty()) buffers.push_back(queue.readable(out));
    GuestBuffer head = queue.readable(std::vector(sizeof(ScsiResponse) + sense_size_, std::byte{}));
    head.writable = true;
    buffers.push_back(head);
    if (in != 0) buffers.push_back({0x200000, in, true});
    submit_to(kScsiRequestQueue, buffers);
    if (const auto contents = queue.contents(head); !driver_.needs_reset())
      VMM_CHECK(contents[sizeof(ScsiResponse) - 1] <= std::byte{9}, "a response is one");
  }
  void control(ByteReader& script) {
    if (!started_) return;
    GuestQueue& queue = driver_.queue(kScsiControlQueue);
    ScsiTaskManagement request;
    const le32 type = script.get<uint8_t>() % 4;
    request.function = script.get<uint8_t>() % 9;
    request.lun = lun_of(script);
    request.id = script.get<uint8_t>() % 4;
    submit_to(kScsiControlQueue, {queue.readable(bytes_of(type)), queue.readable(bytes_of(request)),
                                  queue.writable(1 + script.get<uint8_t>() % 5)});
  }
  void offer_event_buffer(ByteReader& script) {
    if (!started_) return;
    GuestQueue& queue = driver_.queue(kScsiEventQueue);
    submit_to(kScsiEventQueue, {queue.writable(1 + script.get<uint8_t>() % 20)});
  }
  void submit_to(uint16_t number, const std::vector<GuestBuffer>& buffers) {
    if (!started_ || buffers.empty()) return;
    driver_.queue(number).submit(buffers);
    driver_.write(mmio::kQueueNotify, number);
    machine_.settle();
    check_disc();
    if (driver_.heap().allocate(0) > FakeMachine::kMemory / 4) started_ = false;  // heap used up
  }

  void check_disc() const {
    if (disc_ == nullptr) return;
    VMM_CHECK(std::ranges::none_of(disc_->calls, [](const auto& call) { return call != "read"; }),
              "a disc is only read");
  }
  void let_go() {
    disk_->may_answer.set();
    machine_.settle();
  }
  void change_medium(ByteReader& script) {
    const uint8_t how = script.get<uint8_t>();
    const size_t target = how % kTargets;
    disc_ = nullptr;  // it may be the one that goes
    if ((how & 0x40) != 0)
      block_on(machine_.loop, scsi_->eject(target, (how & 0x80) != 0));
    else
      block_on(machine_.loop, scsi_->insert(target, disk_of(kDisc)));
    disc_ = nullptr;
    machine_.settle();
  }
  void configure(ByteReader& script) {
    const le32 size(uint32_t{script.get<le16>()});
    const bool is_sense = script.get<uint8_t>() % 2 == 0;
    driver_.write_config(
        is_sense ? offsetof(ScsiConfigSpace, sense_size) : offsetof(ScsiConfigSpace, cdb_size),
        size);
    read_sizes();
  }
  void read_sizes() {
    sense_size_ = driver_.read_config<le32>(offsetof(ScsiConfigSpace, sense_size));
    cdb_size_ = driver_.read_config<le32>(offsetof(ScsiConfigSpace, cdb_size));
  }

  void stop() { block_on(machine_.loop, transport_->stop()); }
  void pause(ByteReader& script) {
    let_go();
    if (script.get<uint8_t>() % 2 == 0) {
      stop();
      transport_->start();
    } else if (++restored_ <= 8) {  // a bus hands out its interrupts once
      build(machine_.take_out(transport_));
    }
    machine_.settle();
    read_sizes();
  }

  FakeMachine machine_;
  GuestDriver driver_{machine_};
  TestNode* disk_ = nullptr;
  TestNode* disc_ = nullptr;  // while it is known to be in its drive
  Scsi* scsi_ = nullptr;
  std::unique_ptr<MmioTransport> transport_;
  uint32_t sense_size_ = kScsiSenseSize, cdb_size_ = kScsiCdbSize;
  bool started_ = false;
  int restored_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteReader script(std::as_bytes(std::span(data, size)));
  Session session;
  session.play(script);
  return 0;
}
