// The end of what a guest's kernel says on its serial port: why it died, if it did.
//
// Thread: the loop's until the machine has ended, then the control thread's. Bounded.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "devices/chardev/backend.h"

namespace vireo::cli {

class ConsoleTail {
 public:
  static constexpr size_t kMost = size_t{32} * 1024;  // bytes

  void add(std::string_view text);
  const std::string& text() const noexcept { return text_; }

  // The line that says so, from where it does: "Kernel panic - not syncing: …".
  std::optional<std::string> panic() const;
  // The guest had no memory left, and killed this process, or any.
  bool killed_for_memory(uint32_t pid) const;
  bool killed_for_memory() const;

 private:
  std::string text_;
};

// The port's other end: nothing is typed there. `tail` outlives it.
class ConsoleTailBackend final : public dev::CharBackend {
 public:
  explicit ConsoleTailBackend(ConsoleTail& tail) : tail_(tail) {}
  void open(EventLoop& /*loop*/, dev::CharFrontend& /*frontend*/) override {}
  void close() override {}
  size_t write(std::span<const std::byte> bytes) override {
    tail_.add({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    return bytes.size();
  }
  void set_readable(bool /*readable*/) override {}

 private:
  ConsoleTail& tail_;
};

}  // namespace vireo::cli
