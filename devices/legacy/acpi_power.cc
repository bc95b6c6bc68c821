#include "devices/legacy/acpi_power.h"

#include <utility>

#include <fmt/core.h>

#include "vmm/boot/aml.h"
#include "vmm/memory/layout.h"

namespace vireo::dev {

AcpiPower::AcpiPower(std::string name, DeviceEnv& env, State state)
    : name_(std::move(name)),
      log_(env.platform.log),
      control_(env.platform.control),
      state_(state) {
  irq_ = env.platform.irqs.claim(layout::kGsiPower, name_).line;
  ports_ = env.platform.pio.map({layout::kPortAcpiPower, kRegisters}, *this, name_);
  describe(env.platform.acpi);
}

// The button itself, and the device that tells of it (5.6.9, 9.18.1).
void AcpiPower::describe(AcpiNamespace& acpi) {
  constexpr uint64_t kPressed = 0x80;
  constexpr uint16_t kPorts = layout::kPortAcpiPower;
  acpi.set_power({.sleep_control = kPorts + kSleepControl,
                  .sleep_status = kPorts + kSleepStatus,
                  .reset = kPorts + kReset,
                  .reset_value = kResetValue,
                  .sleep_type_off = kSleepTypeS5});
  acpi.add({.name = "PWRB", .hid = "PNP0C0C"});
  const auto event = aml::path("EVNT"), local = aml::local0();
  acpi.add({.name = "GED",
            .hid = "ACPI0013",
            .address = kPorts,
            .length = kRegisters,
            .gsi = layout::kGsiPower,
            .resources = {aml::interrupt(layout::kGsiPower)},
            .terms = {aml::io_region("EREG", kPorts + kEvent, 1), aml::byte_field("EREG", "EVNT"),
                      aml::serialized_method(
                          "_EVT", 1,
                          {aml::store(event, local),
                           aml::if_then(aml::bit_and(local, aml::integer(kPowerButton)),
                                        {aml::notify("PWRB", kPressed)})})}});
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
