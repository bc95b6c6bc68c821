#include "vmm/boot/reset_vector.h"

#include <algorithm>
#include <array>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

constexpr uint64_t kResetRegister = 2;  // of the power device, see vmm/boot/acpi.h

}  // namespace

void write_reset_vector(GuestMemory& memory, std::span<const AcpiDevice> devices) {
  const auto power = std::find_if(devices.begin(), devices.end(), [](const AcpiDevice& device) {
    return device.kind == AcpiDevice::Kind::power;
  });
  if (power == devices.end()) return;
  const uint64_t port = power->address + kResetRegister;
  const std::array<uint8_t, 9> code{
      0xba,
      static_cast<uint8_t>(port),
      static_cast<uint8_t>(port >> 8),  // mov $port, %dx
      0xb0,
      0x01,  // mov $1, %al
      0xee,  // out %al, %dx
      0xf4,  // hlt
      0xeb,
      0xfd,  // jmp to the hlt
  };
  VMM_CHECK(memory.write(layout::kResetVector, code), "low memory is always RAM");
}

}  // namespace vireo
