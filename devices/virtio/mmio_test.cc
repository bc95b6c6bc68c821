// The transport core through the only registers there are, as a driver meets it.
#include "devices/virtio/mmio.h"

#include <cstring>
#include <future>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/testing/guest_driver.h"
#include "devices/testing/test_device.h"
#include "vmm/testing/state_contract.h"

namespace vireo::dev {
namespace {

using Calls = std::vector<std::string>;
constexpr uint64_t kFeatures =
    kFeatureVersion1 | kFeatureIndirect | kFeatureEventIdx | TestDevice::kFeature;

struct Fixture {
  Fixture() : Fixture(MmioState{}, nullptr) {}
  // Goes on with a saved state over the same memory.
  Fixture(MmioState state, const GuestMemory* memory) {
    if (memory != nullptr) {
      const auto from = memory->regions()[0].bytes;
      std::copy(from.begin(), from.end(), machine.memory.regions()[0].bytes.begin());
    }
    auto owned = std::make_unique<TestDevice>(machine.loop);
    device = owned.get();
    transport =
        std::make_unique<MmioTransport>("test0", machine.env, std::move(owned), std::move(state));
    device->may_answer.set();
    transport->start();
    device->take_calls();
  }
  ~Fixture() {
    device->may_answer.set();
    stop();
  }
  void stop() { block_on(machine.loop, transport->stop()); }
  MmioState saved() const {
    StateWriter writer;
    transport->save(writer);
    return StateReader(writer.take()).take<MmioState>("test0");
  }
  void start_driver() {
    driver.start(kFeatures, {8, 16});
    device->take_calls();
    driver.take_interrupts();
  }

