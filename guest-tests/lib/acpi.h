// Finding the ACPI tables (ACPI 6.5, 5.2).
#pragma once

#include "guest.h"

struct acpi_header {
  char signature[4];
  uint32_t length;
  uint8_t revision, checksum;
  char oem_id[6], oem_table_id[8];
  uint32_t oem_revision, creator_id, creator_revision;
} __attribute__((packed));

struct acpi_address {  // 5.2.3.2
  uint8_t space, width, offset, access;
  uint64_t address;
} __attribute__((packed));
#define ACPI_SPACE_MEMORY 0
#define ACPI_SPACE_PORT 1

struct acpi_rsdp {
  char signature[8];
  uint8_t checksum;
  char oem_id[6];
  uint8_t revision;
  uint32_t rsdt;
  uint32_t length;
  uint64_t xsdt;
  uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

struct acpi_fadt {
  struct acpi_header header;
  uint8_t fields[76];
  uint32_t flags;
  struct acpi_address reset_register;
  uint8_t reset_value;
  uint16_t arm_flags;
  uint8_t minor;
  uint64_t x_facs, x_dsdt;
  struct acpi_address x_blocks[8];
  struct acpi_address sleep_control, sleep_status;
} __attribute__((packed));
#define FADT_RESET_REGISTER (1u << 10)
#define FADT_HARDWARE_REDUCED (1u << 20)

static inline uint8_t byte_sum(const void* data, size_t length) {
  const uint8_t* bytes = data;
  uint8_t sum = 0;
  while (length--) sum = (uint8_t)(sum + *bytes++);
  return sum;
}

// Where kernels that no loader tells look for it: on paragraphs from 0xe0000 to 1 MiB.
static inline const struct acpi_rsdp* find_rsdp(void) {
  for (uintptr_t at = 0xe0000; at < 0x100000; at += 16)
    if (memcmp((const void*)at, "RSD PTR ", 8) == 0) return (const struct acpi_rsdp*)at;
  return 0;
}

static inline size_t acpi_table_count(const struct acpi_rsdp* rsdp) {
  const struct acpi_header* xsdt = (const struct acpi_header*)(uintptr_t)rsdp->xsdt;
  return (xsdt->length - sizeof *xsdt) / 8;
}

static inline const struct acpi_header* acpi_table_at(const struct acpi_rsdp* rsdp, size_t index) {
  uint64_t address;
  memcpy(&address, (const char*)(uintptr_t)rsdp->xsdt + sizeof(struct acpi_header) + index * 8, 8);
  return (const struct acpi_header*)(uintptr_t)address;
}

// Nothing when there is none; the first of several.
static inline const void* acpi_table(const char* signature) {
  const struct acpi_rsdp* rsdp = find_rsdp();
  CHECK(rsdp);
  const size_t count = acpi_table_count(rsdp);
  for (size_t i = 0; i < count; ++i) {
    const struct acpi_header* table = acpi_table_at(rsdp, i);
    if (memcmp(table->signature, signature, 4) == 0) return table;
  }
  return 0;
}

static inline void acpi_write8(const struct acpi_address* reg, uint8_t value) {
  if (reg->space == ACPI_SPACE_PORT)
    out8((uint16_t)reg->address, value);
  else
    write8((uintptr_t)reg->address, value);
}
