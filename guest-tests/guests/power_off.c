// Switching off as ACPI says: the sleep type of the \_S5 package into the sleep control register.
#include "../lib/acpi.h"

#define SLEEP_ENABLE 0x20
#define AML_PACKAGE 0x12
#define AML_BYTE 0x0a

// The first element of \_S5 = Package { Type, ... }: a byte constant, or the opcodes Zero and One.
static uint8_t s5_sleep_type(const struct acpi_header* dsdt) {
  const uint8_t* at = (const uint8_t*)dsdt;
  const uint8_t* end = at + dsdt->length - 9;
  while (at < end && memcmp(at, "_S5_", 4) != 0) ++at;
  CHECK(at < end);
  CHECK_EQUAL(at[4], AML_PACKAGE);
  CHECK_EQUAL(at[5] >> 6, 0);  // the package's length has one byte, its element count follows
  return at[7] == AML_BYTE ? at[8] : at[7];
}

void guest_main(void) {
  const struct acpi_fadt* fadt = acpi_table("FACP");
  CHECK(fadt);
  const uint8_t type = s5_sleep_type((const struct acpi_header*)(uintptr_t)fadt->x_dsdt);
  acpi_write8(&fadt->sleep_control, (uint8_t)(SLEEP_ENABLE | type << 2));
  halt_forever();
}
