#include "devices/virtio/net.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/testing/guest_driver.h"
#include "devices/testing/test_net.h"
#include "devices/virtio/mmio.h"
#include "vmm/testing/state_contract.h"

namespace vireo::dev {
namespace {

using namespace std::chrono_literals;

constexpr MacBytes kMac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
constexpr NetOffloads kAll{true, true, true, true, true};
constexpr uint64_t kHostAll =
    kNetHostChecksum | kNetHostTcp4 | kNetHostTcp6 | kNetHostEcn | kNetHostUdp;
constexpr uint64_t kControl = kNetControlQueue | kNetControlReceive | kNetControlVlan |
                              kNetControlMac | kNetControlReceiveExtra;
constexpr NetTraits kTap{.from_guest = kAll, .to_guest = kAll};

std::vector<std::byte> frame_to(const MacBytes& to, size_t length, uint16_t vlan = 0) {
  ByteWriter writer;
  writer.put(to);
  writer.put(MacBytes{2, 0, 0, 0, 0, 1});
  if (vlan != 0) {
    writer.put(be16(0x8100));
    writer.put(be16(vlan));
  }
  writer.put(be16(0x0800));
  std::vector<std::byte> frame = writer.take();
  for (size_t i = frame.size(); i < length; ++i) frame.push_back(static_cast<std::byte>(i % 251));
  frame.resize(length);
  return frame;
}

struct Fixture {
  explicit Fixture(NetTraits traits = {}, NetConfig config = {.mac = kMac}, NetState state = {}) {
    auto owned = std::make_unique<TestNet>(traits);
    net = owned.get();
    auto made = std::make_unique<Net>("net0", machine.virtio_env(), std::move(owned), config,
                                      std::move(state));
    device = made.get();
    transport = std::make_unique<MmioTransport>("net0", machine.env, std::move(made));
    transport->start();
  }
  ~Fixture() { block_on(machine.loop, transport->stop()); }

  void start(uint64_t features, uint16_t size = 16, size_t queues = 3) {
    driver.start(features, std::vector<uint16_t>(queues, size));
  }
  // Gives receive buffers of one descriptor each.
  std::vector<GuestBuffer> offer(size_t count, uint32_t length, uint16_t pair = 0) {
    GuestQueue& queue = driver.queue(static_cast<uint16_t>(2 * pair));
    std::vector<GuestBuffer> buffers;
    for (size_t i = 0; i < count; ++i) {
      buffers.push_back(queue.writable(length));
      queue.submit({buffers.back()});
    }
    driver.kick(static_cast<uint16_t>(2 * pair));
    return buffers;
  }
  void arrive(std::vector<std::byte> bytes, NetHeader header = {}) {
    net->arrive({header, std::move(bytes)});
    machine.settle();
  }
  void send(const NetHeader& header, std::span<const std::byte> frame) {
    GuestQueue& queue = driver.queue(1);
    queue.submit({queue.readable(bytes_of(header)), queue.readable(frame)});
    driver.kick(1);
  }
  // The answer to a command, or nothing.
  std::optional<uint8_t> command(uint8_t klass, uint8_t number, std::span<const std::byte> data,
                                 uint16_t index = 2) {
    GuestQueue& queue = driver.queue(index);
    const auto answer = queue.writable(1);
    std::vector<GuestBuffer> chain{queue.readable(bytes_of(NetCommand{klass, number}))};
    if (!data.empty()) chain.push_back(queue.readable(data));
    chain.push_back(answer);
    queue.submit(chain);
    driver.kick(index);
    if (!queue.take_used()) return std::nullopt;
    return static_cast<uint8_t>(queue.contents(answer)[0]);
  }
  std::optional<uint8_t> receive_mode(uint8_t mode, uint8_t on) {
    return command(kNetClassReceive, mode, bytes_of(on));
  }
  NetConfigSpace config() const { return driver.read_config<NetConfigSpace>(0); }

  FakeMachine machine;
  TestNet* net = nullptr;
  Net* device = nullptr;
  std::unique_ptr<MmioTransport> transport;
  GuestDriver driver{machine};
};

// The frame that came in these buffers, by the used ring's account.
std::vector<std::byte> received(GuestQueue& queue, const std::vector<GuestBuffer>& buffers,
                                size_t count) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < count; ++i) {
    const auto used = queue.take_used();
    REQUIRE(used);
    auto part = queue.contents(buffers[i]);
    part.resize(used->length);
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  return bytes;
}

NetHeader header_of(const std::vector<std::byte>& bytes) {
  return ByteReader(bytes).get<NetHeader>();
}

}  // namespace

