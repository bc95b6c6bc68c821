#include "devices/legacy/debug_exit.h"

#include <utility>

#include "vmm/memory/layout.h"

namespace vireo::dev {

namespace {

constexpr uint64_t kWidth = 4;

}  // namespace

DebugExit::DebugExit(std::string name, DeviceEnv& env, State)
    : name_(std::move(name)), control_(env.platform.control) {
  port_ = env.platform.pio.map({layout::kPortDebugExit, kWidth}, *this, name_);
}

Task<void> DebugExit::stop() {
  co_return;
}

void DebugExit::save(StateWriter& writer) const {
  writer.put(name_, State());
}

void DebugExit::io_read(uint64_t, std::span<std::byte>) {}

void DebugExit::io_write(uint64_t offset, std::span<const std::byte> in) {
  if (offset != 0) return;  // the upper bytes of the port alone are no value
  uint32_t value = 0;
  for (size_t i = 0; i < in.size() && i < kWidth; ++i)
    value |= uint32_t{static_cast<uint8_t>(in[i])} << (8 * i);
  control_.guest_debug_exit(value);
}

}  // namespace vireo::dev
