// Reads and writes random addresses between RAM and 4 GiB in all widths: count=N times, from seed=S.
// Most hit the registers of devices. The local APIC and what is KVM's own are left out.
#include "../lib/virtio.h"

static uintptr_t random_address(void) {
  const uint32_t offset = random32();
  switch (random32() % 8) {
    case 0: return 0xc0000000 + offset % 0x3e000000;
    case 1: return 0xfec00000 + offset % 0x40;
    case 2: return 0xc8000ff0 + offset % 32;
    // Registers of virtio devices, most of them aligned ...
    case 3: return VIRTIO_FIRST + offset % 8 * VIRTIO_STRIDE + random32() % VIRTIO_STRIDE;
    default: break;
  }
  // ... and those that there are.
  return VIRTIO_FIRST + offset % 8 * VIRTIO_STRIDE + random32() % 0x48 * 4;
}

// Small numbers mean something in most registers.
static uint64_t random_value(void) {
  const uint64_t value = random32();
  switch (random32() % 4) {
    case 0: return value % 16;
    case 1: return 1ull << (value % 64);
    case 2: return value % 0x4000000;
    default: return value << 32 | random32();
  }
}

static void access(void) {
  const uintptr_t address = random_address();
  const uint64_t value = random_value();
  switch (random32() % 10) {
    case 0: read8(address); break;
    case 1: read16(address); break;
    case 2: read32(address); break;
    case 3: read64(address); break;
    case 4: write8(address, (uint8_t)value); break;
    case 5: write16(address, (uint16_t)value); break;
    case 6: write64(address, value); break;
    default: write32(address, (uint32_t)value); break;
  }
}

void guest_main(void) {
  for (uint64_t i = argument("count", 100); i > 0; --i) access();
}
