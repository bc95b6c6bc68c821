#include "agent/host/session.h"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "agent/host/testing/recorded_command.h"

namespace vireo::agent {
namespace {

// A device and a guest whose every message the test writes.
struct FakeGuest final : dev::CharFrontend {
  FakeGuest() { session.open(loop, *this); }
  ~FakeGuest() { session.close(); }

  void receive(Bytes bytes) override {
    CHECK(bytes.size() <= kMaxReceive);
    if (one_at_a_time) session.set_readable(false);
    received.insert(received.end(), bytes.begin(), bytes.end());
  }
  void writable() override { FAIL("a session takes everything"); }

  template <class Message>
  void say(uint32_t channel, const Message& message) {
    std::vector<std::byte> bytes;
    encode(channel, message,
           [&](Bytes part) { bytes.insert(bytes.end(), part.begin(), part.end()); });
    CHECK(session.write(bytes) == bytes.size());
  }
  void greet() {
    say(kMachine, Hello{});
    session.set_readable(true);
    settle();
    CHECK(heard<Hello>(kMachine).generation == kGeneration);
  }
  void settle() {
    while (loop.step()) {
    }
  }
  // The next message that came, which is of that type.
  template <class Message>
  Message heard(uint32_t channel) {
    REQUIRE(received.size() >= read + sizeof(FrameHeader));
    ByteReader reader{std::span(received).subspan(read)};
    const auto header = reader.get<FrameHeader>();
    CHECK(header.channel == channel);
    REQUIRE(header.type == Message::kType);
    read += sizeof(header) + header.length;
    const auto message = decode<Message>(reader.take(header.length));
    REQUIRE(message);
    return *message;
  }
  bool heard_all() const { return read == received.size(); }
  void start(RecordedCommand& command) {
    command.channel = session.start(Exec{.arguments = {1, {"a", 2}}}, command.events(session));
    settle();
    heard<Exec>(command.channel);
    say(command.channel, Started{.pid = 12});
  }

