// Comes up, says so and waits: 'r' resets it, 'x' ends it. Whatever a start finds must be as at the
// first one: memory empty, devices at rest.
#include "../lib/acpi.h"
#include "../lib/apic.h"

#define SCRATCH (COM1 + 7)
#define MARK 0x12345678
#define FAR_MEMORY 0xa00000  // nobody but this guest writes there

void guest_main(void) {
  CHECK_EQUAL(read32(FAR_MEMORY), 0);
  CHECK_EQUAL(in8(SCRATCH), 0);
  CHECK_EQUAL(in8(COM1 + 1), 0);
  CHECK_EQUAL(apic_read(APIC_SPURIOUS) & APIC_ENABLED, 0);
  CHECK_EQUAL(io_apic_read(0x10 + 2 * 4) & APIC_MASKED, APIC_MASKED);
  CHECK_EQUAL(in32(0x5000), 0);
  write32(FAR_MEMORY, MARK);
  out8(SCRATCH, 0x5a);
  out8(COM1 + 1, 1);
  out8(COM1 + 4, 3);
  apic_enable();
  io_apic_route(4, 0x50, 0);
  out32(0x5000, MARK);
  put("up\n");
  if (get_char() == 'x') return;
  const struct acpi_fadt* fadt = acpi_table("FACP");
  CHECK(fadt);
  acpi_write8(&fadt->reset_register, fadt->reset_value);
  halt_forever();
}
