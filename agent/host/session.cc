#include "agent/host/session.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace vireo::agent {

namespace {

// The guest is told of room in parts of the window, not of each byte.
constexpr uint32_t kTellAt = kWindow / 4;
// Input waits with its source while so much is on its way already.
constexpr size_t kMostOutgoing = size_t{2} * kWindow;

size_t index_of(Stream stream) {
  return static_cast<size_t>(stream);
}

}  // namespace

Session::Session(Events events)
    : events_(std::move(events)), buffer_(sizeof(FrameHeader) + kMaxToHost), reader_(buffer_) {}

// --- towards the guest ---

void Session::open(EventLoop& loop, dev::CharFrontend& frontend) {
  loop_ = &loop;
  frontend_ = &frontend;
  readable_ = false;
}

void Session::close() {
  delivery_.reset();
  loop_ = nullptr;
  frontend_ = nullptr;
}

void Session::set_readable(bool readable) {
  readable_ = readable;
  deliver_soon();
}

void Session::deliver_soon() {
  if (!loop_ || !readable_ || delivery_ || delivered_ == outgoing_.size()) return;
  delivery_ = loop_->after(std::chrono::nanoseconds(0), [this] {
    delivery_.reset();
    deliver();
  });
}

void Session::deliver() {
  while (frontend_ && readable_ && delivered_ < outgoing_.size()) {
    const size_t size = std::min(outgoing_.size() - delivered_, dev::CharFrontend::kMaxReceive);
    delivered_ += size;
    frontend_->receive(std::span(outgoing_).subspan(delivered_ - size, size));
  }
  if (delivered_ < outgoing_.size() && delivered_ < kWindow) return;
  outgoing_.erase(outgoing_.begin(), outgoing_.begin() + static_cast<std::ptrdiff_t>(delivered_));
  delivered_ = 0;
  if (outgoing_.empty()) drained();
}

void Session::drained() {
  for (auto next = commands_.begin(); next != commands_.end();) {
    const uint32_t channel = next->first;
    Command& command = (next++)->second;
    for (size_t i = 1; i < kStreams; ++i)
      tell_room(channel, static_cast<Stream>(i), command.outputs[i]);
    if (command.credit > 0 && std::exchange(command.full, false)) command.events.writable();
  }
}

// --- from the guest ---

size_t Session::write(std::span<const std::byte> bytes) {
  for (Bytes rest = bytes; !rest.empty() && !broken_;) {
    const std::span<std::byte> space = reader_.space();
    const size_t size = std::min(space.size(), rest.size());
    std::copy_n(rest.begin(), size, space.begin());
    reader_.filled(size);
    rest = rest.subspan(size);
    while (!broken_) {
      const auto frame = reader_.next();
      if (!frame) break;
      handle(*frame);
    }
    if (reader_.broken()) fail("a message is longer than any may be, or has a reserved bit set");
  }
  return bytes.size();
}

void Session::fail(const std::string& why) {
  if (std::exchange(broken_, true)) return;
  outgoing_.clear();
  delivered_ = 0;
  events_.broken(why);
}

void Session::handle(const Frame& frame) {
  if (!greeted_) return greeted(frame);
  if (frame.channel == kMachine) return handle_machine(frame);
  const auto command = commands_.find(frame.channel);
  if (command == commands_.end()) return fail(fmt::format("there is no command {}", frame.channel));
  handle_command(command->second, frame);
}

template <class Message, class Action>
void Session::on(const Frame& frame, Action action) {
  if (const auto message = decode<Message>(frame.payload)) return action(*message);
  fail(fmt::format("a message of the type {} is malformed", frame.type));
}

void Session::greeted(const Frame& frame) {
  if (frame.type != Hello::kType || frame.channel != kMachine)
    return fail("it does not begin with a greeting");
  on<Hello>(frame, [this](const Hello& hello) {
    if (hello.generation == 0) return fail("it speaks no generation of the protocol");
    greeted_ = true;
    send(kMachine, Hello{});
    events_.ready();
  });
}

void Session::handle_machine(const Frame& frame) {
  if (frame.type == Done::kType || frame.type == Failed::kType) return answered(frame);
  if (frame.type != Pong::kType)
    return fail(fmt::format("there is no message of the type {} for the machine", frame.type));
  on<Pong>(frame, [this](const Pong& pong) {
    if (pongs_.empty() || pong.number != next_pong_) return fail("nobody asked for that pong");
    ++next_pong_;
    const auto told = std::move(pongs_.front());
    pongs_.pop_front();
    told();
  });
}

void Session::answered(const Frame& frame) {
  if (answers_.empty()) return fail("nobody asked for that answer");
  const auto tell = [this](const std::optional<Failed>& failed) {
    const Answer answer = std::move(answers_.front());
    answers_.pop_front();
    answer(failed);
  };
  if (frame.type == Done::kType)
    on<Done>(frame, [&](const Done&) { tell(std::nullopt); });
  else
    on<Failed>(frame, tell);
}

