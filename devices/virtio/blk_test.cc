#include "devices/virtio/blk.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/testing/guest_driver.h"
#include "devices/testing/test_disk.h"
#include "devices/virtio/mmio.h"
#include "vmm/testing/state_contract.h"

namespace vireo::dev {
namespace {

using namespace std::chrono_literals;
using Calls = std::vector<std::string>;
constexpr uint64_t kDiskSize = 1 * MiB;
constexpr blk::Limits kLimits{.size = kDiskSize, .can_discard = true};
constexpr uint64_t kFeatures = kFeatureIndirect | kFeatureEventIdx | kBlkFeatureFlush |
                               kBlkFeatureConfigWce | kBlkFeatureDiscard | kBlkFeatureWriteZeroes;

struct Fixture {
  explicit Fixture(blk::Limits limits = kLimits, BlkConfig options = {.serial = "disk-1"},
                   BlkState state = {}) {
    auto owned = std::make_unique<TestNode>(limits);
    node = owned.get();
    auto disk = std::make_unique<blk::Disk>("vda", std::move(owned));
    auto device =
        std::make_unique<Blk>("vda", machine.virtio_env(), std::move(disk), options, state);
    blk = device.get();
    transport = std::make_unique<MmioTransport>("vda", machine.env, std::move(device));
    transport->start();
  }
  ~Fixture() {
    node->may_answer.set();
    stop();
    block_on(machine.loop, transport->close());
  }
  void stop() { block_on(machine.loop, transport->stop()); }
  void start(uint64_t features = kFeatures) {
    driver.start(features, std::vector<uint16_t>(blk->info().queue_sizes.size(), 64));
  }
  BlkState saved() const {
    StateWriter writer;
    transport->save(writer);
    return StateReader(writer.take()).take<BlkState>("vda.device");
  }

  // A request on its way.
  struct Pending {
    uint16_t head;
    GuestBuffer status;
  };
  Pending submit(BlkType type, uint64_t sector, std::vector<GuestBuffer> data, uint16_t index = 0) {
    GuestQueue& queue = driver.queue(index);
    BlkHeader header;
    header.type = static_cast<uint32_t>(type);
    header.sector = sector;
    std::vector<GuestBuffer> buffers{queue.readable(bytes_of(header))};
    buffers.insert(buffers.end(), data.begin(), data.end());
    buffers.push_back(queue.readable(bytes_of(uint8_t{0xee})));
    buffers.back().writable = true;
    return {queue.submit(buffers), buffers.back()};
  }
  int status_of(const Pending& pending) {
    return static_cast<int>(driver.queue(0).contents(pending.status)[0]);
  }
  // One request to its end: its status.
  int run(BlkType type, uint64_t sector, std::vector<GuestBuffer> data = {}) {
    const Pending pending = submit(type, sector, std::move(data));
    driver.kick(0);
    last_used = driver.queue(0).take_used().value();
    CHECK(last_used.id == pending.head);
    return status_of(pending);
  }
  int run_range(BlkType type, BlkRange range) {
    return run(type, 0, {driver.queue(0).readable(bytes_of(range))});
  }
  GuestBuffer sectors(size_t count) {
    return driver.queue(0).writable(static_cast<uint32_t>(count * 512));
  }
  GuestBuffer pattern(char c, size_t count = 1) {
    return driver.queue(0).readable(std::string(count * 512, c));
  }
  char disk_byte(uint64_t offset) { return static_cast<char>(node->bytes()[offset]); }

