// A reset as ACPI says: the reset value into the reset register.
#include "../lib/acpi.h"

void guest_main(void) {
  const struct acpi_fadt* fadt = acpi_table("FACP");
  CHECK(fadt);
  acpi_write8(&fadt->reset_register, fadt->reset_value);
  halt_forever();
}
