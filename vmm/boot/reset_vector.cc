#include "vmm/boot/reset_vector.h"

#include <array>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {

void write_reset_vector(GuestMemory& memory, const AcpiNamespace& names) {
  const auto& power = names.power();
  if (!power) return;
  const uint16_t port = power->reset;
  const std::array<uint8_t, 9> code{
      0xba,
      static_cast<uint8_t>(port),
      static_cast<uint8_t>(port >> 8),  // mov $port, %dx
      0xb0,
      power->reset_value,  // mov $1, %al
      0xee,                // out %al, %dx
      0xf4,                // hlt
      0xeb,
      0xfd,  // jmp to the hlt
  };
  VMM_CHECK(memory.write(layout::kResetVector, code), "low memory is always RAM");
}

}  // namespace vireo