TEST_CASE("net offers what its network can do") {
  Fixture plain;
  const uint64_t offered = plain.driver.device_features();
  CHECK((offered & (kHostAll | kNetGuestOffloads | kNetControlGuestOffloads)) == 0);
  CHECK((offered & (kNetMac | kNetMergeBuffers | kNetStatus | kControl | kNetAnnounce)) ==
        (kNetMac | kNetMergeBuffers | kNetStatus | kControl | kNetAnnounce));
  CHECK((offered & (kNetMtu | kNetMultiQueue)) == 0);
  CHECK(plain.driver.read(mmio::kDeviceId) == 1);
  CHECK(plain.config().mac == kMac);
  CHECK(plain.config().status == kNetLinkUp);

  NetTraits traits = kTap;
  traits.queue_pairs = 2;
  Fixture tap(traits, {.mac = kMac, .mtu = 9000});
  constexpr uint64_t kMore = kHostAll | kNetGuestOffloads | kNetMtu | kNetMultiQueue;
  CHECK((tap.driver.device_features() & kMore) == kMore);
  CHECK(tap.config().mtu == 9000);
  CHECK(tap.config().max_queue_pairs == 2);
}

TEST_CASE("net refuses impossible configurations") {
  const auto make = [](NetConfig config, NetTraits traits = {}) { Fixture f(traits, config); };
  CHECK_THROWS_AS(make({.mac = {1, 0, 0, 0, 0, 1}}), ConfigError);
  CHECK_THROWS_AS(make({}), ConfigError);
  CHECK_THROWS_AS(make({.mac = kMac, .mtu = 67}), ConfigError);
  CHECK_THROWS_AS(make({.mac = kMac}, {.queue_pairs = 17}), ConfigError);
}

TEST_CASE("net gives received frames to the driver, with one buffer in the header") {
  for (const uint64_t features : {uint64_t{0}, kNetMergeBuffers, kFeatureEventIdx}) {
    Fixture f;
    f.start(features);
    const auto buffers = f.offer(4, 2048);
    const auto frame = frame_to(kMac, 1514);
    f.arrive(frame);
    auto bytes = received(f.driver.queue(0), buffers, 1);
    REQUIRE(bytes.size() == sizeof(NetHeader) + frame.size());
    CHECK(header_of(bytes).buffers == 1);
    bytes.erase(bytes.begin(), bytes.begin() + sizeof(NetHeader));
    CHECK(bytes == frame);
    CHECK(f.driver.take_interrupts() == 1);
    CHECK(f.device->statistics().received.frames == 1);
    CHECK(f.device->statistics().received.bytes == 1514);
  }
}

TEST_CASE("net spreads a frame over mergeable buffers") {
  Fixture f(kTap);
  f.start(kNetMergeBuffers | kNetGuestChecksum | kNetGuestTcp4, 64);
  const auto buffers = f.offer(50, 1526);
  const auto frame = frame_to(kMac, 60000);
  f.arrive(frame, {.flags = kNetNeedsChecksum,
                   .gso_type = kGsoTcp4,
                   .segment_size = 1448,
                   .checksum_start = 34,
                   .checksum_offset = 16});
  auto bytes = received(f.driver.queue(0), buffers, 40);
  CHECK(header_of(bytes).buffers == 40);
  CHECK(header_of(bytes).segment_size == 1448);
  CHECK(header_of(bytes).gso_type == kGsoTcp4);
  bytes.erase(bytes.begin(), bytes.begin() + sizeof(NetHeader));
  CHECK(bytes == frame);
  CHECK_FALSE(f.driver.queue(0).take_used());
}

