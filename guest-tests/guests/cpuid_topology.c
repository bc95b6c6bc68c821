// CPUID's topology leaves, the local APICs' ids and the MADT tell of the same processors: cpus=N,
// each a core of its own in one package.
#include "../lib/acpi.h"
#include "../lib/smp.h"

#define LEVEL_THREAD 1
#define LEVEL_CORE 2
#define MAX_CPUS 256

static uint32_t cpus;
static volatile uint32_t checked;
static volatile uint32_t seen[MAX_CPUS];  // by APIC id

static void check_leaf_1(uint32_t id) {
  const struct cpuid leaf = cpuid(1, 0);
  CHECK_EQUAL(leaf.ebx >> 24, id);
  CHECK_EQUAL(leaf.edx >> 28 & 1, cpus > 1);
  if (cpus > 1) CHECK_EQUAL(leaf.ebx >> 16 & 0xff, cpus);
}

static void check_extended(uint32_t function, uint32_t id) {
  if (cpuid(0, 0).eax < function) return;
  const struct cpuid thread = cpuid(function, 0);
  CHECK_EQUAL(thread.edx, id);
  CHECK_EQUAL(thread.ecx >> 8 & 0xff, LEVEL_THREAD);
  CHECK_EQUAL(thread.ebx & 0xffff, 1);
  CHECK_EQUAL(thread.eax & 0x1f, 0);
  const struct cpuid core = cpuid(function, 1);
  CHECK_EQUAL(core.edx, id);
  CHECK_EQUAL(core.ecx >> 8 & 0xff, LEVEL_CORE);
  CHECK_EQUAL(core.ebx & 0xffff, cpus);
  CHECK((uint64_t)1 << (core.eax & 0x1f) >= cpus);  // one package
  CHECK_EQUAL(cpuid(function, 2).ecx >> 8 & 0xff, 0);
}

static void check_amd(uint32_t id) {
  if (cpuid(0, 0).ebx != 0x68747541) return;  // "Auth"
  const struct cpuid sizes = cpuid(0x80000008, 0);
  CHECK_EQUAL((sizes.ecx & 0xff) + 1, cpus);
  CHECK((1u << (sizes.ecx >> 12 & 0xf)) >= cpus);
  if (cpuid(0x80000000, 0).eax >= 0x8000001e && (cpuid(0x80000001, 0).ecx >> 22 & 1)) {
    CHECK_EQUAL(cpuid(0x8000001e, 0).eax, id);
    CHECK_EQUAL(cpuid(0x8000001e, 0).ebx >> 8 & 0xff, 0);  // no threads
  }
}

static void check_intel(void) {
  if (cpuid(0, 0).ebx != 0x756e6547) return;  // "Genu"
  CHECK((cpuid(4, 0).eax >> 26) + 1 >= cpus);
}

static void check_processor(void) {
  const uint32_t id = apic_id();
  CHECK(id < MAX_CPUS);
  seen[id] = 1;
  check_leaf_1(id);
  check_extended(0xb, id);
  if (cpuid(0x1f, 0).ecx != 0) check_extended(0x1f, id);
  check_amd(id);
  check_intel();
  increment(&checked);
}

void ap_start(uint32_t index) {
  (void)index;
  check_processor();
}

// Every processor is in the MADT, and no other.
static void check_madt(void) {
  const struct acpi_header* madt = acpi_table("APIC");
  CHECK(madt);
  const uint8_t* at = (const uint8_t*)madt + sizeof *madt + 8;
  const uint8_t* end = (const uint8_t*)madt + madt->length;
  uint32_t count = 0;
  for (; at < end; at += at[1]) {
    CHECK(at[1] >= 2);
    if (at[0] != 0) continue;  // a local APIC: processor, APIC id, flags
    CHECK_EQUAL(at[4] & 1, 1);
    CHECK_EQUAL(seen[at[3]], 1);
    seen[at[3]] = 2;
    ++count;
  }
  CHECK_EQUAL(count, cpus);
}

void guest_main(void) {
  cpus = (uint32_t)argument("cpus", 1);
  if (cpus > 1) start_processors(cpus - 1);
  check_processor();
  while (checked < cpus) relax();
  check_madt();
}
