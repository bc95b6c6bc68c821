#include "devices/chardev/stdio.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace vireo::dev {

StdioBackend::StdioBackend(int in, int out, EscapeHandler escape, Logger log)
    : in_(in, PrivateFd::Use::read),
      out_(out, PrivateFd::Use::write),
      escape_(::isatty(in) == 1 ? std::move(escape) : EscapeHandler()),
      reader_(in_.get(), {.bytes = [this](auto bytes) { take(bytes); }, .ended = [] {}}),
      output_(out_.get(), "standard output", std::move(log)) {}

void StdioBackend::open(EventLoop& loop, CharFrontend& frontend) {
  loop_ = &loop;
  frontend_ = &frontend;
  output_.open(loop, frontend);
  if (escape_) reader_.enable(loop);
}

void StdioBackend::close() {
  delivery_.reset();
  reader_.disable();
  output_.close();
  readable_ = false;
  loop_ = nullptr;
  frontend_ = nullptr;
}

void StdioBackend::set_readable(bool readable) {
  readable_ = readable;
  if (!escape_) return readable ? reader_.enable(*loop_) : reader_.disable();
  // Not from inside this call.
  if (readable && !typed_.empty())
    delivery_ = loop_->after(std::chrono::nanoseconds(0), [this] { deliver(); });
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