// 5.1.6.4.2: a driver that looks meanwhile would miss the rest, and drop the frame.
TEST_CASE("the driver sees the buffers of a frame all at once") {
  constexpr uint16_t kBuffers = 32;
  Fixture f(kTap);
  f.start(kNetMergeBuffers, kBuffers);
  GuestQueue& queue = f.driver.queue(0);
  const auto buffers = f.offer(kBuffers, 1500);
  std::atomic<bool> done = false;
  std::atomic<unsigned> partial = 0;
  std::thread driver([&] {
    while (!done)
      if (queue.used_index() % kBuffers != 0) ++partial;
  });
  for (int i = 0; i < 500; ++i) {
    f.arrive(frame_to(kMac, size_t{1500} * kBuffers - sizeof(NetHeader)));
    for (uint16_t head = 0; head < kBuffers; ++head) queue.make_available(head);
    f.driver.kick(0);
  }
  done = true;
  driver.join();
  CHECK(f.device->statistics().received.frames == 500);
  CHECK(partial == 0);
}

TEST_CASE("frames of all lengths, one after the other") {
  Fixture f(kTap);
  f.start(kNetMergeBuffers | kNetGuestChecksum | kNetGuestTcp4, 256);
  GuestQueue& queue = f.driver.queue(0);
  std::deque<GuestBuffer> given;
  uint32_t size = 1;
  for (size_t length : {60U, 65535U, 1514U, 1U, 30000U, 65553U, 14U, 9014U, 100U, 2036U, 2037U}) {
    while (given.size() < 100) {
      size = size * 7 % 1500 + 26;  // the first of a frame has room for its start
      given.push_back(queue.writable(size + 1000));
      queue.submit({given.back()});
    }
    f.driver.kick(0);
    const auto frame = frame_to(kMac, length);
    f.arrive(frame);
    std::vector<std::byte> bytes;
    uint16_t count = 0;
    for (auto used = queue.take_used(); used; used = queue.take_used(), ++count) {
      auto part = queue.contents(given.front());
      part.resize(used->length);
      bytes.insert(bytes.end(), part.begin(), part.end());
      given.pop_front();
    }
    CHECK(header_of(bytes).buffers == count);
    bytes.erase(bytes.begin(), bytes.begin() + sizeof(NetHeader));
    CHECK(bytes == frame);
    if (f.driver.heap().allocate(0) > FakeMachine::kMemory / 2) break;
  }
  CHECK(f.device->statistics().received.dropped == 0);
}

TEST_CASE("net keeps a frame until the driver has given enough buffers for it") {
  Fixture f(kTap);
  f.start(kNetMergeBuffers | kNetGuestChecksum | kNetGuestTcp4, 64);
  const auto frame = frame_to(kMac, 30000);
  auto buffers = f.offer(10, 1000);
  f.arrive(frame);
  CHECK_FALSE(f.driver.queue(0).take_used());
  const auto more = f.offer(25, 1000);
  buffers.insert(buffers.end(), more.begin(), more.end());
  auto bytes = received(f.driver.queue(0), buffers, 31);
  bytes.erase(bytes.begin(), bytes.begin() + sizeof(NetHeader));
  CHECK(bytes == frame);
  f.arrive(frame_to(kMac, 100));
  CHECK(f.driver.queue(0).take_used());
}

TEST_CASE("net drops a frame that the driver's whole ring has no room for, and goes on") {
  Fixture f(kTap);
  f.start(kNetMergeBuffers | kNetGuestChecksum | kNetGuestTcp4, 8);
  const auto buffers = f.offer(8, 200);
  f.arrive(frame_to(kMac, 30000));
  CHECK_FALSE(f.driver.queue(0).take_used());
  CHECK(f.device->statistics().received.dropped == 1);
  const auto frame = frame_to(kMac, 300);
  f.arrive(frame);
  auto bytes = received(f.driver.queue(0), buffers, 2);
  bytes.erase(bytes.begin(), bytes.begin() + sizeof(NetHeader));
  CHECK(bytes == frame);
}

// 5.1.6.3.1: a buffer that is to be merged holds a header, because any may be the first of a frame.
TEST_CASE("net gives back a buffer that is too small to begin the next frame") {
  Fixture f(kTap);
  f.start(kNetMergeBuffers, 64);
  GuestQueue& queue = f.driver.queue(0);
  f.offer(1, 1000);
  f.offer(1, sizeof(NetHeader) - 1);
  f.offer(1, sizeof(NetHeader));
  f.offer(1, 1000);
  f.arrive(frame_to(kMac, 100));
  f.arrive(frame_to(kMac, 200));
  CHECK(queue.take_used()->length == 0);
  CHECK(queue.take_used()->length == sizeof(NetHeader) + 100);
  CHECK(queue.take_used()->length == sizeof(NetHeader));
  CHECK(queue.take_used()->length == 200);
  CHECK_FALSE(f.driver.needs_reset());
}

