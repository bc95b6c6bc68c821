// Paints on the framebuffer that the loader has told of, black at first: for each 'n' that comes, a
// frame of a few rectangles whose places and colours are pseudo-random.
#include "../lib/guest.h"

static uint32_t below(uint32_t limit) {
  return random32() % limit;
}

static void paint_rectangle(const struct framebuffer* screen) {
  const uint32_t x = below(screen->width), y = below(screen->height);
  const uint32_t width = below(1 + (screen->width - x) % 24) + 1;
  const uint32_t height = below(1 + (screen->height - y) % 6) + 1;
  const uint32_t colour = random32();
  for (uint32_t row = y; row < y + height && row < screen->height; ++row)
    for (uint32_t column = x; column < x + width && column < screen->width; ++column)
      write32(screen->address + row * screen->pitch + column * 4, colour);
}

static void check_black(const struct framebuffer* screen) {
  for (uint32_t row = 0; row < screen->height; row += 7)
    CHECK_EQUAL(read32(screen->address + row * screen->pitch + row % screen->width * 4), 0);
}

void guest_main(void) {
  struct framebuffer screen;
  CHECK(find_framebuffer(&screen));
  CHECK_EQUAL(screen.pitch, screen.width * 4);
  check_black(&screen);
  random_state = argument("seed", 1);
  out8(COM1 + 4, 3);  // DTR and RTS: it may send
  put("ready");
  for (;;) {
    const char c = get_char();
    if (c == 'q') pass();
    if (c == 'r') out8(0x64, 0xfe);  // resets the machine
    if (c != 'n') continue;
    for (uint32_t i = below(4); i > 0; --i) paint_rectangle(&screen);
    put_char('.');
  }
}
