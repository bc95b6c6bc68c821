// What a TAP is asked for. Plain values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vireo::dev {

// Frames are carried by the kernel's vhost-net instead of the loop: where it can be, always, never.
enum class Vhost : uint8_t { automatic, on, off };

struct TapConfig {
  std::string name{};  // of the interface; empty: the kernel chooses one (vireo0, …)
  // Make it, and remove it at the end; else it has to be there. Nothing: one without a name, or
  // for a bridge, is made.
  std::optional<bool> create{};
  std::string bridge{};    // put it there; only one that is made
  std::vector<int> fds{};  // instead of a name: open ones, of which we become the owner
  uint16_t queues = 1;     // pairs
  uint16_t mtu = 0;        // of one that we make; 0: the bridge's, or 1500
  Vhost vhost = Vhost::automatic;

  bool is_made() const { return create.value_or(name.empty() || !bridge.empty()); }
};

}  // namespace vireo::dev