TEST_CASE("net drops what does not fit a buffer that can not be merged") {
  Fixture f(kTap);
  f.start(kNetGuestChecksum | kNetGuestTcp4);
  f.offer(1, 500);
  f.arrive(frame_to(kMac, 1000));
  CHECK_FALSE(f.driver.queue(0).take_used());
  CHECK(f.device->statistics().received.dropped == 1);
  f.arrive(frame_to(kMac, 100));
  CHECK(f.driver.queue(0).take_used()->length == 112);
}

TEST_CASE("net reads nothing while the driver gives no buffers, and gives useless ones back") {
  Fixture f;
  f.start(0);
  f.arrive(frame_to(kMac, 60));
  CHECK(f.net->waiting[0].size() == 1);
  GuestQueue& queue = f.driver.queue(0);
  queue.submit({queue.writable(10)});
  queue.submit({queue.readable("no room at all")});
  queue.submit({queue.writable(2000)});
  f.driver.kick(0);
  CHECK(queue.take_used()->length == 0);
  CHECK(queue.take_used()->length == 0);
  CHECK(queue.take_used()->length == 72);
  CHECK_FALSE(f.driver.needs_reset());
}

TEST_CASE("net sends the driver's frames") {
  Fixture f;
  f.start(0);
  const auto frame = frame_to({2, 2, 2, 2, 2, 2}, 500);
  f.send({}, frame);
  REQUIRE(f.net->sent[0].size() == 1);
  CHECK(f.net->sent[0][0].bytes == frame);
  CHECK(f.net->sent[0][0].header == NetHeader{});
  CHECK(f.driver.queue(1).take_used());
  CHECK(f.driver.take_interrupts() == 1);
  CHECK(f.device->statistics().sent.bytes == 500);
}

TEST_CASE("net sends frames however they are cut into buffers") {
  Fixture f;
  f.start(kFeatureIndirect);
  GuestQueue& queue = f.driver.queue(1);
  const auto frame = frame_to(kMac, 1010);
  std::vector<std::byte> all(sizeof(NetHeader));
  all.insert(all.end(), frame.begin(), frame.end());
  std::vector<GuestBuffer> pieces;
  for (const std::byte& byte : all) pieces.push_back(queue.readable(std::span(&byte, 1)));
  queue.submit_indirect(pieces);
  f.driver.kick(1);
  REQUIRE(f.net->sent[0].size() == 1);
  CHECK(f.net->sent[0][0].bytes == frame);
}

TEST_CASE("net passes on the offloads that were negotiated") {
  Fixture f(kTap);
  f.start(kHostAll);
  const auto frame = frame_to(kMac, 5000);
  const NetHeader tcp{.flags = kNetNeedsChecksum,
                      .gso_type = kGsoTcp4 | kGsoEcn,
                      .header_length = 54,
                      .segment_size = 1448,
                      .checksum_start = 34,
                      .checksum_offset = 16};
  f.send(tcp, frame);
  REQUIRE(f.net->sent[0].size() == 1);
  CHECK(f.net->sent[0][0].header == tcp);
  // What means nothing does not get through.
  f.send({.flags = 0x82, .checksum_start = 7, .buffers = 9}, frame);
  CHECK(f.net->sent[0][1].header == NetHeader{});
}