void Session::handle_command(Command& command, const Frame& frame) {
  const uint32_t channel = frame.channel;
  const bool begins = frame.type == Started::kType || frame.type == Failed::kType;
  if (command.started == begins)
    return fail(fmt::format("a message of the type {} comes at the wrong time", frame.type));
  switch (frame.type) {
    case Started::kType:
      return on<Started>(frame, [&](const Started& started) {
        command.started = true;
        command.events.started(started.pid);
      });
    case Failed::kType:
      return on<Failed>(frame, [&](const Failed& failed) {
        end(channel, {Outcome::Kind::failed, 0, failed.error, failed.stage});
      });
    case Data::kType:
      return on<Data>(frame, [&](const Data& data) { on_data(command, channel, data); });
    case StreamEnd::kType:
      return on<StreamEnd>(frame, [&](const StreamEnd& ended) { on_stream_end(command, ended); });
    case Window::kType:
      return on<Window>(frame, [&](const Window& window) { on_window(command, window); });
    case Exited::kType:
      return on<Exited>(frame, [&](const Exited& exited) {
        end(channel, {Outcome::Kind::exited, exited.status});
      });
    case Signaled::kType:
      return on<Signaled>(frame, [&](const Signaled& signaled) {
        end(channel, {Outcome::Kind::signaled, signaled.signal});
      });
    default:
      return fail(fmt::format("there is no message of the type {} for a command", frame.type));
  }
}

void Session::on_data(Command& command, uint32_t channel, const Data& data) {
  Output& output = command.outputs[index_of(data.stream)];
  if (data.stream == Stream::in || output.ended || data.bytes.size() > output.credit)
    return fail("a command's output comes without being asked for");
  output.credit -= static_cast<uint32_t>(data.bytes.size());
  if (output.closed) return took(channel, data.stream, data.bytes.size());
  if (!data.bytes.empty()) command.events.output(data.stream, data.bytes);
}

void Session::on_window(Command& command, const Window& window) {
  if (window.stream != Stream::in || window.bytes > kWindow - command.credit)
    return fail("a command takes more input than it was sent");
  command.credit += window.bytes;
  if (command.credit > 0 && std::exchange(command.full, false)) command.events.writable();
}

void Session::on_stream_end(Command& command, const StreamEnd& end) {
  if (end.stream == Stream::in) {
    if (!std::exchange(command.input_closed, true)) command.events.input_closed();
    return;
  }
  if (std::exchange(command.outputs[index_of(end.stream)].ended, true))
    return fail("a stream ends twice");
  command.events.output_ended(end.stream);
}

void Session::end(uint32_t channel, const Outcome& outcome) {
  const auto command = commands_.extract(channel);
  command.mapped().events.ended(outcome);
}

// --- what is asked for ---

void Session::ping(std::function<void()> pong) {
  pongs_.push_back(std::move(pong));
  send(kMachine, Ping{next_ping_++});
}

uint32_t Session::start(const Exec& exec, CommandEvents events) {
  const uint32_t channel = next_channel_++;
  commands_[channel].events = std::move(events);
  send(channel, exec);
  return channel;
}

size_t Session::write(uint32_t channel, Bytes bytes) {
  const auto found = commands_.find(channel);
  if (found == commands_.end() || found->second.input_closed) return bytes.size();
  Command& command = found->second;
  const size_t room = kept() < kMostOutgoing ? kMostOutgoing - kept() : 0;
  const size_t taken = std::min({bytes.size(), size_t{command.credit}, room});
  for (Bytes rest = bytes.first(taken); !rest.empty();) {
    const Bytes part = rest.first(std::min(rest.size(), kMaxData));
    send(channel, Data{.stream = Stream::in, .bytes = part});
    rest = rest.subspan(part.size());
  }
  command.credit -= static_cast<uint32_t>(taken);
  command.full = taken < bytes.size();
  return taken;
}

void Session::end_input(uint32_t channel) {
  const auto found = commands_.find(channel);
  if (found == commands_.end() || std::exchange(found->second.input_closed, true)) return;
  send(channel, StreamEnd{.stream = Stream::in});
}

void Session::took(uint32_t channel, Stream stream, size_t bytes) {
  const auto found = commands_.find(channel);
  if (found == commands_.end()) return;
  Output& output = found->second.outputs[index_of(stream)];
  output.untold += static_cast<uint32_t>(bytes);
  tell_room(channel, stream, output);
}

// A guest that does not read is told when it does.
void Session::tell_room(uint32_t channel, Stream stream, Output& output) {
  if (output.untold < kTellAt || output.ended || kept() > kMostOutgoing) return;
  const uint32_t told = std::exchange(output.untold, 0);
  output.credit += told;
  send(channel, Window{.stream = stream, .bytes = told});
}

void Session::close_output(uint32_t channel, Stream stream) {
  const auto found = commands_.find(channel);
  if (found == commands_.end()) return;
  Output& output = found->second.outputs[index_of(stream)];
  if (!std::exchange(output.closed, true)) send(channel, StreamEnd{.stream = stream});
}

}  // namespace vireo::agent
