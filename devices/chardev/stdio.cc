#include "devices/chardev/stdio.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "devices/chardev/terminal.h"

namespace vireo::dev {

StdioBackend::StdioBackend(int in, int out, EscapeHandler escape, Logger log, OutputLost lost)
    : in_(in, PrivateFd::Use::read),
      out_(out, PrivateFd::Use::write),
      escape_(::isatty(in) == 1 ? std::move(escape) : EscapeHandler()),
      reader_(in_.get(), {.bytes = [this](auto bytes) { take(bytes); },
                          .ended = [] {},
                          .may_read = [this] { return may_read(); }}),
      output_(out_.get(), "standard output", std::move(log), std::move(lost)) {}

void StdioBackend::open(EventLoop& loop, CharFrontend& frontend) {
  loop_ = &loop;
  frontend_ = &frontend;
  output_.open(loop, frontend);
  if (escape_) listen();
}

void StdioBackend::close() {
  delivery_.reset();
  ignore();
  output_.close();
  readable_ = false;
  loop_ = nullptr;
  frontend_ = nullptr;
}

void StdioBackend::set_readable(bool readable) {
  readable_ = readable;
  if (!escape_) return readable ? listen() : ignore();
  // Not from inside this call.
  if (readable && !typed_.empty())
    delivery_ = loop_->after(std::chrono::nanoseconds(0), [this] { deliver(); });
}

void StdioBackend::listen() {
  if (may_read()) reader_.enable(*loop_);
}

void StdioBackend::ignore() {
  reader_.disable();
  foreground_.reset();
}

bool StdioBackend::may_read() {
  if (in_foreground(in_.get())) return true;
  reader_.disable();
  foreground_ = loop_->after(kForegroundInterval, [this] { listen(); });
  return false;
}

void StdioBackend::take(std::span<const std::byte> bytes) {
  if (escape_)
    decode(bytes);
  else
    frontend_->receive(bytes);
}

void StdioBackend::decode(std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) {
    const EscapeDecoder::Decoded decoded = decoder_.feed(byte);
    if (decoded.input && typed_.size() < kTypedAhead) typed_.push_back(*decoded.input);
    if (decoded.command) execute(*decoded.command);
  }
  deliver();
}

// What was typed before the command comes before it.
void StdioBackend::execute(EscapeCommand command) {
  deliver();
  if (command == EscapeCommand::send_break)
    frontend_->receive_break();
  else
    escape_(command);
}

void StdioBackend::deliver() {
  if (!readable_ || typed_.empty()) return;
  const auto bytes = std::exchange(typed_, {});
  frontend_->receive(bytes);
}

}  // namespace vireo::dev
