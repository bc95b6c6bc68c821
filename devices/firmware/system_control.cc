#include "devices/firmware/system_control.h"

#include <utility>

#include "vmm/memory/layout.h"

namespace vireo::dev {

namespace {

constexpr uint8_t kFastReset = 0x01, kResetProcessor = 0x04;

}  // namespace

// The bit does not stay: a processor that comes back finds it clear.
void SystemControl::Port::write_register(uint64_t, uint8_t value) {
  value_ = static_cast<uint8_t>(value & ~reset_bit_);
  if ((value & reset_bit_) != 0) control_.guest_reset();
}

SystemControl::SystemControl(std::string name, DeviceEnv& env, const State& state)
    : name_(std::move(name)),
      control_a_(env.platform.control, kFastReset, state.control_a),
      reset_control_(env.platform.control, kResetProcessor, state.reset_control) {
  control_a_port_ = env.platform.pio.map({layout::kPortSystemControl, 1}, control_a_, name_);
  reset_control_port_ = env.platform.pio.map({layout::kPortResetControl, 1}, reset_control_, name_);
}

Task<void> SystemControl::stop() {
  co_return;
}

void SystemControl::reset() {
  const State fresh;
  control_a_.set(fresh.control_a);
  reset_control_.set(fresh.reset_control);
}

void SystemControl::save(StateWriter& writer) const {
  writer.put(name_, State{control_a_.value(), reset_control_.value()});
}

}  // namespace vireo::dev
