// What tools/tests/screen-test looks at: paints eight bars of pure colours, tells each byte that
// the keyboard sends, "k" and its value, with a square on the screen, and switches the machine off
// when the power button is pressed.
#include "../lib/acpi.h"
#include "../lib/ps2.h"

#define POWER_VECTOR 0x60
#define POWER_PIN 9
#define EVENTS 3  // beside the sleep control register
#define POWER_BUTTON 0x01
#define SLEEP_S5 (0x20 | 5 << 2)

static struct framebuffer screen;
static uint32_t squares;

static void fill(uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint32_t colour) {
  for (uint32_t row = y; row < y + height; ++row)
    for (uint32_t column = x; column < x + width; ++column)
      write32(screen.address + row * screen.pitch + column * 4, colour);
}

static void paint_bars(void) {
  const uint32_t width = screen.width / 8;
  for (uint32_t i = 0; i < 8; ++i)
    fill(i * width, 500, width, 60,
         (i & 1 ? 0xff0000 : 0) | (i & 2 ? 0x00ff00 : 0) | (i & 4 ? 0x0000ff : 0));
}

static void take_keys(struct frame* frame) {
  (void)frame;
  while (in8(PS2_STATUS) & PS2_FULL) {
    put_char('k');
    put_hex(in8(PS2_DATA));
    put_char('\n');
    fill(squares++ % 40 * 20, 580, 16, 16, 0xffffff);
  }
  apic_eoi();
}

static void take_power(struct frame* frame) {
  (void)frame;
  const struct acpi_fadt* fadt = acpi_table("FACP");
  if ((in8((uint16_t)(fadt->sleep_control.address + EVENTS)) & POWER_BUTTON) != 0) {
    put("power\n");
    acpi_write8(&fadt->sleep_control, SLEEP_S5);
  }
  apic_eoi();
}

void guest_main(void) {
  CHECK(find_framebuffer(&screen));
  CHECK(acpi_table("FACP"));
  paint_bars();
  keyboard_start(take_keys);
  set_handler(POWER_VECTOR, take_power);
  io_apic_route(POWER_PIN, POWER_VECTOR, (uint8_t)apic_id());
  put("ready\n");
  serve_interrupts();
}
