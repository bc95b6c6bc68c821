#include "devices/firmware/debug_console.h"

#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "vmm/memory/layout.h"

namespace vireo::dev {

namespace {

// SeaBIOS, src/boot.c; whoever looks at no serial port would see a machine that only hangs.
constexpr std::string_view kNothingToBoot = "No bootable device";

}  // namespace

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
  if (value == '\n' || state_.line.size() == kMostOfLine) log_line(std::exchange(state_.line, {}));
}

void DebugConsole::log_line(const std::string& line) const {
  if (!line.starts_with(kNothingToBoot)) return log_.debug(name_, line);
  log_.guest_noise(name_, fmt::format("{} It needs a disk with a boot sector and sectors of 512 "
                                      "bytes, or a kernel in place of a BIOS (--kernel FILE).",
                                      line));
}

}  // namespace vireo::dev
