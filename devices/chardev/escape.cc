#include "devices/chardev/escape.h"

#include <utility>

namespace vireo::dev {

std::string_view EscapeDecoder::help() noexcept {
  return "Ctrl-A x       stop the machine and quit\r\n"
         "Ctrl-A p       press the power button\r\n"
         "Ctrl-A b       send a break (Linux: then a SysRq letter)\r\n"
         "Ctrl-A h       this help\r\n"
         "Ctrl-A Ctrl-A  send Ctrl-A\r\n";
}

EscapeDecoder::Decoded EscapeDecoder::feed(std::byte typed) noexcept {
  if (!std::exchange(escaped_, false)) {
    if (typed != kPrefix) return {.input = typed};
    escaped_ = true;
    return {};
  }
  if (typed == kPrefix) return {.input = typed};
  switch (static_cast<char>(typed)) {
    case 'x':
      return {.command = EscapeCommand::quit};
    case 'p':
      return {.command = EscapeCommand::power_button};
    case 'b':
      return {.command = EscapeCommand::send_break};
    case 'h':
    case '?':
      return {.command = EscapeCommand::help};
    default:
      return {};
  }
}

}  // namespace vireo::dev