  FakeMachine machine;
  TestNode* node = nullptr;
  Blk* blk = nullptr;
  std::unique_ptr<MmioTransport> transport;
  GuestDriver driver{machine};
  UsedElement last_used;
};

BlkRange range_of(uint64_t sector, uint32_t sectors, uint32_t flags = 0) {
  BlkRange range;
  range.sector = sector;
  range.sectors = sectors;
  range.flags = flags;
  return range;
}

constexpr int kOk = 0, kIoError = 1, kUnsupported = 2;

}  // namespace

TEST_CASE("blk reads and writes") {
  Fixture f;
  f.start();
  CHECK(f.driver.read(mmio::kDeviceId) == 2);
  CHECK(f.run(BlkType::write, 3, {f.pattern('a'), f.pattern('b')}) == kOk);
  CHECK(f.last_used.length == 1);
  CHECK(f.disk_byte(3 * 512 - 1) == 0);
  CHECK(f.disk_byte(3 * 512) == 'a');
  CHECK(f.disk_byte(5 * 512 - 1) == 'b');

  const GuestBuffer first = f.sectors(1), second = f.sectors(2);
  CHECK(f.run(BlkType::read, 3, {first, second}) == kOk);
  CHECK(f.last_used.length == 3 * 512 + 1);
  CHECK(f.driver.queue(0).contents(first)[0] == std::byte{'a'});
  CHECK(f.driver.queue(0).contents(second)[0] == std::byte{'b'});
  CHECK(f.driver.queue(0).contents(second)[512] == std::byte{0});
}

TEST_CASE("blk takes a request in any framing") {
  Fixture f;
  f.start();
  GuestQueue& queue = f.driver.queue(0);
  BlkHeader header;
  header.type = static_cast<uint32_t>(BlkType::read);
  const auto bytes = bytes_of(header);
  f.node->bytes()[0] = std::byte{'x'};
  // A header in two parts; data and status in one.
  const GuestBuffer into = queue.writable(513);
  queue.submit({queue.readable(bytes.first(5)), queue.readable(bytes.subspan(5)), into});
  f.driver.kick(0);
  CHECK(queue.take_used().value().length == 513);
  CHECK(queue.contents(into)[0] == std::byte{'x'});
  CHECK(queue.contents(into)[512] == std::byte{0});
}

TEST_CASE("blk has many requests under way and ends them in any order") {
  Fixture f;
  f.machine.stopped_clock = f.machine.loop.now();
  f.start();
  f.node->may_answer.reset();
  const auto read = f.submit(BlkType::read, 0, {f.sectors(1)});
  const auto write = f.submit(BlkType::write, 8, {f.pattern('w')});
  f.driver.kick(0);
  CHECK(f.node->calls == Calls{"read", "write"});
  CHECK_FALSE(f.driver.queue(0).take_used());
  // One that needs no disk overtakes them.
  f.submit(BlkType::get_id, 0, {f.driver.queue(0).writable(20)});
  f.machine.advance(30us);
  CHECK(f.driver.queue(0).used_index() == 1);
  f.node->may_answer.set();
  f.machine.settle();
  CHECK(f.status_of(read) == kOk);
  CHECK(f.status_of(write) == kOk);
  CHECK(f.driver.queue(0).used_index() == 3);
}

TEST_CASE("blk refuses transfers that leave the disk or are no whole sectors") {
  Fixture f;
  f.start();
  const uint64_t end = kDiskSize / 512;
  CHECK(f.run(BlkType::read, end - 1, {f.sectors(1)}) == kOk);
  CHECK(f.run(BlkType::read, end - 1, {f.sectors(2)}) == kIoError);
  CHECK(f.last_used.length == 0);
  CHECK(f.run(BlkType::write, end, {f.pattern('x')}) == kIoError);
  CHECK(f.run(BlkType::write, ~uint64_t{0}, {f.pattern('x')}) == kIoError);
  CHECK(f.run(BlkType::write, ~uint64_t{0} / 512 + 1, {f.pattern('x')}) == kIoError);
  CHECK(f.run(BlkType::read, 0, {f.driver.queue(0).writable(511)}) == kIoError);
  CHECK(f.run(BlkType::write, 0, {f.driver.queue(0).readable("short")}) == kIoError);
  CHECK(f.node->calls == Calls{"read"});
}

TEST_CASE("blk takes no more segments than it says") {
  Fixture f;
  f.start();
  CHECK(f.driver.read_config<le32>(offsetof(BlkConfigSpace, seg_max)) == Blk::kMaxSegments);
  const auto read_segments = [&](size_t count) {
    BlkHeader header;
    GuestQueue& queue = f.driver.queue(0);
    std::vector<GuestBuffer> buffers{queue.readable(bytes_of(header))};
    for (size_t i = 0; i < count; ++i) buffers.push_back(queue.writable(512));
    const GuestBuffer status = queue.writable(1);
    buffers.push_back(status);
    queue.submit_indirect(buffers);
    f.driver.kick(0);
    return static_cast<int>(queue.contents(status)[0]);
  };
  CHECK(read_segments(Blk::kMaxSegments) == kOk);
  CHECK(read_segments(Blk::kMaxSegments + 1) == kIoError);
}

TEST_CASE("blk returns requests that make no sense") {
  Fixture f;
  f.start();
  GuestQueue& queue = f.driver.queue(0);
  SECTION("no room for the status") {
    queue.submit({queue.readable(bytes_of(BlkHeader{}))});
    f.driver.kick(0);
    CHECK(queue.take_used().value().length == 0);
  }
  SECTION("half a header") {
    const GuestBuffer status = queue.writable(1);
    queue.submit({queue.readable("short"), status});
    f.driver.kick(0);
    CHECK(queue.take_used());
    CHECK(queue.contents(status)[0] == std::byte{kIoError});
  }
  SECTION("a type nobody knows") {
    CHECK(f.run(static_cast<BlkType>(14), 0) == kUnsupported);
    CHECK(f.run(static_cast<BlkType>(0xffffffff), 0) == kUnsupported);
  }
  CHECK(f.node->calls.empty());
  CHECK_FALSE(f.driver.needs_reset());
  CHECK(f.run(BlkType::flush, 0) == kOk);
}

TEST_CASE("blk passes the disk's errors on and goes on") {
  Fixture f;
  f.start();
  f.node->error = std::make_error_code(std::errc::no_space_on_device);
  CHECK(f.run(BlkType::write, 0, {f.pattern('x')}) == kIoError);
  CHECK(f.run(BlkType::read, 0, {f.sectors(1)}) == kIoError);
  CHECK(f.run(BlkType::flush, 0) == kIoError);
  CHECK_FALSE(f.machine.log.empty());
  f.node->error = {};
  CHECK(f.run(BlkType::write, 0, {f.pattern('x')}) == kOk);
}

TEST_CASE("blk says its serial") {
  Fixture f;
  f.start();
  const GuestBuffer id = f.driver.queue(0).writable(20);
  CHECK(f.run(BlkType::get_id, 0, {id}) == kOk);
  CHECK(f.last_used.length == 21);
  const auto bytes = f.driver.queue(0).contents(id);
  CHECK(std::string(reinterpret_cast<const char*>(bytes.data())) == "disk-1");
  CHECK(bytes[19] == std::byte{0});
  // Less room, and more.
  CHECK(f.run(BlkType::get_id, 0, {f.driver.queue(0).writable(4)}) == kOk);
  CHECK(f.run(BlkType::get_id, 0, {f.driver.queue(0).writable(600)}) == kOk);
  CHECK(f.last_used.length == 20);
}

TEST_CASE("blk options are checked") {
  CHECK_THROWS_AS(Fixture(kLimits, BlkConfig{.serial = std::string(21, 'x')}), ConfigError);
  CHECK_THROWS_AS(Fixture(kLimits, BlkConfig{.queues = 0}), ConfigError);
  CHECK_THROWS_AS(Fixture(kLimits, BlkConfig{.queues = 65}), ConfigError);
}

TEST_CASE("a read-only disk takes no writes, whatever the driver accepted, but flushes") {
  Fixture f({.size = kDiskSize, .read_only = true, .can_discard = true});
  CHECK((f.driver.device_features() & kBlkFeatureReadOnly) != 0);
  CHECK((f.driver.device_features() & (kBlkFeatureDiscard | kBlkFeatureWriteZeroes)) == 0);
  f.start(kFeatureIndirect);
  CHECK(f.run(BlkType::write, 0, {f.pattern('x')}) == kIoError);
  CHECK(f.run_range(BlkType::discard, range_of(0, 8)) == kUnsupported);
  CHECK(f.run_range(BlkType::write_zeroes, range_of(0, 8)) == kUnsupported);
  CHECK(f.node->calls.empty());
  CHECK(f.run(BlkType::flush, 0) == kOk);
  CHECK(f.run(BlkType::read, 0, {f.sectors(1)}) == kOk);
}

TEST_CASE("discard keeps to its limits") {
  Fixture f;
  f.start();
  CHECK(f.run_range(BlkType::discard, range_of(8, 16)) == kOk);
  CHECK(f.node->calls == Calls{"discard 4096+8192"});
  f.node->calls.clear();
  CHECK(f.run_range(BlkType::discard, range_of(8, 16, kBlkRangeUnmap)) == kUnsupported);
  CHECK(f.run_range(BlkType::discard, range_of(8, 16, 2)) == kUnsupported);
  CHECK(f.run_range(BlkType::discard, range_of(kDiskSize / 512 - 1, 2)) == kIoError);
  CHECK(f.run_range(BlkType::discard, range_of(~uint64_t{0}, 2)) == kIoError);
  CHECK(f.run(BlkType::discard, 0) == kIoError);  // no range
  CHECK(f.run(BlkType::discard, 0, {f.driver.queue(0).readable("17 bytes of range")}) == kIoError);
  CHECK(f.node->calls.empty());

  const auto ranges = [&](size_t count) {
    std::vector<BlkRange> many(count, range_of(0, 1));
    return f.run(BlkType::discard, 0, {f.driver.queue(0).readable(std::as_bytes(std::span(many)))});
  };
  CHECK(ranges(Blk::kMaxDiscardRanges) == kOk);
  CHECK(f.node->calls.size() == Blk::kMaxDiscardRanges);
  CHECK(ranges(Blk::kMaxDiscardRanges + 1) == kIoError);
  CHECK(ranges(1000) == kIoError);
  CHECK(f.node->calls.size() == Blk::kMaxDiscardRanges);
}

TEST_CASE("a discard that is too large for one range is refused") {
  Fixture f({.size = 4 * MiB, .can_discard = true});
  f.start();
  // The largest range that the limit allows is beyond this disk: the limit itself shows by flags.
  CHECK(f.driver.read_config<le32>(offsetof(BlkConfigSpace, max_discard_sectors)) ==
        Blk::kMaxDiscardSectors);
  CHECK(f.run_range(BlkType::discard, range_of(0, 0xffffffff)) == kIoError);
}

TEST_CASE("write-zeroes keeps to its limits") {
  Fixture f({.size = 2 * kBlkSector * Blk::kMaxZeroSectors / 64});
  f.start(kFeatures & ~kBlkFeatureDiscard);
  std::fill_n(f.node->bytes().begin(), 4096, std::byte{'x'});
  CHECK(f.run_range(BlkType::write_zeroes, range_of(1, 2)) == kOk);
  CHECK(f.disk_byte(511) == 'x');
  CHECK(f.disk_byte(512) == 0);
  CHECK(f.disk_byte(3 * 512 - 1) == 0);
  CHECK(f.disk_byte(3 * 512) == 'x');
  CHECK(f.run_range(BlkType::write_zeroes, range_of(1, 2, kBlkRangeUnmap)) == kOk);
  CHECK(f.node->calls == Calls{"zero", "zero unmap"});
  CHECK(f.run_range(BlkType::write_zeroes, range_of(1, 2, 2)) == kUnsupported);
  CHECK(f.run_range(BlkType::write_zeroes, range_of(0, Blk::kMaxZeroSectors + 1)) == kIoError);
  const std::vector<BlkRange> two(2, range_of(0, 1));
  CHECK(f.run(BlkType::write_zeroes, 0,
              {f.driver.queue(0).readable(std::as_bytes(std::span(two)))}) == kIoError);
  // Discard is not offered by a disk that can not.
  CHECK(f.run_range(BlkType::discard, range_of(0, 1)) == kUnsupported);
}

TEST_CASE("the cache mode is the driver's choice") {
  Fixture f;
  f.start();
  const auto mode = [&] { return f.driver.read_config<uint8_t>(32); };
  CHECK(mode() == 1);
  CHECK(f.run(BlkType::write, 0, {f.pattern('x')}) == kOk);
  f.driver.write_config(32, uint8_t{0});
  CHECK(mode() == 0);
  CHECK(f.run(BlkType::write, 0, {f.pattern('x')}) == kOk);
  CHECK(f.run_range(BlkType::write_zeroes, range_of(0, 1)) == kOk);
  CHECK(f.run_range(BlkType::discard, range_of(0, 1)) == kOk);
  CHECK(f.node->calls == Calls{"write", "write fua", "zero", "flush", "discard 0+512", "flush"});
  CHECK(f.saved() == BlkState{.writeback = false});
  f.driver.write_config(0, le64(1));  // not the driver's
  CHECK(f.driver.read_config<le64>(0) == kDiskSize / 512);
  f.driver.reset();
  CHECK(mode() == 1);
  CHECK(f.saved() == BlkState{});
}

TEST_CASE("a driver that can not flush gets stable writes") {
  Fixture f;
  SECTION("neither flush nor cache mode") {
    f.start(0);
  }
  SECTION("cache mode only") {
    f.start(kBlkFeatureConfigWce);
    CHECK(f.driver.read_config<uint8_t>(32) == 0);
  }
  CHECK(f.run(BlkType::write, 0, {f.pattern('x')}) == kOk);
  CHECK(f.node->calls == Calls{"write fua"});
}

TEST_CASE("a driver that flushes gets a cache even where it can not choose") {
  Fixture f;
  f.start(kBlkFeatureFlush);
  CHECK(f.run(BlkType::write, 0, {f.pattern('x')}) == kOk);
  CHECK(f.node->calls == Calls{"write"});
}

TEST_CASE("blk tells what the disk is like") {
  const auto block_size = [](Fixture& f) { return f.driver.read_config<le32>(20); };
  const auto physical_exponent = [](Fixture& f) { return f.driver.read_config<uint8_t>(24); };
  Fixture f({.size = 100 * 4096 + 512, .block = 4096, .optimal_block = 65536});
  CHECK((f.driver.device_features() & kBlkFeatureDiscard) == 0);
  const auto config = f.driver.read_config<le64>(0);
  CHECK(config == 801);
  CHECK(block_size(f) == 512);  // whatever the host's file system works in
  CHECK(physical_exponent(f) == 3);
  CHECK(f.driver.read_config<uint8_t>(25) == 0);  // no offset of the alignment
  CHECK(f.driver.read_config<le16>(26) == 128);   // smallest and best transfer: 64 KiB
  CHECK(f.driver.read_config<le32>(28) == 128);
  CHECK(f.driver.read_config<le32>(44) == 128);   // discards are aligned to that
  CHECK(f.driver.read_config<uint8_t>(56) == 0);  // zeroes do not unmap
  Fixture device({.size = 4 * MiB, .block = 4096, .logical_block = 4096});
  CHECK(block_size(device) == 4096);
  CHECK(physical_exponent(device) == 0);
}

TEST_CASE("queues work side by side") {
  Fixture f(kLimits, {.queues = 3});
  CHECK((f.driver.device_features() & kBlkFeatureMq) != 0);
  CHECK(f.driver.read_config<le16>(34) == 3);
  f.start(kFeatures | kBlkFeatureMq);
  f.node->may_answer.reset();
  for (uint16_t i = 0; i < 3; ++i) {
    f.submit(BlkType::write, i, {f.pattern(static_cast<char>('a' + i))}, i);
    f.driver.kick(i);
  }
  CHECK(f.node->calls.size() == 3);
  f.node->may_answer.set();
  for (uint16_t i = 0; i < 3; ++i) {
    CHECK(f.driver.queue(i).take_used());
    CHECK(f.disk_byte(i * 512U) == 'a' + i);
  }
}

TEST_CASE("a new size is told to the driver") {
  Fixture f;
  f.start();
  f.driver.take_interrupts();
  CHECK_FALSE(block_on(f.machine.loop, f.blk->resize(2 * kDiskSize)));
  CHECK(f.driver.read_config<le64>(0) == 2 * kDiskSize / 512);
  CHECK(f.driver.take_interrupt_status() == mmio::kInterruptConfig);
  CHECK(f.run(BlkType::write, kDiskSize / 512, {f.pattern('n')}) == kOk);
}

TEST_CASE("stopping and resetting wait for the disk") {
  Fixture f;
  f.start();
  f.node->may_answer.reset();
  const auto write = f.submit(BlkType::write, 0, {f.pattern('x')});
  f.driver.kick(0);
  const EventLoop::Registration later =
      f.machine.loop.after(std::chrono::milliseconds(1), [&] { f.node->may_answer.set(); });
  SECTION("stop") {
    f.stop();
  }
  SECTION("reset") {
    f.driver.reset();
  }
  CHECK(f.status_of(write) == kOk);
  CHECK(f.disk_byte(0) == 'x');
  CHECK(f.blk->disk().in_flight() == 0);
  CHECK(f.node->hurries > 0);
}

TEST_CASE("blk state is kept") {
  const BlkState state{.writeback = false, .kept = {{1, 7}, {0, 3}}};
  vireo::testing::check_state_contract<BlkState>({{}, {.writeback = false}, state});
  CHECK_THROWS_AS(Fixture(kLimits, {.queues = 1}, state), StateError);
}

TEST_CASE("blk goes on with the cache mode it was saved in") {
  const BlkState state{.writeback = false};
  Fixture f(kLimits, {}, state);
  CHECK(f.saved() == state);
  CHECK(f.driver.read_config<uint8_t>(32) == 0);
}

TEST_CASE("closing the device closes the disk") {
  Fixture f;
  f.start();
  CHECK(f.run(BlkType::write, 0, {f.pattern('x')}) == kOk);
  f.stop();
  block_on(f.machine.loop, f.transport->close());
  CHECK(f.node->calls.back() == "close");
}

// Requests that find the host's file system full.
struct FullDisk : Fixture {
  explicit FullDisk(uint16_t queues = 1)
      : Fixture(kLimits, {.queues = queues,
                          .no_space = [this](const std::string& why) { asked.push_back(why); }}) {
    start();
    node->error = std::make_error_code(std::errc::no_space_on_device);
  }
  void resume() {
    transport->start();
    machine.settle();
  }
  std::vector<std::string> asked{};
};

TEST_CASE("a write without room on the host waits until the machine was paused and resumed") {
  FullDisk f;
  const auto first = f.submit(BlkType::write, 0, {f.pattern('a')});
  const auto second = f.submit(BlkType::write, 1, {f.pattern('b')});
  f.driver.kick(0);
  CHECK(f.asked.size() == 1);
  CHECK_THAT(f.asked[0], Catch::Contains("'vda'") && Catch::Contains("no space"));
  CHECK_FALSE(f.driver.queue(0).take_used());
  CHECK(f.status_of(first) == 0xee);
  SECTION("resumed too early, it waits again") {
    f.stop();
    f.resume();
    CHECK(f.asked.size() == 2);
    CHECK_FALSE(f.driver.queue(0).take_used());
  }
  SECTION("other requests go on meanwhile") {
    f.node->error = {};
    CHECK(f.run(BlkType::read, 5, {f.sectors(1)}) == kOk);
  }
  f.stop();
  CHECK(f.saved().kept == std::vector<BlkState::KeptRequest>{{0, first.head}, {0, second.head}});
  f.node->error = {};
  f.driver.take_interrupts();
  f.resume();
  CHECK(f.status_of(first) == kOk);
  CHECK(f.status_of(second) == kOk);
  CHECK(f.disk_byte(0) == 'a');
  CHECK(f.disk_byte(512) == 'b');
  CHECK(f.driver.take_interrupts() > 0);
  f.stop();
  CHECK(f.saved() == BlkState{});
}

TEST_CASE("flushes, discards and zeroing wait for room, too, each on its queue") {
  FullDisk f(2);
  const auto flush = f.submit(BlkType::flush, 0, {}, 1);
  f.driver.kick(1);
  const GuestBuffer range = f.driver.queue(0).readable(bytes_of(range_of(0, 8)));
  const auto zero = f.submit(BlkType::write_zeroes, 0, {range});
  const auto discard = f.submit(BlkType::discard, 0, {range});
  f.driver.kick(0);
  CHECK(f.asked.size() == 1);
  f.stop();
  CHECK(f.saved().kept.size() == 3);
  f.node->error = {};
  f.resume();
  CHECK(f.status_of(zero) == kOk);
  CHECK(f.status_of(discard) == kOk);
  CHECK(static_cast<int>(f.driver.queue(1).contents(flush.status)[0]) == kOk);
}

TEST_CASE("only the lack of room keeps a request") {
  FullDisk f;
  f.node->error = std::make_error_code(std::errc::io_error);
  CHECK(f.run(BlkType::write, 0, {f.pattern('x')}) == kIoError);
  CHECK(f.asked.empty());
}

TEST_CASE("a driver's reset forgets the requests that wait for room") {
  FullDisk f;
  f.submit(BlkType::write, 0, {f.pattern('a')});
  f.driver.kick(0);
  f.driver.reset();
  f.stop();
  CHECK(f.saved() == BlkState{});
}

TEST_CASE("a kept request that is none ends the queue, not the process") {
  const uint16_t head = GENERATE(uint16_t{64}, uint16_t{65535}, uint16_t{3});
  Fixture f(kLimits, {.no_space = [](const std::string&) {}},
            {.kept = {{0, head}, {0, head}}});  // twice the same: one at most is the driver's
  f.node->may_answer.reset();
  f.start();
  CHECK(f.driver.needs_reset());
}

// What ends in one turn of the loop is told by one interrupt.
TEST_CASE("requests that end together interrupt the driver once") {
  Fixture f;
  f.start(kFeatures & ~kFeatureEventIdx);
  f.node->may_answer.reset();
  for (uint64_t i = 0; i < 8; ++i) f.submit(BlkType::read, i, {f.sectors(1)});
  f.driver.kick(0);
  f.driver.take_interrupts();
  f.node->may_answer.set();
  f.machine.settle();
  CHECK(f.driver.queue(0).used_index() == 8);
  CHECK(f.driver.take_interrupts() == 1);
}

TEST_CASE("a driver that keeps the disk busy needs not notify") {
  Fixture f;
  f.machine.stopped_clock = f.machine.loop.now();
  f.start();
  f.node->may_answer.reset();
  f.submit(BlkType::read, 0, {f.sectors(1)});
  f.driver.kick(0);
  CHECK(f.driver.queue(0).available_event() == 1);  // with one under way, it has to
  f.submit(BlkType::read, 1, {f.sectors(1)});
  f.driver.kick(0);
  CHECK(f.node->calls.size() == 2);
  CHECK(f.driver.queue(0).available_event() == 1);
  f.submit(BlkType::read, 2, {f.sectors(1)});
  f.machine.advance(29us);
  CHECK(f.node->calls.size() == 2);
  f.machine.advance(1us);
  CHECK(f.node->calls.size() == 3);
  f.machine.advance(30us);
  CHECK(f.driver.queue(0).available_event() == 3);  // it has added nothing more
  SECTION("and is looked at as soon as the disk has little left to do") {
    f.submit(BlkType::read, 3, {f.sectors(1)});
    f.driver.kick(0);
    f.submit(BlkType::read, 4, {f.sectors(1)});
    f.node->may_answer.set();
    f.machine.settle();
    CHECK(f.node->calls.size() == 5);
    CHECK(f.driver.queue(0).used_index() == 5);
  }
  SECTION("and can be stopped") {
    f.submit(BlkType::read, 3, {f.sectors(1)});
    f.driver.kick(0);
    f.node->may_answer.set();
    f.stop();
    CHECK(f.driver.queue(0).used_index() == 4);
  }
}

// A request that needs no disk ends at once.
TEST_CASE("of many requests under way, a quarter ends before the driver is interrupted") {
  Fixture f;
  f.machine.stopped_clock = f.machine.loop.now();
  f.start(kFeatures & ~kFeatureEventIdx);
  f.node->may_answer.reset();
  for (uint64_t i = 0; i < 8; ++i) f.submit(BlkType::read, i, {f.sectors(1)});
  f.submit(BlkType::get_id, 0, {f.driver.queue(0).writable(20)});
  f.driver.kick(0);
  CHECK(f.driver.queue(0).used_index() == 1);
  CHECK(f.driver.take_interrupts() == 0);
  SECTION("or some time passes") {
    f.machine.advance(30us);
    CHECK(f.driver.take_interrupts() == 1);
  }
  SECTION("or all have ended") {
    f.node->may_answer.set();
    f.machine.settle();
    CHECK(f.driver.queue(0).used_index() == 9);
    CHECK(f.driver.take_interrupts() == 1);
  }
  SECTION("or the machine is stopped") {
    f.node->may_answer.set();
    f.stop();
    CHECK(f.driver.take_interrupts() == 1);
  }
}

}  // namespace vireo::dev
