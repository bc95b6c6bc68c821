// The host's side of a guest's agent (docs/agent.md): commands that run there, each with its
// streams, and what is asked of the machine as a whole.
//
//   auto owned = std::make_unique<Session>(Session::Events{.ready = [&] { … }, .broken = …});
//   Session& session = *owned;
//   pc.virtio->add<dev::Console>("agent", std::move(owned), dev::ConsolePort{kPortName});
//   …
//   const uint32_t channel = session.start(exec, {.output = …, .ended = …});
//
// Thread: the loop's, for all of it and for all events; constructed on the control thread. It never
// waits. The guest is hostile: what it sends is checked against the protocol, and is kept nowhere
// but in one frame; a guest that breaks the rules is told of once (`broken`), and not heard again.
// Sizes in bytes.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/frame_reader.h"
#include "agent/wire.h"
#include "devices/chardev/backend.h"

namespace vireo::agent {

// How a command came to its end.
struct Outcome {
  enum class Kind : uint8_t { exited, signaled, failed };
  Kind kind = Kind::exited;
  uint8_t number = 0;            // the exit status, or the signal
  uint32_t error = 0;            // of one that could not be started: Linux' errno
  Stage stage = Stage::request;  // and what went wrong
};

// What a command tells. Each may call the session.
struct CommandEvents {
  std::function<void(uint32_t pid)> started = [](uint32_t) {};
  // Whoever gets it calls took() for as many bytes, at once or later; without, no more come.
  std::function<void(Stream, Bytes)> output = [](Stream, Bytes) {};
  std::function<void(Stream)> output_ended = [](Stream) {};
  std::function<void()> writable = [] {};      // write() would take more again
  std::function<void()> input_closed = [] {};  // the command reads no more
  std::function<void(const Outcome&)> ended = [](const Outcome&) {};  // the last
};

class Session final : public dev::CharBackend {
 public:
  struct Events {
    std::function<void()> ready = [] {};  // the agent is there: requests are answered from now on
    std::function<void(const std::string& why)> broken = [](const std::string&) {};
  };
  // What was asked of the machine is done; or it is not, and the machine is of no use.
  using Answer = std::function<void(const std::optional<Failed>&)>;

  explicit Session(Events events);

  // Clock, Entropy, Root, Share or Network; carried out in their order, and before commands that
  // are started later.
  template <class Request>
  void ask(const Request& request, Answer answer) {
    answers_.push_back(std::move(answer));
    send(kMachine, request);
  }
  void ping(std::function<void()> pong);
  void power_off() { send(kMachine, PowerOff{}); }

  // The texts of `exec` are copied. Gives the command's channel, valid until it has ended.
  uint32_t start(const Exec& exec, CommandEvents events);
  // Input for the command: how much of it is taken. After less than all, `writable` is told.
  size_t write(uint32_t channel, Bytes bytes);
  void end_input(uint32_t channel);
  void took(uint32_t channel, Stream stream, size_t bytes);
  void close_output(uint32_t channel, Stream stream);  // nobody reads it
  void resize(uint32_t channel, const Resize& size) { send(channel, size); }
  void signal(uint32_t channel, uint8_t number) { send(channel, Signal{number}); }

  size_t kept() const noexcept { return outgoing_.size(); }  // bytes, for the guest

  // --- towards the device ---
  void open(EventLoop& loop, dev::CharFrontend& frontend) override;
  void close() override;
  size_t write(std::span<const std::byte> bytes) override;
  void set_readable(bool readable) override;

 private:
  struct Output {
    uint32_t credit = kWindow;  // what the guest may still send
    uint32_t untold = 0;        // what was taken since the guest was told
    bool ended = false;         // the guest sends no more
    bool closed = false;        // we take no more
  };
  struct Command {
    CommandEvents events{};
    bool started = false;
    uint32_t credit = kWindow;  // what the guest takes of its input
    bool full = false;          // write() took less than it was given
    bool input_closed = false;  // the guest reads no more of it, or was told of its end
    Output outputs[kStreams]{};
  };

  template <class Message>
  void send(uint32_t channel, const Message& message) {
    if (broken_) return;
    encode(channel, message,
           [this](Bytes bytes) { outgoing_.insert(outgoing_.end(), bytes.begin(), bytes.end()); });
    deliver_soon();
  }
  void deliver_soon();
  void deliver();
  void drained();
  void tell_room(uint32_t channel, Stream stream, Output& output);
  void fail(const std::string& why);
  void handle(const Frame& frame);
  void handle_machine(const Frame& frame);
  void handle_command(Command& command, const Frame& frame);
  void greeted(const Frame& frame);
  void answered(const Frame& frame);
  template <class Message, class Action>
  void on(const Frame& frame, Action action);
  void on_data(Command& command, uint32_t channel, const Data& data);
  void on_window(Command& command, const Window& window);
  void on_stream_end(Command& command, const StreamEnd& end);
  void end(uint32_t channel, const Outcome& outcome);

  const Events events_;
  std::vector<std::byte> buffer_;
  FrameReader reader_;
  bool greeted_ = false;
  bool broken_ = false;
  std::deque<Answer> answers_;               // of requests under way
  std::deque<std::function<void()>> pongs_;  // of pings under way
  uint64_t next_ping_ = 0, next_pong_ = 0;
  std::map<uint32_t, Command> commands_;  // by channel
  uint32_t next_channel_ = kMachine + 1;

  // Towards the guest.
  std::vector<std::byte> outgoing_;
  size_t delivered_ = 0;  // of it
  EventLoop* loop_ = nullptr;
  dev::CharFrontend* frontend_ = nullptr;
  bool readable_ = false;
  EventLoop::Registration delivery_;
};

}  // namespace vireo::agent
