// What devices tell the firmware tables of themselves (ACPI 6.5): each hands in its own part, so
// that nothing here knows kinds of devices.
//
// Thread: control, while devices are built. Values; addresses guest-physical or ports.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/boot/aml.h"

namespace vireo {

// An object in \_SB.
struct AcpiDevice {
  std::string name{};  // up to 4 characters; AcpiNamespace::next()
  uint64_t uid = 0;    // among those with the same hid
  std::string hid{};   // "PNP0501", which is packed, or a text such as "LNRO0005"
  // What it occupies, as people and kernels' command lines are told; resources() tell the guest.
  uint64_t address = 0;
  uint64_t length = 0;
  uint32_t gsi = 0;
  std::vector<aml::Bytes> resources{};  // descriptors of _CRS; none: it has none of its own
  std::vector<aml::Bytes> terms{};      // further terms inside the device
};

// The hid of a virtio-mmio device: what Linux and SeaBIOS look for.
inline constexpr const char* kVirtioMmioHid = "LNRO0005";

// Registers of hardware-reduced power control, each one byte (4.8.3.7, 5.2.9).
struct AcpiPowerRegisters {
  uint16_t sleep_control = 0;
  uint16_t sleep_status = 0;
  uint16_t reset = 0;
  uint8_t reset_value = 0;
  uint8_t sleep_type_off = 0;  // SLP_TYP of S5
};

// IAPC_BOOT_ARCH (table 5.11).
enum AcpiBootFlags : uint16_t {
  kAcpiLegacyDevices = 1 << 0,
  kAcpiHas8042 = 1 << 1,
  kAcpiNoVga = 1 << 2,
  kAcpiNoCmosRtc = 1 << 5,
};

class AcpiNamespace {
 public:
  struct Place {
    std::string name;
    uint64_t uid;
  };
  // The next of COM1, COM2, … or V000, V001, …: `digits` hexadecimal ones.
  Place next(const std::string& prefix, int digits, uint64_t first = 0);

  void add(AcpiDevice device) { devices_.push_back(std::move(device)); }
  void set_power(const AcpiPowerRegisters& registers) { power_ = registers; }
  void set_boot_flags(uint16_t flags) noexcept { boot_flags_ |= flags; }
  void clear_boot_flags(uint16_t flags) noexcept {
    boot_flags_ = static_cast<uint16_t>(boot_flags_ & ~flags);
  }

  std::span<const AcpiDevice> devices() const noexcept { return devices_; }
  const std::optional<AcpiPowerRegisters>& power() const noexcept { return power_; }
  uint16_t boot_flags() const noexcept { return boot_flags_; }

 private:
  std::map<std::string, uint64_t> counts_;  // by prefix
  std::vector<AcpiDevice> devices_;
  std::optional<AcpiPowerRegisters> power_;
  uint16_t boot_flags_ = kAcpiNoVga | kAcpiNoCmosRtc;
};

// The device's terms, as they stand in \_SB.
aml::Bytes aml_of(const AcpiDevice& device);

}  // namespace vireo
