// A network device under a driver that sends any frames and commands with any headers in any
// buffers, over a network that sends frames of any length and at times takes none, while the
// machine is paused, restored and reset. What reaches the network keeps to what was negotiated.
#include <algorithm>
#include <cstdint>
#include <memory>

#include "devices/testing/guest_driver.h"
#include "devices/testing/test_net.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/net.h"

using namespace vireo;
using namespace vireo::dev;

namespace {

constexpr NetOffloads kAll{true, true, true, true, true};

class Session {
 public:
  explicit Session(uint8_t kind) : kind_(kind) { build({}); }
  ~Session() {
    stop();
    transport_->reset();
    transport_->start();
    VMM_CHECK(driver_.status() == 0, "a reset device is at rest");
    VMM_CHECK(net_->to_guest == NetOffloads{}, "a reset device wants plain frames");
    stop();
    block_on(machine_.loop, transport_->close());
  }

  void play(ByteReader& script) {
    for (int steps = 0; steps < 200 && script.ok() && !script.at_end(); ++steps) {
      step(script);
      check_sent();
    }
  }

 private:
  uint16_t pairs() const { return (kind_ & 1) != 0 ? uint16_t{2} : uint16_t{1}; }

  void build(StateSections sections) {
    StateReader saved(std::move(sections));
    NetTraits traits{.queue_pairs = pairs()};
    if ((kind_ & 2) != 0) traits.from_guest = traits.to_guest = kAll;
    auto net = std::make_unique<TestNet>(traits);
    net_ = net.get();
    auto device = std::make_unique<Net>("dev", machine_.virtio_env(), std::move(net),
                                        NetConfig{.mac = {2, 0, 0, 0, 0, 1}},
                                        saved.take<NetState>("dev.device"));
    transport_ = std::make_unique<MmioTransport>("dev", machine_.env, std::move(device),
                                                 saved.take<MmioState>("dev"));
    transport_->start();
  }

  void step(ByteReader& script) {
    switch (script.get<uint8_t>() % 9) {
      case 0:
        return start_driver(script);
      case 1:
        return submit(script);
      case 2:
        return command(script);
      case 3:
        return arrive(script);
      case 4:
        net_->make_room(script.get<uint8_t>() % 4);
        return machine_.settle();
      case 5:
        net_->room = 0;
        return;
      case 6:
        net_->plug(script.get<uint8_t>() % 2 == 0);
        return machine_.settle();
      case 7:
        stop();
        return transport_->start();
      case 8:
        return restore();
    }
  }

  void start_driver(ByteReader& script) {
    const uint64_t features = script.get<le32>() & driver_.device_features();
    started_ = driver_.negotiate(features | kFeatureVersion1);
    if (!started_) return;
    for (uint16_t i = 0; i < queues(); ++i) driver_.add_queue(i, 8);
    driver_.driver_ok();
  }
  uint16_t queues() const { return static_cast<uint16_t>(2 * pairs() + 1); }

  // A chain that begins with the script's bytes, on any queue.
  void submit(ByteReader& script) {
    if (!started_) return;
    const auto number = static_cast<uint16_t>(script.get<uint8_t>() % queues());
    GuestQueue& queue = driver_.queue(number);
    std::vector<GuestBuffer> buffers;
    const auto bytes = script.take(std::min<size_t>(script.get<uint8_t>(), script.rest().size()));
    if (!bytes.empty()) buffers.push_back(queue.readable(bytes));
    const size_t count = script.get<uint8_t>() % 5;
    for (size_t i = 0; i < count; ++i) {
      const uint8_t flags = script.get<uint8_t>();
      const uint32_t length = script.get<le16>() + (flags & 4) * uint32_t{4096};
      const uint64_t address = (flags & 2) != 0 ? uint64_t{script.get<le32>()} : 0x100000;
      buffers.push_back({address, length, (flags & 1) != 0});
    }
    submit_to(queue, buffers);
  }
  void command(ByteReader& script) {
    if (!started_) return;
    GuestQueue& queue =
        driver_.queue(static_cast<uint16_t>((script.get<uint8_t>() & 1) != 0 ? queues() - 1 : 2));
    const NetCommand head{static_cast<uint8_t>(script.get<uint8_t>() % 7),
                          static_cast<uint8_t>(script.get<uint8_t>() % 7)};
    const auto data = script.take(std::min<size_t>(script.get<uint8_t>(), script.rest().size()));
    std::vector<GuestBuffer> buffers{queue.readable(bytes_of(head))};
    if (!data.empty()) buffers.push_back(queue.readable(data));
    buffers.push_back(queue.writable(1));
    submit_to(queue, buffers);
  }
  void submit_to(GuestQueue& queue, const std::vector<GuestBuffer>& buffers) {
    if (buffers.empty()) return;
    queue.submit(buffers);
    for (uint16_t i = 0; i < queues(); ++i) driver_.write(mmio::kQueueNotify, i);
    machine_.settle();
    if (driver_.heap().allocate(0) > FakeMachine::kMemory / 4) started_ = false;  // heap used up
  }

  void arrive(ByteReader& script) {
    TestFrame frame;
    frame.header = script.get<NetHeader>();
    const size_t length = 1 + script.get<le32>() % (kMaxFrame + 10);
    const auto start = script.take(std::min<size_t>(script.get<uint8_t>(), script.rest().size()));
    frame.bytes.assign(start.begin(), start.end());
    frame.bytes.resize(length);
    net_->waiting[0].clear();
    net_->arrive(std::move(frame), static_cast<uint16_t>(script.get<uint8_t>() % pairs()));
    machine_.settle();
  }

  void check_sent() {
    for (auto& frames : net_->sent) {
      for (const TestFrame& frame : frames) {
        const NetHeader& h = frame.header;
        VMM_CHECK(frame.bytes.size() >= kEthernetHeader && frame.bytes.size() <= kMaxFrame,
                  "frames have a length");
        VMM_CHECK((kind_ & 2) != 0 || h == NetHeader{}, "no offloads without agreement");
        VMM_CHECK(
            h.flags == 0 || size_t{h.checksum_start} + h.checksum_offset + 2 <= frame.bytes.size(),
            "a checksum lies in its frame");
      }
      frames.clear();
    }
  }

  void stop() { block_on(machine_.loop, transport_->stop()); }

  void restore() {
    if (++restored_ > 8) return;  // a bus hands out its interrupts once
    build(machine_.take_out(transport_));
    machine_.settle();
  }

  FakeMachine machine_;
  GuestDriver driver_{machine_};
  const uint8_t kind_;
  TestNet* net_ = nullptr;
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
