// Whole devices under a driver that writes any register, any memory and any ring, while the machine
// is paused, saved, restored and reset. Whatever it does, the device can be stopped, and a reset
// gives the power-on state.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>

#include "devices/testing/guest_driver.h"
#include "devices/testing/test_disk.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/console.h"
#include "devices/virtio/input_keyboard.h"
#include "devices/virtio/input_tablet.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/rng.h"

using namespace vireo;
using namespace vireo::dev;

namespace {

constexpr uint64_t kArena = 0x20000;

// Takes some of the output, and types when it may.
class FuzzBackend final : public CharBackend {
 public:
  void open(EventLoop&, CharFrontend& frontend) override { frontend_ = &frontend; }
  void close() override { frontend_ = nullptr; }
  size_t write(std::span<const std::byte> bytes) override {
    const size_t taken = std::min(bytes.size(), room_);
    room_ -= taken;
    return taken;
  }
  void set_readable(bool readable) override { readable_ = readable; }
  void poke(size_t bytes) {
    if (frontend_ == nullptr) return;
    room_ = bytes;
    frontend_->writable();
    if (readable_) frontend_->receive(bytes_of_text("typed"));
  }

 private:
  CharFrontend* frontend_ = nullptr;
  size_t room_ = 0;
  bool readable_ = false;
};

class Session {
 public:
  explicit Session(uint8_t kind) : kind_(kind) { build({}); }
  ~Session() {
    answer();
    pause();
    transport_->reset();
    transport_->start();
    VMM_CHECK(driver_.status() == 0, "a reset device is at rest");
    pause();
    block_on(machine_.loop, transport_->close());
  }

  void play(ByteReader& script) {
    for (int steps = 0; steps < 200 && script.ok() && !script.at_end(); ++steps) step(script);
  }

 private:
  void build(StateSections sections) {
    StateReader saved(std::move(sections));
    transport_ = std::make_unique<MmioTransport>("dev", machine_.env, make_device(saved),
                                                 saved.take<MmioState>("dev"));
    transport_->start();
  }

  std::unique_ptr<VirtioDevice> make_device(StateReader& saved) {
    node_ = nullptr;
    backend_ = nullptr;
    keyboard_ = nullptr;
    tablet_ = nullptr;
    const VirtioEnv env = machine_.virtio_env();
    if ((kind_ & 0x40) != 0) return make_input(saved);
    if (kind_ % 3 == 0) return std::make_unique<Rng>("dev", env);
    if (kind_ % 3 == 1) {
      auto backend = std::make_unique<FuzzBackend>();
      backend_ = backend.get();
      auto state = saved.take<ConsoleState>("dev.device");
      if ((kind_ & 0x20) != 0)
        return std::make_unique<Console>("dev", env, std::move(backend), ConsolePort{"port"},
                                         std::move(state));
      return std::make_unique<Console>("dev", env, std::move(backend), std::move(state));
    }
    auto node = std::make_unique<TestNode>(
        blk::Limits{.size = 64 * 1024, .read_only = (kind_ & 8) != 0, .can_discard = true});
    node_ = node.get();
    return std::make_unique<Blk>("dev", env, std::make_unique<blk::Disk>("dev", std::move(node)),
                                 BlkConfig{.queues = 2}, saved.take<BlkState>("dev.device"));
  }

  std::unique_ptr<VirtioDevice> make_input(StateReader& saved) {
    const VirtioEnv env = machine_.virtio_env();
    auto state = saved.take<InputState>("dev.device");
    if ((kind_ & 1) != 0) {
      auto keyboard = std::make_unique<InputKeyboard>("dev", env, std::move(state));
      keyboard_ = keyboard.get();
      return keyboard;
    }
    auto tablet = std::make_unique<InputTablet>("dev", env, std::move(state));
    tablet_ = tablet.get();
    return tablet;
  }