TEST_CASE("net drops frames that lie about themselves, and offloads nobody agreed on") {
  const NetHeader tcp{.flags = kNetNeedsChecksum,
                      .gso_type = kGsoTcp4,
                      .segment_size = 1448,
                      .checksum_start = 34,
                      .checksum_offset = 16};
  const auto changed = [&](auto change) {
    NetHeader header = tcp;
    change(header);
    return header;
  };
  const std::vector<NetHeader> lies{
      changed([](NetHeader& h) { h.checksum_start = 99; }),
      changed([](NetHeader& h) { h.checksum_offset = 65535; }),
      changed([](NetHeader& h) { h.segment_size = 0; }),
      changed([](NetHeader& h) { h.flags = 0; }),
      changed([](NetHeader& h) { h.header_length = 101; }),
      changed([](NetHeader& h) { h.gso_type = 2; }),
      changed([](NetHeader& h) { h.gso_type = 77; }),
      changed([](NetHeader& h) { h.gso_type = kGsoEcn; }),
  };
  Fixture f(kTap);
  f.start(kHostAll);
  for (const NetHeader& lie : lies) f.send(lie, frame_to(kMac, 100));
  f.send({}, frame_to(kMac, 13));
  f.send({}, frame_to(kMac, kMaxFrame + 1));
  GuestQueue& queue = f.driver.queue(1);
  queue.submit({queue.readable("short")});
  f.driver.kick(1);
  CHECK(f.net->sent[0].empty());
  CHECK(f.device->statistics().sent.refused == lies.size() + 3);
  for (size_t i = 0; i < lies.size() + 3; ++i) CHECK(queue.take_used());
  CHECK_FALSE(f.driver.needs_reset());

  Fixture modest(kTap);
  modest.start(kNetHostChecksum);
  modest.send(tcp, frame_to(kMac, 100));
  CHECK(modest.net->sent[0].empty());
  Fixture plain(kTap);
  plain.start(0);
  plain.send({.flags = kNetNeedsChecksum, .checksum_start = 34, .checksum_offset = 6},
             frame_to(kMac, 100));
  CHECK(plain.net->sent[0].empty());
}

TEST_CASE("while a driver sends much, what it receives comes together") {
  Fixture f(kTap);
  f.machine.stopped_clock = f.machine.loop.now();
  f.start(kNetMergeBuffers | kNetHostChecksum | kNetHostTcp4, 64);
  f.offer(8, 2048);
  const auto acknowledgement = frame_to(kMac, 60);
  const NetHeader long_frame{.flags = kNetNeedsChecksum,
                             .gso_type = kGsoTcp4,
                             .segment_size = 1448,
                             .checksum_start = 34,
                             .checksum_offset = 16};
  f.send({}, frame_to(kMac, 500));
  f.arrive(acknowledgement);
  f.arrive(acknowledgement);
  CHECK(f.net->waiting[0].empty());  // little was sent: each is delivered as it comes

  f.send(long_frame, frame_to(kMac, 40000));
  f.arrive(acknowledgement);
  CHECK(f.net->waiting[0].empty());
  f.driver.take_interrupts();
  f.arrive(acknowledgement);
  f.arrive(acknowledgement);
  f.machine.advance(29us);
  CHECK(f.net->waiting[0].size() == 2);
  CHECK(f.driver.take_interrupts() == 0);
  f.machine.advance(1us);
  CHECK(f.net->waiting[0].empty());
  CHECK(f.driver.take_interrupts() == 1);
  f.arrive(acknowledgement);
  CHECK(f.net->waiting[0].empty());
  CHECK(f.driver.take_interrupts() == 1);
}

TEST_CASE("while a driver receives much, what it sends is looked for now and then") {
  Fixture f(kTap);
  f.machine.stopped_clock = f.machine.loop.now();
  f.start(kNetMergeBuffers | kNetGuestChecksum | kNetGuestTcp4 | kFeatureEventIdx, 64);
  f.offer(40, 2048);
  f.arrive(frame_to(kMac, 40000));
  f.send({}, frame_to(kMac, 60));
  CHECK(f.net->sent[0].size() == 1);
  GuestQueue& queue = f.driver.queue(1);
  queue.submit({queue.readable(bytes_of(NetHeader{})), queue.readable(frame_to(kMac, 60))});
  CHECK(queue.available_event() == 0);  // no notification is asked for
  f.machine.advance(29us);
  CHECK(f.net->sent[0].size() == 1);
  f.machine.advance(1us);
  CHECK(f.net->sent[0].size() == 2);
}

TEST_CASE("net holds the driver's frames while the network takes none") {
  Fixture f;
  f.net->room = 1;
  f.start(0);
  const auto first = frame_to(kMac, 100);
  const auto second = frame_to(kMac, 200);
  f.send({}, first);
  f.send({}, second);
  CHECK(f.net->sent[0].size() == 1);
  CHECK(f.driver.queue(1).take_used());
  CHECK_FALSE(f.driver.queue(1).take_used());
  f.net->make_room(10);
  f.machine.settle();
  REQUIRE(f.net->sent[0].size() == 2);
  CHECK(f.net->sent[0][1].bytes == second);
  CHECK(f.driver.queue(1).take_used());
}

