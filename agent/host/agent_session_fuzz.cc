// A guest that says whatever it likes while the host runs commands: the session keeps its promises
// to those, whatever comes. The input is steps: messages of the guest's, some of them well-formed,
// and requests of the host's.
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "agent/host/session.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::agent;

namespace {

class FuzzedHost final : public dev::CharFrontend {
 public:
  FuzzedHost() { session_.open(loop_, *this); }
  ~FuzzedHost() { session_.close(); }

  void play(ByteReader& script) {
    for (int steps = 0; steps < 300 && script.ok() && !script.at_end(); ++steps) step(script);
  }

 private:
  // More commands than a guest has room for, so that they end.
  static constexpr uint32_t kCommands = 4;

  struct Command {
    bool started = false;
    bool is_over = false;
    size_t unread = 0;
  };

  void receive(Bytes bytes) override { VMM_CHECK(!bytes.empty(), "input has bytes"); }
  void writable() override {}

  void step(ByteReader& script) {
    const uint32_t channel = 1 + script.get<uint8_t>() % kCommands;
    switch (script.get<uint8_t>() % 12) {
      case 0:
        return say(kMachine, Hello{.generation = script.get<uint8_t>()});
      case 1:
        return say(kMachine, Done{});
      case 2:
        return say(channel, Started{});
      case 3:
        return say(channel, Exited{script.get<uint8_t>()});
      case 4:
        return say_data(channel, script);
      case 5:
        return say(channel, Window{stream(script), script.get<le32>()});
      case 6:
        return say(channel, StreamEnd{stream(script)});
      case 7:
        session_.write(script.take(std::min<size_t>(script.get<uint8_t>(), script.rest().size())));
        return;
      case 8:
        return start();
      case 9:
        session_.write(channel, std::vector<std::byte>(script.get<le16>()));
        return;
      case 10:
        session_.took(channel, Stream::out, std::exchange(commands_[channel - 1].unread, 0));
        return;
      case 11:
        return command_or_turn(channel, script.get<uint8_t>());
    }
  }

  Stream stream(ByteReader& script) {
    return static_cast<Stream>(script.get<uint8_t>() % kStreams);
  }

  template <class Message>
  void say(uint32_t channel, const Message& message) {
    ByteWriter writer;
    encode(channel, message, [&](Bytes part) { writer.put(part); });
    session_.write(writer.take());
  }

  void say_data(uint32_t channel, ByteReader& script) {
    const std::vector<std::byte> bytes(script.get<le16>());
    say(channel, Data{stream(script), bytes});
  }

  void start() {
    if (started_ == kCommands) return;
    Command& command = commands_[started_++];
    CommandEvents events;
    events.output = [&command](Stream which, Bytes bytes) {
      VMM_CHECK(!command.is_over && command.started, "only a command that runs has output");
      VMM_CHECK(which != Stream::in && !bytes.empty(), "output is output");
      if (which == Stream::out) command.unread += bytes.size();
    };
    events.started = [&command](uint32_t) {
      VMM_CHECK(!command.started, "a command starts once");
      command.started = true;
    };
    events.ended = [&command](const Outcome&) {
      VMM_CHECK(!command.is_over, "a command ends once");
      command.is_over = true;
    };
    session_.start(Exec{}, std::move(events));
  }

  void command_or_turn(uint32_t channel, uint8_t what) {
    if (what % 4 == 0) session_.end_input(channel);
    if (what % 4 == 1) session_.close_output(channel, Stream::out);
    if (what % 4 == 2) session_.ping([] {});
    if (what % 4 == 3) session_.set_readable(true);
    loop_.step();
  }

  EventLoop loop_;
  bool broken_ = false;
  Session session_{Session::Events{.broken = [this](const std::string& why) {
    VMM_CHECK(!broken_ && !why.empty(), "a broken guest is told of once");
    broken_ = true;
  }}};
  Command commands_[kCommands];
  uint32_t started_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteReader script(std::as_bytes(std::span(data, size)));
  FuzzedHost host;
  host.play(script);
  return 0;
}