  void step(ByteReader& script) {
    switch (script.get<uint8_t>() % 10) {
      case 0:
        return write_register(script.get<le16>(), script.get<le32>());
      case 1:
        (void)driver_.read(script.get<le16>() % layout::kVirtioMmioStride);
        return;
      case 2:
        return write_register(mmio::kStatus, script.get<uint8_t>());
      case 3:
        return start_driver(script);
      case 4:
        return write_memory(script);
      case 5:
        return submit(script);
      case 6:
        driver_.write(mmio::kQueueNotify, script.get<uint8_t>());
        machine_.settle();
        return;
      case 7:
        if (node_ != nullptr) hold(script.get<uint8_t>());
        if (backend_ != nullptr) backend_->poke(script.get<uint8_t>());
        use_input(script);
        return;
      case 8:
        answer();
        pause();
        transport_->start();
        return;
      case 9:
        return restore();
    }
  }

  // A write that stops the device waits for the disk, which must not be held back.
  void write_register(uint64_t offset, uint32_t value) {
    answer();
    driver_.write(offset % layout::kVirtioMmioStride / 4 * 4, value);
  }

  void start_driver(ByteReader& script) {
    answer();
    const uint64_t features = script.get<le32>() & driver_.device_features();
    if (!driver_.negotiate(features | kFeatureVersion1)) return;
    for (uint16_t i = 0; i < 2; ++i) driver_.add_queue(i, 8);
    started_ = true;
    driver_.driver_ok();
  }

  void write_memory(ByteReader& script) {
    const uint64_t address = 0x10000 + script.get<le32>() % kArena;
    const auto bytes = script.take(std::min<size_t>(script.get<uint8_t>(), script.rest().size()));
    (void)machine_.memory.write(address, bytes);
  }

  // A chain of what the script says, with a header in front that makes sense to a disk.
  void submit(ByteReader& script) {
    if (!started_) return;
    GuestQueue& queue = driver_.queue(script.get<uint8_t>() % 2);
    BlkHeader header;
    header.type = script.get<uint8_t>();
    header.sector = script.get<uint8_t>();
    std::vector<GuestBuffer> buffers{queue.readable(bytes_of(header))};
    const size_t count = script.get<uint8_t>() % 6;
    for (size_t i = 0; i < count; ++i) {
      const uint8_t flags = script.get<uint8_t>();
      const uint32_t length = script.get<le16>();
      const uint64_t address = (flags & 2) != 0 ? uint64_t{script.get<le32>()} : 0x10000;
      buffers.push_back({address, (flags & 4) != 0 ? length : length & ~511U, (flags & 1) != 0});
    }
    buffers.push_back({0x8000, 1, true});
    queue.submit(buffers);
    if (driver_.heap().allocate(0) > FakeMachine::kMemory / 2) started_ = false;  // heap used up
  }

  void use_input(ByteReader& script) {
    const uint8_t what = script.get<uint8_t>();
    const uint8_t times = script.get<uint8_t>();
    for (uint32_t i = 0; i < times; ++i) {
      if (keyboard_ != nullptr) keyboard_->key(what, (i & 1) == 0);
      if (tablet_ != nullptr)
        tablet_->point({what * 100U, i * 100U}, static_cast<uint8_t>(what + i),
                       {.vertical = static_cast<int>(i % 3)});
    }
    if (keyboard_ != nullptr) keyboard_->release_all_but({what});
    if (tablet_ != nullptr) tablet_->release_all_but(what);
    machine_.settle();
  }

  void hold(uint8_t how) {
    if ((how & 1) != 0)
      node_->may_answer.reset();
    else
      answer();
    node_->error = (how & 2) != 0 ? std::make_error_code(std::errc::io_error) : std::error_code{};
  }
  void answer() {
    if (node_ != nullptr) node_->may_answer.set();
    machine_.settle();
  }
  void pause() { block_on(machine_.loop, transport_->stop()); }

  void restore() {
    if (++restored_ > 8) return;  // a bus hands out its interrupts once
    answer();
    build(machine_.take_out(transport_));
  }

  FakeMachine machine_;
  GuestDriver driver_{machine_};
  const uint8_t kind_;
  TestNode* node_ = nullptr;
  FuzzBackend* backend_ = nullptr;
  InputKeyboard* keyboard_ = nullptr;
  InputTablet* tablet_ = nullptr;
  std::unique_ptr<MmioTransport> transport_;
  bool started_ = false;
  int restored_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteReader script(std::as_bytes(std::span(data, size)));
  Session session(script.get<uint8_t>());
  session.play(script);
  return 0;
}
