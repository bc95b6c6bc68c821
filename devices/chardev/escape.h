// The escape prefix of an interactive console: Ctrl-A, then a letter. Everything else is input.
//
// A value; any thread, one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vireo::dev {

enum class EscapeCommand : uint8_t { quit, power_button, send_break, help };

class EscapeDecoder {
 public:
  static constexpr std::byte kPrefix{0x01};  // Ctrl-A
  static std::string_view help() noexcept;   // what the prefix can do, one line each

  // At most one of the two is set; neither after the prefix itself or an unknown letter.
  struct Decoded {
    std::optional<std::byte> input{};
    std::optional<EscapeCommand> command{};
  };
  Decoded feed(std::byte typed) noexcept;

 private:
  bool escaped_ = false;
};

}  // namespace vireo::dev