TEST_CASE("net stops at any moment and goes on without losing a frame of the driver's") {
  Fixture f(kTap);
  f.net->room = 0;
  f.start(kNetMergeBuffers | kNetGuestChecksum | kNetGuestTcp4, 64);
  const auto buffers = f.offer(20, 1000);
  f.send({}, frame_to(kMac, 100));
  f.arrive(frame_to(kMac, 30000));  // waits for more buffers
  block_on(f.machine.loop, f.transport->stop());
  CHECK_FALSE(f.net->is_open());
  CHECK_FALSE(f.driver.queue(0).take_used());
  f.transport->start();
  f.net->make_room(1);
  f.machine.settle();
  CHECK(f.net->sent[0].size() == 1);
  const auto frame = frame_to(kMac, 900);
  f.arrive(frame);
  auto bytes = received(f.driver.queue(0), buffers, 1);
  bytes.erase(bytes.begin(), bytes.begin() + sizeof(NetHeader));
  CHECK(bytes == frame);
}

TEST_CASE("the network gives what the driver acknowledged, not what was offered") {
  Fixture f(kTap);
  CHECK(f.net->to_guest == NetOffloads{});
  f.start(kNetGuestChecksum | kNetGuestTcp6);
  CHECK(f.net->to_guest == NetOffloads{.checksum = true, .tcp6 = true});
  f.driver.reset();
  CHECK(f.net->to_guest == NetOffloads{});
  f.start(kNetGuestTcp4);  // which is nothing without checksums
  CHECK(f.net->to_guest == NetOffloads{});
}

TEST_CASE("a command switches offloads, and a restore keeps to it") {
  Fixture f(kTap);
  f.start(kNetGuestOffloads | kNetControlGuestOffloads | kNetControlQueue);
  CHECK(f.net->to_guest == kAll);
  CHECK(f.command(kNetClassOffloads, kNetOffloadsSet, bytes_of(le64(kNetGuestChecksum))) ==
        kNetCommandOk);
  CHECK(f.net->to_guest == NetOffloads{.checksum = true});
  block_on(f.machine.loop, f.transport->stop());
  f.net->to_guest = kAll;
  f.transport->start();
  CHECK(f.net->to_guest == NetOffloads{.checksum = true});
  CHECK(f.command(kNetClassOffloads, kNetOffloadsSet, bytes_of(le64(kNetHostChecksum))) ==
        kNetCommandError);
}

TEST_CASE("net receives what the driver's modes and tables say") {
  constexpr MacBytes kOther{2, 0, 0, 0, 0, 9};
  constexpr MacBytes kGroup{0x33, 0x33, 0, 0, 0, 1};
  constexpr MacBytes kAllOnes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  Fixture f;
  f.start(kControl, 64);
  f.offer(40, 2048);
  const auto gets = [&](const MacBytes& to, uint16_t vlan = 0) {
    f.arrive(frame_to(to, 60, vlan));
    return f.driver.queue(0).take_used().has_value();
  };
  CHECK(gets(kOther));  // a driver that has said nothing gets everything
  CHECK(f.receive_mode(kNetPromiscuous, 0) == kNetCommandOk);
  CHECK_FALSE(gets(kOther));
  CHECK(gets(kMac));
  CHECK(gets(kAllOnes));
  CHECK_FALSE(gets(kGroup));
  CHECK(f.receive_mode(kNetAllMulticast, 1) == kNetCommandOk);
  CHECK(gets(kGroup));
  CHECK(f.receive_mode(kNetAllMulticast, 0) == kNetCommandOk);
  CHECK(f.receive_mode(kNetNoBroadcast, 1) == kNetCommandOk);
  CHECK_FALSE(gets(kAllOnes));
  CHECK(f.receive_mode(kNetNoUnicast, 1) == kNetCommandOk);
  CHECK_FALSE(gets(kMac));
  CHECK(f.receive_mode(kNetNoUnicast, 0) == kNetCommandOk);

  ByteWriter tables;
  tables.put(le32(1));
  tables.put(kOther);
  tables.put(le32(1));
  tables.put(kGroup);
  CHECK(f.command(kNetClassMac, kNetMacTable, tables.bytes()) == kNetCommandOk);
  CHECK(gets(kOther));
  CHECK(gets(kGroup));
  CHECK(f.receive_mode(kNetNoMulticast, 1) == kNetCommandOk);
  CHECK_FALSE(gets(kGroup));

  CHECK_FALSE(gets(kMac, 5));
  CHECK(f.command(kNetClassVlan, kNetVlanAdd, bytes_of(le16(5))) == kNetCommandOk);
  CHECK(gets(kMac, 5));
  CHECK_FALSE(gets(kMac, 6));
  CHECK(f.command(kNetClassVlan, kNetVlanDelete, bytes_of(le16(5))) == kNetCommandOk);
  CHECK_FALSE(gets(kMac, 5));
  CHECK(f.device->statistics().received.refused > 0);
}

