// The device's side of a character backend, which remembers what it was told. One thread.
#pragma once

#include <functional>
#include <string>

#include "devices/chardev/backend.h"

namespace vireo::dev::testing {

class RecordingFrontend final : public CharFrontend {
 public:
  std::string received;
  int writable_calls = 0;
  int breaks = 0;
  std::function<void()> on_receive = [] {};

 private:
  void receive(std::span<const std::byte> bytes) override {
    for (const std::byte byte : bytes) received += static_cast<char>(byte);
    on_receive();
  }
  void writable() override { ++writable_calls; }
  void receive_break() override { ++breaks; }
};

inline size_t write(CharBackend& backend, std::string_view text) {
  return backend.write(std::as_bytes(std::span(text.data(), text.size())));
}

// Writes until the backend takes no more; gives how much it took.
inline size_t fill(CharBackend& backend) {
  const std::string chunk(1000, 'x');
  size_t total = 0;
  for (size_t taken = chunk.size(); taken == chunk.size(); total += taken)
    taken = write(backend, chunk);
  return total;
}

}  // namespace vireo::dev::testing
