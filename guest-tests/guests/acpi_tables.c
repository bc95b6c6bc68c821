// The ACPI tables are where kernels look for them, have right checksums and lengths, and describe a
// hardware-reduced platform with a way to switch it off and to reset it.
#include "../lib/acpi.h"

static void check_table(const struct acpi_header* table) {
  CHECK(table->length >= sizeof *table);
  CHECK_EQUAL(byte_sum(table, table->length), 0);
  put_char(table->signature[0]);
  put_char(table->signature[1]);
  put_char(table->signature[2]);
  put_char(table->signature[3]);
  put("\n");
}

void guest_main(void) {
  const struct acpi_rsdp* rsdp = find_rsdp();
  CHECK(rsdp);
  CHECK_EQUAL(byte_sum(rsdp, 20), 0);
  CHECK_EQUAL(byte_sum(rsdp, rsdp->length), 0);
  CHECK(rsdp->revision >= 2);
  check_table((const struct acpi_header*)(uintptr_t)rsdp->xsdt);
  const size_t count = acpi_table_count(rsdp);
  for (size_t i = 0; i < count; ++i) check_table(acpi_table_at(rsdp, i));

  CHECK(acpi_table("APIC"));
  const struct acpi_fadt* fadt = acpi_table("FACP");
  CHECK(fadt);
  CHECK(fadt->flags & FADT_HARDWARE_REDUCED);
  CHECK(fadt->flags & FADT_RESET_REGISTER);
  CHECK(fadt->reset_register.address != 0);
  CHECK(fadt->sleep_control.address != 0);
  check_table((const struct acpi_header*)(uintptr_t)fadt->x_dsdt);
}