  FakeMachine machine;
  TestDevice* device = nullptr;
  std::unique_ptr<MmioTransport> transport;
  GuestDriver driver{machine};
};

}  // namespace

TEST_CASE("a device tells what it is") {
  Fixture f;
  CHECK(f.driver.read(mmio::kMagic) == 0x74726976);
  CHECK(f.driver.read(mmio::kVersion) == 2);
  CHECK(f.driver.read(mmio::kDeviceId) == 42);
  CHECK(f.driver.status() == 0);
  CHECK(f.driver.device_features() == kFeatures);
  f.driver.write(mmio::kDeviceFeaturesSel, 2);
  CHECK(f.driver.read(mmio::kDeviceFeatures) == 0);
  REQUIRE(f.machine.platform.acpi.devices().size() == 1);
  CHECK(f.machine.platform.acpi.devices()[0].hid == kVirtioMmioHid);
  CHECK(f.machine.platform.acpi.devices()[0].address == layout::kVirtioMmio);
}

TEST_CASE("registers read as memory of any width, and are written as words") {
  Fixture f;
  uint16_t narrow = 0;
  f.machine.mmio.read(f.driver.base() + mmio::kMagic + 1, writable_bytes_of(narrow));
  CHECK(narrow == 0x7269);
  uint64_t wide = 0;
  f.machine.mmio.read(f.driver.base() + mmio::kMagic, writable_bytes_of(wide));
  CHECK(wide == 0x0000000274726976);
  CHECK(f.driver.read(2) == 0x00027472);
  CHECK(f.driver.read(0x0b0) == 0xffffffff);  // SHMLenLow: no such region
  CHECK(f.driver.read(0x0b4) == 0xffffffff);
  CHECK(f.driver.read(0x0d0) == 0xffffffff);
  f.machine.mmio.write(f.driver.base() + mmio::kStatus, bytes_of(uint8_t{1}));
  CHECK(f.driver.status() == 0);
}

TEST_CASE("a driver comes up") {
  Fixture f;
  REQUIRE(f.driver.negotiate(kFeatures & ~TestDevice::kFeature));
  CHECK(f.driver.status() == 11);
  f.driver.add_queue(0, 8);
  f.driver.add_queue(1, 4);
  CHECK(f.device->take_calls().empty());
  f.driver.driver_ok();
  CHECK(f.driver.status() == 15);
  CHECK(f.device->take_calls() == Calls{"start 0", "start 1"});
  CHECK(f.device->negotiated == (kFeatures & ~TestDevice::kFeature));

  GuestQueue& queue = f.driver.queue(1);
  const auto answer = queue.writable(16);
  queue.submit({answer});
  f.driver.kick(1);
  const auto used = queue.take_used();
  REQUIRE(used);
  CHECK(used->length == 2);
  CHECK(f.driver.take_interrupts() == 1);
  CHECK(f.driver.take_interrupt_status() == mmio::kInterruptUsed);
  CHECK(f.driver.read(mmio::kInterruptStatus) == 0);
}

TEST_CASE("only queues that are ready are started") {
  Fixture f;
  REQUIRE(f.driver.negotiate(kFeatures));
  f.driver.add_queue(1, 16);
  f.driver.driver_ok();
  CHECK_FALSE(f.device->started(0));
  CHECK(f.device->started(1));
}

TEST_CASE("a notification that no doorbell catches arrives too") {
  Fixture f;
  f.start_driver();
  f.driver.queue(0).submit({f.driver.queue(0).writable(4)});
  f.driver.write(mmio::kQueueNotify, 0);
  f.machine.settle();
  CHECK(f.driver.queue(0).take_used());
  f.driver.write(mmio::kQueueNotify, 2);
  f.driver.write(mmio::kQueueNotify, 0xffffffff);
  f.machine.settle();
  CHECK(f.device->served == 1);
}

TEST_CASE("FEATURES_OK stays clear when the features can not be") {
  Fixture f;
  SECTION("not offered") {
    CHECK_FALSE(f.driver.negotiate(kFeatures | uint64_t{1} << 7));
  }
  SECTION("a driver of the old kind") {
    CHECK_FALSE(f.driver.negotiate(TestDevice::kFeature));
  }
  CHECK(f.driver.status() == (kStatusAcknowledge | kStatusDriver));
  f.driver.add_status(kStatusDriverOk);
  CHECK(f.driver.status() == (kStatusAcknowledge | kStatusDriver));
  CHECK_FALSE(f.device->started(0));
  // It may try again without.
  f.driver.write_features(kFeatureVersion1);
  f.driver.add_status(kStatusFeaturesOk);
  CHECK((f.driver.status() & kStatusFeaturesOk) != 0);
}

// As SeaBIOS 1.16 writes the status of virtio-scsi.
TEST_CASE("status bits add to those that are there") {
  Fixture f;
  f.driver.reset();
  f.driver.write(mmio::kStatus, kStatusAcknowledge | kStatusDriver);
  f.driver.write_features(kFeatureVersion1);
  f.driver.write(mmio::kStatus, kStatusFeaturesOk);
  CHECK(f.driver.status() == (kStatusAcknowledge | kStatusDriver | kStatusFeaturesOk));
  f.driver.add_queue(0, 8);
  f.driver.write(mmio::kStatus, kStatusAcknowledge | kStatusDriver | kStatusDriverOk);
  f.machine.settle();
  CHECK(f.driver.status() == 15);
  CHECK(f.device->started(0));
}

TEST_CASE("status bits come in order and go only by reset") {
  Fixture f;
  f.driver.write_features(kFeatures);
  f.driver.write(mmio::kStatus, kStatusFeaturesOk);
  CHECK(f.driver.status() == 0);
  f.driver.write(mmio::kStatus, kStatusAcknowledge | kStatusDriver | kStatusDriverOk);
  CHECK(f.driver.status() == (kStatusAcknowledge | kStatusDriver));
  f.driver.write(mmio::kStatus, kStatusAcknowledge);
  CHECK(f.driver.status() == (kStatusAcknowledge | kStatusDriver));
  f.driver.add_status(kStatusNeedsReset);  // not the driver's
  CHECK_FALSE(f.driver.needs_reset());
  f.driver.add_status(kStatusFailed);
  CHECK(f.driver.status() == (kStatusAcknowledge | kStatusDriver | kStatusFailed));
  f.driver.reset();
  CHECK(f.driver.status() == 0);
}

TEST_CASE("features are fixed by FEATURES_OK") {
  Fixture f;
  REQUIRE(f.driver.negotiate(kFeatureVersion1));
  f.driver.write_features(kFeatures);
  f.driver.add_queue(0, 8);
  f.driver.driver_ok();
  CHECK(f.device->negotiated == kFeatureVersion1);
}

TEST_CASE("a queue that does not exist reads as empty and can not be set up") {
  Fixture f;
  REQUIRE(f.driver.negotiate(kFeatures));
  for (const uint32_t index : {2U, 0xffffU, 0xffffffffU}) {
    f.driver.write(mmio::kQueueSel, index);
    CHECK(f.driver.read(mmio::kQueueSizeMax) == 0);
    f.driver.write(mmio::kQueueSize, 8);
    f.driver.write(mmio::kQueueDescriptorsHigh, 1);
    f.driver.write(mmio::kQueueReady, 1);
    CHECK(f.driver.read(mmio::kQueueReady) == 0);
  }
  f.driver.write(mmio::kQueueSel, 1);
  CHECK(f.driver.read(mmio::kQueueSizeMax) == 16);
}

TEST_CASE("a queue has a size that split queues can have") {
  Fixture f;
  REQUIRE(f.driver.negotiate(kFeatures));
  f.driver.write(mmio::kQueueSel, 0);
  for (const uint32_t size : {0U, 3U, 16U, 0x10008U, 0x80000000U})
    f.driver.write(mmio::kQueueSize, size);
  CHECK(f.saved().core.queues[0].size == 8);
  f.driver.write(mmio::kQueueSize, 4);
  CHECK(f.saved().core.queues[0].size == 4);
}

TEST_CASE("queue registers are fixed while the queue runs") {
  Fixture f;
  f.start_driver();
  const auto before = f.saved().core.queues;
  f.driver.write(mmio::kQueueSel, 0);
  f.driver.write(mmio::kQueueSize, 2);
  for (const uint64_t offset :
       {mmio::kQueueDescriptorsLow, mmio::kQueueDriverHigh, mmio::kQueueDeviceLow})
    f.driver.write(offset, 0xffffffff);
  f.driver.write(mmio::kQueueReady, 1);
  CHECK(f.saved().core.queues == before);
}

TEST_CASE("queues are set up between FEATURES_OK and DRIVER_OK") {
  Fixture f;
  SECTION("not before") {
    f.driver.write(mmio::kQueueSel, 0);
    f.driver.write(mmio::kQueueSize, 4);
    f.driver.write(mmio::kQueueReady, 1);
    CHECK(f.driver.read(mmio::kQueueReady) == 0);
    CHECK(f.saved().core.queues[0].size == 8);
  }
  SECTION("not after") {
    REQUIRE(f.driver.negotiate(kFeatures));
    f.driver.add_queue(0, 8);
    f.driver.driver_ok();
    f.driver.add_queue(1, 8);
    CHECK(f.driver.read(mmio::kQueueReady) == 0);
    CHECK_FALSE(f.device->started(1));
  }
}

TEST_CASE("a queue that is not in RAM needs a reset") {
  Fixture f;
  REQUIRE(f.driver.negotiate(kFeatures));
  f.driver.add_queue(0, 8);
  QueueLayout wild = f.driver.queue(0).layout();
  wild.used = ~uint64_t{0} - 3;
  f.driver.place_queue(1, wild);
  f.driver.driver_ok();
  CHECK(f.driver.needs_reset());
  CHECK_FALSE(f.device->started(0));
  CHECK_FALSE(f.device->started(1));
  CHECK(f.driver.take_interrupt_status() == mmio::kInterruptConfig);
  CHECK(f.driver.take_interrupts() == 1);

  f.start_driver();
  CHECK_FALSE(f.driver.needs_reset());
  CHECK(f.device->started(1));
}

// Watching a descriptor may fail on a loaded host. A loop refuses one that it watches already.
TEST_CASE("a queue that the loop cannot watch needs a reset, and takes no vCPU with it") {
  Fixture f;
  f.start_driver();
  const int kick = f.machine.doorbells.eventfd_at(f.driver.base() + mmio::kQueueNotify, 1);
  f.driver.reset();
  f.device->take_calls();
  EventLoop::Registration taken = f.machine.loop.watch(kick, 0, [](uint32_t) {});
  f.driver.start(kFeatures, {8, 16});
  CHECK(f.driver.needs_reset());
  CHECK(f.device->take_calls().empty());  // not even the other queue
  CHECK_THAT(f.machine.log.back(), Catch::Contains("cannot be started"));
  taken.reset();
  f.driver.reset();
  f.driver.start(kFeatures, {8, 16});
  CHECK_FALSE(f.driver.needs_reset());
}

TEST_CASE("a malformed ring needs a reset, and the rest of the device goes on") {
  Fixture f;
  f.start_driver();
  f.driver.queue(0).make_available(100);
  f.driver.kick(0);
  CHECK(f.driver.needs_reset());
  CHECK(f.driver.take_interrupt_status() == mmio::kInterruptConfig);
  f.driver.queue(1).submit({f.driver.queue(1).writable(4)});
  f.driver.kick(1);
  CHECK(f.driver.queue(1).take_used());
  f.driver.kick(0);  // again and again
  CHECK(f.driver.take_interrupt_status() == mmio::kInterruptUsed);
  REQUIRE_FALSE(f.machine.log.empty());
  CHECK(f.machine.log.back() == "an available head is beyond the descriptor table");

  f.driver.reset();
  CHECK(f.driver.status() == 0);
  f.start_driver();
  f.driver.queue(0).submit({f.driver.queue(0).writable(4)});
  f.driver.kick(0);
  CHECK(f.driver.queue(0).take_used());
}

TEST_CASE("reset gives the power-on state and leaves nothing running") {
  Fixture f;
  const MmioState power_on = f.saved();
  f.start_driver();
  f.driver.write_config(0, le32(9));
  f.driver.queue(0).submit({f.driver.queue(0).writable(4)});
  f.driver.kick(0);
  f.device->take_calls();
  CHECK_FALSE(f.saved() == power_on);
  f.driver.reset();
  CHECK(f.device->take_calls() == Calls{"stop 0", "stop 1", "reset"});
  CHECK(f.saved() == power_on);
  CHECK(f.driver.read_config<le32>(0) == 0x04030201);
  CHECK(f.driver.read(mmio::kInterruptStatus) == 0);
}

TEST_CASE("the first reset costs nothing") {
  Fixture f;
  f.driver.reset();
  CHECK(f.device->take_calls().empty());
}

TEST_CASE("a reset waits for the requests under way") {
  Fixture f;
  f.start_driver();
  f.device->may_answer.reset();
  GuestQueue& queue = f.driver.queue(0);
  queue.submit({queue.writable(4)});
  queue.submit({queue.writable(4)});
  f.driver.kick(0);
  CHECK(queue.used_index() == 0);

  const EventLoop::Registration later = f.machine.loop.after(std::chrono::milliseconds(1), [&] {
    CHECK(f.driver.status() == 15);  // not yet
    f.device->may_answer.set();
  });
  f.driver.reset();
  CHECK(queue.used_index() == 2);
  CHECK(f.driver.status() == 0);
}

TEST_CASE("a driver may stop one queue") {
  Fixture f;
  f.start_driver();
  f.driver.write(mmio::kQueueSel, 0);
  f.driver.write(mmio::kQueueReady, 0);
  CHECK(f.driver.read(mmio::kQueueReady) == 0);
  CHECK(f.device->take_calls() == Calls{"stop 0"});
  CHECK(f.device->started(1));
  f.driver.write(mmio::kQueueReady, 1);  // for good, until reset
  CHECK(f.driver.read(mmio::kQueueReady) == 0);
}

TEST_CASE("configuration space is read and written in any width, and no further") {
  Fixture f;
  CHECK(f.driver.read_config<uint8_t>(1) == 2);
  CHECK(f.driver.read_config<le16>(2) == 0x0403);
  CHECK(f.driver.read_config<le64>(0) == 0x0807060504030201);
  CHECK(f.driver.read_config<le32>(6) == 0xffff0807);
  CHECK(f.driver.read_config<le64>(8) == ~uint64_t{0});
  CHECK(f.driver.read_config<le64>(layout::kVirtioMmioStride - mmio::kConfig - 8) == ~uint64_t{0});
  f.driver.write_config(0, le16(0xaaaa));  // before FEATURES_OK
  CHECK(f.driver.read_config<le16>(0) == 0x0201);

  f.start_driver();
  const uint32_t generation = f.driver.read(mmio::kConfigGeneration);
  f.driver.write_config(1, uint8_t{0xaa});
  CHECK(f.driver.read_config<le16>(0) == 0xaa01);
  CHECK(f.driver.read(mmio::kConfigGeneration) == generation + 1);
  CHECK(f.driver.take_interrupts() == 0);
  f.device->take_calls();
  f.driver.write_config(6, le32(0));
  f.driver.write_config(8, uint8_t{0});
  CHECK(f.device->take_calls().empty());
}

TEST_CASE("a changed configuration is published, numbered and told to a running driver") {
  Fixture f;
  f.device->change_config(5);
  CHECK(f.driver.read_config<le64>(0) == 5);
  CHECK(f.driver.take_interrupts() == 0);
  f.start_driver();
  const uint32_t generation = f.driver.read(mmio::kConfigGeneration);
  f.device->change_config(6);
  CHECK(f.driver.read_config<le64>(0) == 6);
  CHECK(f.driver.read(mmio::kConfigGeneration) == generation + 1);
  CHECK(f.driver.take_interrupts() == 1);
  CHECK(f.driver.take_interrupt_status() == mmio::kInterruptConfig);
  f.device->change_config(6);
  CHECK(f.driver.take_interrupts() == 0);
}

TEST_CASE("acknowledging clears what it names") {
  Fixture f;
  f.start_driver();
  f.device->change_config(6);
  f.driver.queue(0).submit({f.driver.queue(0).writable(4)});
  f.driver.kick(0);
  CHECK(f.driver.read(mmio::kInterruptStatus) == 3);
  f.driver.write(mmio::kInterruptAck, mmio::kInterruptUsed);
  CHECK(f.driver.read(mmio::kInterruptStatus) == 2);
  f.driver.write(mmio::kInterruptAck, 0xffffffff);
  CHECK(f.driver.read(mmio::kInterruptStatus) == 0);
}

TEST_CASE("acknowledging used buffers alone goes to a doorbell that nobody hears") {
  Fixture f;
  const auto acknowledge = [&] {
    return f.machine.doorbells.ring(f.driver.base() + mmio::kInterruptAck, mmio::kInterruptUsed);
  };
  CHECK_FALSE(acknowledge());  // no driver
  f.start_driver();
  f.driver.queue(0).submit({f.driver.queue(0).writable(4)});
  f.driver.kick(0);
  REQUIRE(acknowledge());
  f.machine.settle();
  CHECK(f.driver.read(mmio::kInterruptStatus) == mmio::kInterruptUsed);
  // The next interrupt comes all the same, and one with another reason is told apart.
  f.driver.take_interrupts();
  f.driver.queue(1).submit({f.driver.queue(1).writable(4)});
  f.driver.kick(1);
  CHECK(f.driver.take_interrupts() == 1);
  f.device->change_config(6);
  CHECK(f.driver.take_interrupt_status() == (mmio::kInterruptUsed | mmio::kInterruptConfig));
  f.driver.reset();
  CHECK(f.driver.read(mmio::kInterruptStatus) == 0);
}

TEST_CASE("the guest reads the registers as memory") {
  Fixture f;
  const auto page = f.machine.platform.register_pages.memory().first(kPageSize);
  const auto word = [&](uint64_t offset) {
    uint32_t value;
    std::memcpy(&value, page.data() + offset, sizeof value);
    return value;
  };
  CHECK(word(mmio::kMagic) == mmio::kMagicValue);
  f.start_driver();
  CHECK(word(mmio::kStatus) == 15);
  CHECK(word(mmio::kQueueReady) == 1);
  f.device->change_config(6);
  CHECK(word(mmio::kConfig) == 6);
  CHECK(word(mmio::kInterruptStatus) == mmio::kInterruptConfig);
  f.driver.queue(0).make_available(100);
  f.driver.kick(0);
  CHECK((word(mmio::kStatus) & kStatusNeedsReset) != 0);
  const MmioState state = f.saved();
  Fixture restored(state, &f.machine.memory);
  CHECK(restored.driver.status() == word(mmio::kStatus));
  f.machine.memory.clear();
  f.machine.on_vcpu([&] { f.transport->reset(); });
  CHECK(word(mmio::kStatus) == 0);
}

TEST_CASE("vCPUs may write the status at once") {
  Fixture f;
  f.start_driver();
  const auto write = [&](uint32_t value) {
    f.machine.mmio.write(f.driver.base() + mmio::kStatus, bytes_of(value));
  };
  f.machine.on_vcpu([&] {
    auto other = std::async(std::launch::async, [&] {
      for (int i = 0; i < 20; ++i) write(0);
    });
    for (int i = 0; i < 20; ++i) write(i % 2 == 0 ? 15U : 0U);
    other.get();
    write(0);
  });
  CHECK(f.driver.status() == 0);
  CHECK_FALSE(f.device->started(0));
}

// --- pausing and saving ---

TEST_CASE("stopping drains, and is idempotent") {
  Fixture f;
  f.start_driver();
  f.device->may_answer.reset();
  GuestQueue& queue = f.driver.queue(1);
  queue.submit({queue.writable(4)});
  f.driver.kick(1);
  const EventLoop::Registration later =
      f.machine.loop.after(std::chrono::milliseconds(1), [&] { f.device->may_answer.set(); });
  f.stop();
  CHECK(queue.used_index() == 1);
  CHECK(f.saved().core.queues[1].progress == QueueState{1, 1});
  CHECK(f.device->take_calls() == Calls{"stop 0", "stop 1", "stopped"});
  f.stop();
  CHECK(f.saved().core.queues[1].progress == QueueState{1, 1});
}

TEST_CASE("a resumed device serves what came meanwhile without a kick") {
  Fixture f;
  f.start_driver();
  f.stop();
  f.driver.queue(0).submit({f.driver.queue(0).writable(4)});
  f.transport->start();
  f.machine.settle();
  CHECK(f.driver.queue(0).take_used());
}

TEST_CASE("a resumed device kicks every queue and raises again what was not acknowledged") {
  Fixture f;
  f.start_driver();
  f.device->change_config(6);
  f.driver.take_interrupts();
  f.stop();
  f.device->take_calls();
  f.transport->start();
  CHECK(f.device->take_calls() == Calls{"started", "start 0", "start 1"});
  CHECK(f.driver.take_interrupts() == 1);
  f.driver.take_interrupt_status();
  f.stop();
  f.transport->start();
  CHECK(f.driver.take_interrupts() == 0);
}

TEST_CASE("state survives a new machine") {
  Fixture f;
  f.start_driver();
  GuestQueue& queue = f.driver.queue(0);
  for (int i = 0; i < 3; ++i) {
    queue.submit({queue.writable(4)});
    f.driver.kick(0);
  }
  f.stop();
  const MmioState state = f.saved();
  CHECK(state.core.queues[0].progress == QueueState{3, 3});
  CHECK(state.interrupt_status == mmio::kInterruptUsed);

  Fixture g(state, &f.machine.memory);
  CHECK(g.driver.status() == 15);
  CHECK(g.driver.take_interrupts() == 1);
  CHECK(g.device->negotiated == kFeatures);
  g.stop();
  CHECK(g.saved() == state);
}

TEST_CASE("a driver of a new machine goes on where it stood") {
  Fixture f;
  f.start_driver();
  GuestQueue& queue = f.driver.queue(0);
  queue.submit({queue.writable(4)});
  f.driver.kick(0);
  f.stop();
  queue.submit({queue.writable(4)});  // its kick comes never

  auto owned = std::make_unique<TestDevice>(f.machine.loop);
  TestDevice& device = *owned;
  device.may_answer.set();
  MmioTransport successor("test0", f.machine.env, std::move(owned), f.saved());
  successor.start();
  f.machine.settle();
  CHECK(device.served == 1);
  CHECK(queue.used_index() == 2);
  block_on(f.machine.loop, successor.stop());
}

TEST_CASE("a saved ring that is not in RAM needs a reset") {
  Fixture f;
  f.start_driver();
  f.stop();
  MmioState state = f.saved();
  state.core.queues[0].device_area = f.machine.memory.size();
  Fixture g(state, nullptr);
  CHECK(g.driver.needs_reset());
  CHECK_FALSE(g.device->started(1));
}

TEST_CASE("a saved state that no such device can have is refused") {
  Fixture f;
  f.start_driver();
  f.stop();
  MmioState state = f.saved();
  SECTION("another number of queues") {
    state.core.queues.pop_back();
  }
  SECTION("no queues, but a driver") {
    state.core.queues.clear();
  }
  SECTION("a size beyond the device's") {
    state.core.queues[0].size = 16;
  }
  SECTION("an odd size") {
    state.core.queues[0].size = 5;
  }
  SECTION("features that are not offered") {
    state.core.driver_features |= 1;
  }
  SECTION("a driver without features") {
    state.core.status = kStatusDriverOk;
  }
  CHECK_THROWS_AS(Fixture(state, nullptr), StateError);
}

TEST_CASE("transport state keeps the state contract") {
  Fixture f;
  f.start_driver();
  f.driver.queue(0).submit({f.driver.queue(0).writable(4)});
  f.driver.kick(0);
  f.stop();
  vireo::testing::check_state_contract<MmioState>({{}, f.saved()});
}

TEST_CASE("a device refuses a damaged state, or runs from it") {
  Fixture f;
  f.start_driver();
  f.stop();
  StateWriter writer;
  f.transport->save(writer);
  const StateSection section = writer.take().at("test0");
  const auto load = [](StateSection damaged) {
    StateReader reader(StateSections{{"test0", std::move(damaged)}});
    Fixture g(reader.take<MmioState>("test0"), nullptr);
  };
  for (size_t bit = 0; bit < section.bytes.size() * 8; bit += 7) {
    StateSection flipped = section;
    flipped.bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    try {
      load(flipped);  // another state that is possible
    } catch (const StateError&) {
    }
  }
}

TEST_CASE("a machine's reset stops and resets the device") {
  Fixture f;
  const MmioState power_on = f.saved();
  f.start_driver();
  f.stop();
  f.transport->reset();
  CHECK(f.saved() == power_on);
  f.transport->start();
  CHECK_FALSE(f.device->started(0));
}

TEST_CASE("a doorbell is there from the driver's start on") {
  Fixture f;
  CHECK(f.machine.doorbells.size() == 0);
  f.start_driver();
  CHECK(f.machine.doorbells.ring(layout::kVirtioMmio + mmio::kQueueNotify, 0));
}

TEST_CASE("addresses go with the device") {
  FakeMachine machine;
  { MmioTransport transport("a", machine.env, std::make_unique<TestDevice>(machine.loop)); }
  CHECK(GuestDriver(machine).read(mmio::kMagic) == 0xffffffff);
}

TEST_CASE("devices get places and interrupts of their own") {
  FakeMachine machine;
  MmioTransport a("a", machine.env, std::make_unique<TestDevice>(machine.loop));
  MmioTransport b("b", machine.env, std::make_unique<TestDevice>(machine.loop));
  REQUIRE(machine.platform.acpi.devices().size() == 2);
  CHECK(machine.platform.acpi.devices()[0].address != machine.platform.acpi.devices()[1].address);
  CHECK(machine.platform.acpi.devices()[0].gsi != machine.platform.acpi.devices()[1].gsi);
  CHECK(GuestDriver(machine, 1).read(mmio::kMagic) == mmio::kMagicValue);
}

TEST_CASE("the state of an MMIO transport keeps the contract") {
  MmioState busy{.interrupt_status = 3};
  busy.core = {.status = 0xf,
               .device_features_page = 1,
               .driver_features_page = 1,
               .driver_features = 0x1'3000'0000,
               .queue_select = 1,
               .config_generation = 2};
  busy.core.queues = {{.size = 8,
                       .ready = true,
                       .descriptors = 0x1000,
                       .driver_area = 0x2000,
                       .device_area = 0x3000,
                       .progress = {.next_available = 0xffff, .next_used = 7}},
                      {.size = 256}};
  vireo::testing::check_state_contract<MmioState>({{}, busy});
}

}  // namespace vireo::dev