  EventLoop loop;
  std::string why;
  int ready = 0;
  std::vector<std::byte> received;
  size_t read = 0;  // of it
  bool one_at_a_time = false;
  Session session{Session::Events{.ready = [this] { ++ready; },
                                  .broken = [this](const std::string& text) { why = text; }}};
};

}  // namespace

TEST_CASE("a session begins with the agent's greeting") {
  FakeGuest guest;
  CHECK(guest.ready == 0);
  guest.greet();
  CHECK(guest.ready == 1);
  CHECK(guest.why.empty());
}

TEST_CASE("what is asked of the machine is answered in order") {
  FakeGuest guest;
  guest.greet();
  std::string answers;
  guest.session.ask(Root{.tag = {"root"}},
                    [&](const auto& failed) { answers += failed ? "R" : "r"; });
  guest.session.ask(Share{.tag = {"a"}, .path = {"/b"}},
                    [&](const auto& failed) { answers += failed->error == 2 ? "S" : "s"; });
  guest.session.ping([&] { answers += "p"; });
  guest.settle();
  CHECK(guest.heard<Root>(kMachine).tag.view == "root");
  CHECK(guest.heard<Share>(kMachine).path.view == "/b");
  const uint64_t number = guest.heard<Ping>(kMachine).number;
  guest.say(kMachine, Done{});
  guest.say(kMachine, Failed{.error = 2, .stage = Stage::mount});
  guest.say(kMachine, Pong{number});
  CHECK(answers == "rSp");
}

TEST_CASE("a command tells of its start, its output and its end") {
  FakeGuest guest;
  guest.greet();
  RecordedCommand command;
  guest.start(command);
  CHECK(command.pid == 12);
  guest.say(command.channel, Data{.stream = Stream::out, .bytes = bytes_of_text("yes")});
  guest.say(command.channel, Data{.stream = Stream::error, .bytes = bytes_of_text("no")});
  guest.say(command.channel, StreamEnd{.stream = Stream::error});
  guest.say(command.channel, Signaled{.signal = 9});
  CHECK(command.out == "yes");
  CHECK(command.error == "no");
  CHECK(command.ended[2]);
  REQUIRE(command.outcome);
  CHECK(command.outcome->kind == Outcome::Kind::signaled);
  CHECK(command.outcome->number == 9);
}

TEST_CASE("a command that cannot be started says why") {
  FakeGuest guest;
  guest.greet();
  RecordedCommand command;
  command.channel = guest.session.start(Exec{}, command.events(guest.session));
  guest.say(command.channel, Failed{.error = 2, .stage = Stage::execute});
  REQUIRE(command.outcome);
  CHECK(command.outcome->kind == Outcome::Kind::failed);
  CHECK(command.outcome->stage == Stage::execute);
  CHECK(guest.why.empty());
}

TEST_CASE("input goes as far as the guest's window, and on when that opens") {
  FakeGuest guest;
  guest.greet();
  RecordedCommand command;
  guest.start(command);
  const std::string text(kWindow + 1000, 'x');
  CHECK(guest.session.write(command.channel, bytes_of_text(text)) == kWindow);
  guest.settle();
  size_t came = 0;
  while (!guest.heard_all()) came += guest.heard<Data>(command.channel).bytes.size();
  CHECK(came == kWindow);
  CHECK(command.writable == 0);
  guest.say(command.channel, Window{.stream = Stream::in, .bytes = 600});
  CHECK(command.writable == 1);
  CHECK(guest.session.write(command.channel, bytes_of_text(text)) == 600);
  guest.session.end_input(command.channel);
  guest.settle();
  CHECK(guest.heard<Data>(command.channel).bytes.size() == 600);
  CHECK(guest.heard<StreamEnd>(command.channel).stream == Stream::in);
}

TEST_CASE("a device that takes a little at a time gets all of it") {
  FakeGuest guest;
  guest.greet();
  RecordedCommand command;
  guest.start(command);
  guest.one_at_a_time = true;
  CHECK(guest.session.write(command.channel, bytes_of_text(std::string(10000, 'x'))) == 10000);
  const size_t before = guest.received.size();
  guest.settle();
  CHECK(guest.received.size() == before + dev::CharFrontend::kMaxReceive);
  while (guest.received.size() < before + 10000) {
    guest.session.set_readable(true);
    guest.settle();
  }
  CHECK(guest.heard<Data>(command.channel).bytes.size() == 10000);
}

TEST_CASE("a command whose input nobody reads tells so, and takes the rest") {
  FakeGuest guest;
  guest.greet();
  RecordedCommand command;
  guest.start(command);
  guest.say(command.channel, StreamEnd{.stream = Stream::in});
  CHECK(command.input_closed);
  CHECK(guest.session.write(command.channel, bytes_of_text("lost")) == 4);
  guest.session.end_input(command.channel);
  guest.settle();
  CHECK(guest.heard_all());
}

TEST_CASE("the guest is told of room when some was taken, and not otherwise") {
  FakeGuest guest;
  guest.greet();
  RecordedCommand command;
  command.takes = false;
  guest.start(command);
  const std::string part(kMaxData, 'x');
  for (size_t sent = 0; sent < kWindow; sent += part.size())
    guest.say(command.channel, Data{.stream = Stream::out, .bytes = bytes_of_text(part)});
  guest.settle();
  CHECK(guest.heard_all());
  guest.session.took(command.channel, Stream::out, kWindow / 2);
  guest.settle();
  CHECK(guest.heard<Window>(command.channel).bytes == kWindow / 2);
  guest.say(command.channel, Data{.stream = Stream::out, .bytes = bytes_of_text(part)});
  CHECK(guest.why.empty());
}

TEST_CASE("what waits for a guest that takes little is bounded, whatever that asks for") {
  FakeGuest guest;
  guest.greet();
  RecordedCommand command;
  guest.start(command);
  guest.one_at_a_time = true;
  const std::string part(kMaxData, 'x');
  SECTION("input that it makes room for and does not read") {
    for (int i = 0; i < 1000; ++i) {
      const size_t taken = guest.session.write(command.channel, bytes_of_text(part));
      if (taken > 0)
        guest.say(command.channel,
                  Window{.stream = Stream::in, .bytes = static_cast<uint32_t>(taken)});
      guest.session.set_readable(true);
      guest.settle();
    }
  }
  SECTION("room for output that it does not hear of") {
    guest.session.set_readable(false);
    guest.session.write(command.channel, bytes_of_text(std::string(kWindow, 'x')));
    for (int i = 0; i < 200000 && guest.why.empty(); ++i)
      guest.say(command.channel, Data{.stream = Stream::out, .bytes = bytes_of_text(part)});
    CHECK_FALSE(guest.why.empty());
  }
  CHECK(guest.session.kept() < 3 * kWindow);
}

TEST_CASE("output that nobody reads is refused, and what was on its way is taken") {
  FakeGuest guest;
  guest.greet();
  RecordedCommand command;
  guest.start(command);
  guest.session.close_output(command.channel, Stream::out);
  guest.settle();
  CHECK(guest.heard<StreamEnd>(command.channel).stream == Stream::out);
  guest.say(command.channel, Data{.stream = Stream::out, .bytes = bytes_of_text("late")});
  CHECK(command.out.empty());
  CHECK(guest.why.empty());
}

TEST_CASE("a guest that breaks the protocol is told of once, and not heard again") {
  FakeGuest guest;
  RecordedCommand command;
  const auto breaks = [&](auto channel, const auto& message) {
    guest.greet();
    guest.start(command);
    guest.say(channel == 1 ? command.channel : channel, message);
    CHECK_FALSE(guest.why.empty());
    guest.why.clear();
    guest.say(command.channel, Exited{});
    CHECK(guest.why.empty());
    CHECK_FALSE(command.outcome);
  };
  SECTION("a second greeting") {
    breaks(0u, Hello{});
  }
  SECTION("an answer to nothing") {
    breaks(0u, Done{});
  }
  SECTION("a failure of nothing") {
    breaks(0u, Failed{.error = 1});
  }
  SECTION("a pong of no ping") {
    breaks(0u, Pong{});
  }
  SECTION("a command that is not there") {
    breaks(99u, Exited{});
  }
  SECTION("a second start") {
    breaks(1u, Started{});
  }
  SECTION("a failure of what runs") {
    breaks(1u, Failed{.error = 1});
  }
  SECTION("a request of the host's") {
    breaks(1u, Resize{});
  }
  SECTION("output on the input") {
    breaks(1u, Data{.stream = Stream::in});
  }
  SECTION("room for input that was never sent") {
    breaks(1u, Window{.bytes = 1});
  }
  SECTION("room on an output") {
    breaks(1u, Window{.stream = Stream::out});
  }
}

TEST_CASE("a guest that does not greet, ends a stream twice or sends too much is refused") {
  FakeGuest guest;
  SECTION("no greeting") {
    guest.say(kMachine, Done{});
  }
  SECTION("no generation") {
    guest.say(kMachine, Hello{.generation = 0});
  }
  SECTION("a long message") {
    const FrameHeader header{.length = uint32_t{kMaxToHost + 1}};
    CHECK(guest.session.write(bytes_of(header)) == sizeof(header));
  }
  SECTION("a stream that ends twice") {
    guest.greet();
    RecordedCommand command;
    guest.start(command);
    guest.say(command.channel, StreamEnd{.stream = Stream::out});
    CHECK(guest.why.empty());
    guest.say(command.channel, StreamEnd{.stream = Stream::out});
  }
  SECTION("more than the window") {
    guest.greet();
    RecordedCommand command;
    command.takes = false;
    guest.start(command);
    const std::string part(kMaxData, 'x');
    for (size_t sent = 0; sent < kWindow; sent += part.size())
      guest.say(command.channel, Data{.stream = Stream::out, .bytes = bytes_of_text(part)});
    CHECK(guest.why.empty());
    guest.say(command.channel, Data{.stream = Stream::out, .bytes = bytes_of_text("x")});
  }
  CHECK_FALSE(guest.why.empty());
}

}  // namespace vireo::agent