TEST_CASE("a table with more addresses than are kept lets all of the kind in") {
  Fixture f;
  f.start(kControl);
  f.offer(4, 2048);
  ByteWriter tables;
  tables.put(le32(0));
  tables.put(le32(100));
  for (uint8_t i = 0; i < 100; ++i) tables.put(MacBytes{1, 0, 0, 0, 0, i});
  CHECK(f.receive_mode(kNetPromiscuous, 0) == kNetCommandOk);
  CHECK(f.command(kNetClassMac, kNetMacTable, tables.bytes()) == kNetCommandOk);
  f.arrive(frame_to({1, 9, 9, 9, 9, 9}, 60));
  CHECK(f.driver.queue(0).take_used());
  f.arrive(frame_to({2, 9, 9, 9, 9, 9}, 60));
  CHECK_FALSE(f.driver.queue(0).take_used());
}

TEST_CASE("the driver sets its address") {
  constexpr MacBytes kNew{2, 1, 2, 3, 4, 5};
  Fixture f;
  f.start(kControl);
  CHECK(f.command(kNetClassMac, kNetMacAddress, bytes_of(kNew)) == kNetCommandOk);
  CHECK(f.config().mac == kNew);
  CHECK(f.command(kNetClassMac, kNetMacAddress, bytes_of(MacBytes{1})) == kNetCommandError);
  CHECK(f.command(kNetClassMac, kNetMacAddress, bytes_of(MacBytes{})) == kNetCommandError);
  CHECK(f.command(kNetClassMac, kNetMacAddress, bytes_of_text("five!")) == kNetCommandError);
  f.driver.reset();
  CHECK(f.config().mac == kMac);
}

TEST_CASE("commands that make no sense are refused") {
  Fixture f;
  f.start(kControl);
  const std::vector<std::byte> much(70000);
  CHECK(f.command(9, 0, {}) == kNetCommandError);
  CHECK(f.receive_mode(6, 1) == kNetCommandError);
  CHECK(f.receive_mode(0, 2) == kNetCommandError);
  CHECK(f.command(kNetClassReceive, 0, {}) == kNetCommandError);
  CHECK(f.command(kNetClassMac, kNetMacTable, bytes_of(le32(1))) == kNetCommandError);
  CHECK(f.command(kNetClassMac, kNetMacTable, bytes_of(le64(0xffffffff))) == kNetCommandError);
  CHECK(f.command(kNetClassMac, kNetMacTable, much) == kNetCommandError);
  CHECK(f.command(kNetClassMac, 7, {}) == kNetCommandError);
  CHECK(f.command(kNetClassVlan, kNetVlanAdd, bytes_of(le16(4096))) == kNetCommandError);
  CHECK(f.command(kNetClassVlan, 2, bytes_of(le16(1))) == kNetCommandError);
  CHECK(f.command(kNetClassQueues, kNetQueuePairs, bytes_of(le16(1))) == kNetCommandError);
  CHECK(f.command(kNetClassOffloads, kNetOffloadsSet, bytes_of(le64(0))) == kNetCommandError);
  GuestQueue& queue = f.driver.queue(2);
  queue.submit({queue.readable("x")});
  f.driver.kick(2);
  CHECK(queue.take_used()->length == 0);
}

TEST_CASE("several queue pairs, as many in use as the driver says") {
  Fixture f({.queue_pairs = 2});
  f.start(kNetMultiQueue | kNetControlQueue, 16, 5);
  CHECK(f.net->pairs_in_use == 1);
  CHECK(f.command(kNetClassQueues, kNetQueuePairs, bytes_of(le16(2)), 4) == kNetCommandOk);
  CHECK(f.net->pairs_in_use == 2);
  CHECK(f.command(kNetClassQueues, kNetQueuePairs, bytes_of(le16(0)), 4) == kNetCommandError);
  CHECK(f.command(kNetClassQueues, kNetQueuePairs, bytes_of(le16(3)), 4) == kNetCommandError);
  f.offer(1, 2000, 1);
  f.net->arrive({{}, frame_to(kMac, 80)}, 1);
  f.machine.settle();
  CHECK(f.driver.queue(2).take_used());
}

