// What tools/bench measures how soon a key shows with: a square on the screen changes its colour
// each time a key goes down. Where the loader tells of no framebuffer, it is that of QEMU's VGA.
#include "../lib/ps2.h"

#define RELEASED 0x80
#define PREFIX 0xe0

static struct framebuffer screen;
static uint32_t presses;

// A PCI device's registers, through ports 0xcf8 and 0xcfc; of bus 0.
static uint32_t pci_read(uint32_t device, uint32_t reg) {
  out32(0xcf8, 0x80000000u | device << 11 | reg);
  return in32(0xcfc);
}

static void vbe(uint16_t reg, uint16_t value) {
  out16(0x1ce, reg);
  out16(0x1cf, value);
}

static bool find_vga(struct framebuffer* into) {
  for (uint32_t device = 0; device < 32; ++device) {
    if (pci_read(device, 0) != 0x11111234) continue;
    vbe(4, 0);
    vbe(1, 1024);
    vbe(2, 768);
    vbe(3, 32);
    vbe(4, 0x41);
    *into = (struct framebuffer){pci_read(device, 0x10) & ~15u, 4096, 1024, 768};
    return true;
  }
  return false;
}

static void paint(uint32_t colour) {
  for (uint32_t row = 100; row < 116; ++row)
    for (uint32_t column = 100; column < 108; ++column)
      write32(screen.address + row * screen.pitch + column * 4, colour);
}

static void take_keys(struct frame* frame) {
  (void)frame;
  while (in8(PS2_STATUS) & PS2_FULL) {
    const uint8_t byte = in8(PS2_DATA);
    if (byte != PREFIX && (byte & RELEASED) == 0) paint(++presses % 2 == 0 ? 0 : 0xffffff);
  }
  apic_eoi();
}

void guest_main(void) {
  CHECK(find_framebuffer(&screen) || find_vga(&screen));
  keyboard_start(take_keys);
  put("listening\n");
  serve_interrupts();
}
