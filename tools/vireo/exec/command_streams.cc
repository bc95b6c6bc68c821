#include "tools/vireo/exec/command_streams.h"

#include <utility>

#include "devices/chardev/terminal.h"

namespace vireo::cli {

CommandStreams::CommandStreams(int in, int out, int error, Events events)
    : events_(std::move(events)),
      in_fd_(in, dev::PrivateFd::Use::read),
      outs_{Out(out, agent::Stream::out), Out(error, agent::Stream::error)} {}

void CommandStreams::begin(EventLoop& loop, agent::Session& session, uint32_t channel) {
  loop_ = &loop;
  session_ = &session;
  channel_ = channel;
  in_ = dev::FdReader(in_fd_.get(), {.bytes = [this](agent::Bytes bytes) { read(bytes); },
                                     .ended = [this] { session_->end_input(channel_); },
                                     .may_read = [this] { return may_read(); }});
  listen();
}

void CommandStreams::input_closed() {
  closed_ = true;
  in_.disable();
  foreground_.reset();
}

void CommandStreams::listen() {
  foreground_.reset();
  if (closed_) return;
  in_.enable(*loop_);
}

bool CommandStreams::may_read() {
  if (dev::in_foreground(in_fd_.get())) return true;
  in_.disable();
  foreground_ = loop_->after(dev::kForegroundInterval, [this] { listen(); });
  return false;
}

void CommandStreams::read(agent::Bytes bytes) {
  const size_t taken = session_->write(channel_, bytes);
  if (taken == bytes.size()) return;
  unsent_.assign(bytes.begin() + static_cast<std::ptrdiff_t>(taken), bytes.end());
  in_.disable();
}

void CommandStreams::writable() {
  const auto bytes = std::exchange(unsent_, {});
  read(bytes);
  if (unsent_.empty() && !in_.ended()) listen();
}

void CommandStreams::output(agent::Stream stream, agent::Bytes bytes) {
  Out& out = outs_[stream == agent::Stream::out ? 0 : 1];
  const bool idle = out.waiting.empty();
  out.waiting.insert(out.waiting.end(), bytes.begin(), bytes.end());
  if (idle) flush(out);
}

void CommandStreams::flush(Out& out) {
  const dev::FdWriter::Written written = out.writer.write(out.waiting);
  session_->took(channel_, out.stream, written.bytes);
  out.waiting.erase(out.waiting.begin(),
                    out.waiting.begin() + static_cast<std::ptrdiff_t>(written.bytes));
  if (written.error) return lose(out, written.error);
  if (!out.waiting.empty())
    return out.writer.call_when_writable(*loop_, [this, &out] { flush(out); });
  if (is_flushed()) events_.flushed();
}

// The command's kernel tells it, as this process' would have.
void CommandStreams::lose(Out& out, std::error_code why) {
  session_->took(channel_, out.stream, out.waiting.size());
  out.waiting.clear();
  session_->close_output(channel_, out.stream);
  if (why != std::errc::broken_pipe && !std::exchange(out.gone, true)) events_.output_lost(why);
  if (is_flushed()) events_.flushed();
}

}  // namespace vireo::cli
