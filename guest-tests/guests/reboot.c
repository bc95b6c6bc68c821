// Comes up, says so and waits: 'r' resets it, 'x' ends it. Whatever a start finds must be as at the
// first one: memory empty, devices and processors at rest. cpus=N.
#include "../lib/acpi.h"
#include "../lib/smp.h"

#define SCRATCH (COM1 + 7)
#define FAR_MEMORY 0xa00000  // nobody but this guest writes there
#define MSR_PAT 0x277
#define PAT_AT_RESET 0x0007040600070406
#define TIMER_VECTOR 0x50

// Registers that are 0 after a reset, and take any address.
static const uint32_t kMsrs[] = {
    0x175,       // SYSENTER_ESP
    0x176,       // SYSENTER_EIP
    0xc0000082,  // LSTAR
    0xc0000084,  // SFMASK
    0xc0000102,  // KERNEL_GS_BASE
    0x4b564d01,  // KVM's clock
};
#define MSR_TSC_AUX 0xc0000103  // where there is RDTSCP
#define MSR_COUNT (sizeof kMsrs / sizeof kMsrs[0])

static bool has_tsc_aux(void) { return cpuid(0x80000001, 0).edx >> 27 & 1; }

static void check_processor(void) {
  for (size_t i = 0; i < MSR_COUNT; ++i) CHECK_EQUAL(read_msr(kMsrs[i]), 0);
  if (has_tsc_aux()) CHECK_EQUAL(read_msr(MSR_TSC_AUX), 0);
  CHECK_EQUAL(read_msr(MSR_PAT), PAT_AT_RESET);
  CHECK_EQUAL(apic_read(APIC_SPURIOUS) & APIC_ENABLED, 0);
  CHECK_EQUAL(apic_read(APIC_TIMER) & APIC_MASKED, APIC_MASKED);
  CHECK_EQUAL(apic_read(APIC_TIMER_CURRENT), 0);
  uint64_t debug_register;
  __asm__ volatile("mov %%dr0, %0" : "=r"(debug_register));
  CHECK_EQUAL(debug_register, 0);
}

static void use_processor(void) {
  static struct {
    uint8_t bytes[64];
  } clock __attribute__((aligned(64)));
  for (size_t i = 0; i + 1 < MSR_COUNT; ++i) write_msr(kMsrs[i], 0x1000);
  write_msr(kMsrs[MSR_COUNT - 1], (uintptr_t)&clock | 1);
  if (has_tsc_aux()) write_msr(MSR_TSC_AUX, 5);
  write_msr(MSR_PAT, 0x0606060606060606);
  apic_enable();
  apic_timer(APIC_TIMER_PERIODIC | TIMER_VECTOR, APIC_TIMER_HZ);
  __asm__ volatile("mov %0, %%dr0" : : "r"((uint64_t)0x1000));
}

void ap_start(uint32_t index) {
  (void)index;
  check_processor();
  use_processor();
  write32(FAR_MEMORY + 8, read32(FAR_MEMORY + 8) + 1);
}

static void check_machine(void) {
  CHECK_EQUAL(read32(FAR_MEMORY), 0);
  CHECK_EQUAL(in8(SCRATCH), 0);
  CHECK_EQUAL(in8(COM1 + 1), 0);
  CHECK_EQUAL(io_apic_read(0x10 + 2 * 4) & APIC_MASKED, APIC_MASKED);
  CHECK_EQUAL(in32(0x5000), 0);
}

static void use_machine(void) {
  write32(FAR_MEMORY, 1);
  out8(SCRATCH, 0x5a);
  out8(COM1 + 1, 1);
  out8(COM1 + 4, 3);
  io_apic_route(4, 0x50, 0);
  out32(0x5000, 1);
}

void guest_main(void) {
  const uint32_t cpus = (uint32_t)argument("cpus", 1);
  check_machine();
  check_processor();
  use_machine();
  if (cpus > 1) {
    CHECK_EQUAL(cpus, 2);
    start_processors(1);
    while (read32(FAR_MEMORY + 8) != 1) relax();
  }
  use_processor();
  put("up\n");
  if (get_char() == 'x') return;
  const struct acpi_fadt* fadt = acpi_table("FACP");
  CHECK(fadt);
  acpi_write8(&fadt->reset_register, fadt->reset_value);
  halt_forever();
}
