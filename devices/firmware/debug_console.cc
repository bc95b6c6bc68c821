#include "devices/firmware/debug_console.h"

#include <utility>

#include "vmm/memory/layout.h"

namespace vireo::dev {

DebugConsole::DebugConsole(std::string name, DeviceEnv& env, State state)
    : name_(std::move(name)), log_(env.platform.log), state_(std::move(state)) {
  if (state_.line.size() >= kMostOfLine)
    throw StateError("the saved line of '" + name_ + "' is longer than one can be");
  port_ = env.platform.pio.map({layout::kPortDebugConsole, 1}, *this, name_);
}

Task<void> DebugConsole::stop() {
  co_return;
}

void DebugConsole::reset() {
  const std::lock_guard lock(mutex_);
  state_ = {};
}

void DebugConsole::save(StateWriter& writer) const {
  const std::lock_guard lock(mutex_);
  writer.put(name_, state_);
}

uint8_t DebugConsole::read_register(uint64_t) {
  constexpr uint8_t kListens = 0xe9;
  return kListens;
}

void DebugConsole::write_register(uint64_t, uint8_t value) {
  const std::lock_guard lock(mutex_);
  if (value != '\n') state_.line.push_back(static_cast<char>(value));
  if (value == '\n' || state_.line.size() == kMostOfLine)
    log_.debug(name_, std::exchange(state_.line, {}));
}

}  // namespace vireo::dev
