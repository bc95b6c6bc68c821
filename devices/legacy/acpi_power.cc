#include "devices/legacy/acpi_power.h"

#include <utility>

#include <fmt/core.h>

#include "vmm/memory/layout.h"

namespace vireo::dev {

AcpiPower::AcpiPower(std::string name, DeviceEnv& env, State state)
    : name_(std::move(name)), log_(env.log), control_(env.control), state_(state) {
  irq_ = env.irqs.claim(layout::kGsiPower, name_).line;
  ports_ = env.pio.map({layout::kPortAcpiPower, kRegisters}, *this, name_);
  env.acpi.push_back({.kind = AcpiDevice::Kind::power,
                      .address = layout::kPortAcpiPower,
                      .length = kRegisters,
                      .gsi = layout::kGsiPower});
}

// The edge is sent for every press: one that came before the guest listened is not waited for.
void AcpiPower::press_power_button() {
  {
    const std::lock_guard lock(mutex_);
    state_.events |= kPowerButton;
  }
  irq_.raise();
}

void AcpiPower::start() {
  const std::lock_guard lock(mutex_);
  if (state_.events != 0) irq_.raise();
}

Task<void> AcpiPower::stop() {
  co_return;
}

void AcpiPower::reset() {
  const std::lock_guard lock(mutex_);
  state_ = {};
}

void AcpiPower::save(StateWriter& writer) const {
  const std::lock_guard lock(mutex_);
  writer.put(name_, state_);
}

uint8_t AcpiPower::read_register(uint64_t offset) {
  if (offset != kEvent) return 0;
  const std::lock_guard lock(mutex_);
  return std::exchange(state_.events, uint8_t{0});
}

void AcpiPower::write_register(uint64_t offset, uint8_t value) {
  if (offset == kSleepControl) sleep(value);
  if (offset == kReset && value == kResetValue) control_.guest_reset();
}

void AcpiPower::sleep(uint8_t control) {
  if ((control & kSleepEnable) == 0) return;
  const int type = control >> kSleepTypeShift & 7;
  if (type == kSleepTypeS5)
    control_.guest_power_off();
  else
    log_.guest_noise(name_, fmt::format("the guest wants sleep type {}, which there is not", type));
}

}  // namespace vireo::dev