TEST_CASE("a driver without multiqueue finds the control queue where it expects it") {
  Fixture f({.queue_pairs = 2});
  f.start(kNetControlQueue | kNetControlReceive, 16, 3);
  CHECK(f.receive_mode(kNetPromiscuous, 0) == kNetCommandOk);
  CHECK(f.net->pairs_in_use == 1);
}

TEST_CASE("the link goes down and up, by the network or by the embedder") {
  Fixture f;
  f.start(kNetStatus);
  f.offer(2, 2000);
  f.net->plug(false);
  CHECK(f.config().status == 0);
  CHECK(f.driver.take_interrupts() == 1);
  f.net->plug(true);
  CHECK(f.config().status == kNetLinkUp);
  f.device->set_link(false);
  CHECK(f.config().status == 0);
  f.arrive(frame_to(kMac, 60));
  CHECK_FALSE(f.driver.queue(0).take_used());
  f.send({}, frame_to(kMac, 60));
  CHECK(f.net->sent[0].empty());
  f.device->set_link(true);
  f.arrive(frame_to(kMac, 60));
  CHECK(f.driver.queue(0).take_used());
}

TEST_CASE("a restored guest is asked to announce itself") {
  NetState state;
  state.promiscuous = false;
  Fixture f({}, {.mac = kMac}, state);
  f.start(kControl | kNetAnnounce | kNetStatus);
  CHECK(f.config().status == (kNetLinkUp | kNetAnnounceNow));
  CHECK(f.driver.take_interrupts() > 0);
  CHECK(f.command(kNetClassAnnounce, kNetAnnounceDone, {}) == kNetCommandOk);
  CHECK(f.config().status == kNetLinkUp);
}

TEST_CASE("net keeps to its rates, and stops at once all the same") {
  Fixture f({}, {.mac = kMac, .rates = {.pps = {.rate = 1, .burst = 2}}});
  f.start(0);
  for (int i = 0; i < 4; ++i) f.send({}, frame_to(kMac, 100));
  CHECK(f.net->sent[0].size() == 2);
  f.offer(4, 2000);
  for (int i = 0; i < 4; ++i) f.arrive(frame_to(kMac, 100));
  CHECK(f.net->waiting[0].size() == 2);
}

TEST_CASE("NetState keeps the state contract") {
  NetState busy;
  busy.promiscuous = false;
  busy.no_unicast = true;
  busy.unicast = {kMac};
  busy.multicast = {{1, 2, 3, 4, 5, 6}, {3, 2, 3, 4, 5, 6}};
  busy.vlans = std::vector<uint8_t>(512, 0x11);
  busy.mac = kMac;
  busy.queue_pairs = 3;
  busy.offloads_set = true;
  busy.offloads = 3;
  busy.announce = true;
  vireo::testing::check_state_contract<NetState>({{}, busy});
}

TEST_CASE("net saves what the driver has set, and refuses what none can") {
  NetState state;
  state.mac = {2, 2, 2, 2, 2, 2};
  state.unicast = {kMac};
  Fixture f({}, {.mac = kMac}, state);
  StateWriter writer;
  f.device->save(writer);
  CHECK(StateReader(writer.take()).take<NetState>("net0.device") == state);

  const auto restore = [](auto change) {
    NetState bad;
    change(bad);
    Fixture made({}, {.mac = kMac}, bad);
  };
  CHECK_THROWS_AS(restore([](NetState& s) { s.queue_pairs = 2; }), StateError);
  CHECK_THROWS_AS(restore([](NetState& s) { s.queue_pairs = 0; }), StateError);
  CHECK_THROWS_AS(restore([](NetState& s) { s.unicast.resize(65); }), StateError);
  CHECK_THROWS_AS(restore([](NetState& s) { s.vlans.resize(1); }), StateError);
  CHECK_THROWS_AS(restore([](NetState& s) { s.offloads = 1; }), StateError);
  CHECK_THROWS_AS(restore([](NetState& s) { s.mac = {1}; }), StateError);
}

}  // namespace vireo::dev
