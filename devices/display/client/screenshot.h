// A viewer for one picture: connects to an RFB server (ours or another's), takes the screen,
// leaves.
//
// Thread: the loop's. Keeps one picture. What the server says is bounded and checked; waiting for
// it ends after a while.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "devices/display/byte_stream.h"
#include "devices/display/screen.h"
#include "vmm/base/task.h"

namespace vireo::display {

struct Screenshot {
  Size size{};
  std::vector<uint32_t> pixels{};  // 0x00RRGGBB, row after row
};

constexpr std::chrono::seconds kScreenshotTime{20};

// A connection to "HOST:PORT", "[IPV6]:PORT" or "unix:PATH". Throws ConfigError when nobody
// listens.
UniqueFd connect_to_screen(const std::string& address);
// Throws ConfigError: the server wants another password, or TLS; it is none, or too slow.
Task<Screenshot> take_screenshot(EventLoop& loop, UniqueFd socket, std::string password);

}  // namespace vireo::display
