// Debian's kernel at a screen: what its console shows there, and what is typed at it.
#include <linux/input-event-codes.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/display/testing/client.h"
#include "guest-tests/linux_machine.h"

namespace vireo::guest_tests {
namespace {

constexpr display::Size kMode{800, 600};

// The font that the kernel draws its console with, 8 by 16, taken out of the kernel itself: what
// it draws with it must be found on the screen, pixel for pixel.
class Font {
 public:
  static constexpr size_t kWidth = 8, kHeight = 16;
  using Glyph = std::array<uint8_t, kHeight>;

  explicit Font(const std::filesystem::path& vmlinux) {
    std::string kernel(std::filesystem::file_size(vmlinux), 0);
    std::ifstream(vmlinux, std::ios::binary).read(kernel.data(), std::ssize(kernel));
    using namespace std::string_view_literals;
    const auto letter_a = "\0\0\x10\x38\x6c\xc6\xc6\xfe\xc6\xc6\xc6\xc6\0\0\0\0"sv;
    const size_t found = kernel.find(letter_a);
    REQUIRE(found != kernel.npos);
    for (char c = ' '; c <= '~'; ++c) {
      Glyph glyph;
      std::memcpy(glyph.data(), kernel.data() + found + (c - 'A') * std::ssize(glyph), kHeight);
      characters_.emplace(glyph, c);
    }
  }
  char read(const Glyph& glyph) const {
    const auto known = characters_.find(glyph);
    return known == characters_.end() ? '\x7f' : known->second;
  }

 private:
  std::map<Glyph, char> characters_;
};

using Picture = std::vector<uint32_t>;  // of kMode, 0x00RRGGBB

Font::Glyph glyph_at(const Picture& picture, size_t x, size_t y) {
  constexpr uint32_t kBright = 0xc0c0c0;  // any of these bits
  Font::Glyph glyph{};
  for (size_t dy = 0; dy < Font::kHeight; ++dy)
    for (size_t dx = 0; dx < Font::kWidth; ++dx) {
      const bool lit = (picture[(y + dy) * kMode.width + x + dx] & kBright) != 0;
      glyph[dy] = static_cast<uint8_t>(glyph[dy] << 1 | (lit ? 1 : 0));
    }
  return glyph;
}

std::vector<std::string> lines_of(const Picture& picture, const Font& font) {
  std::vector<std::string> lines;
  for (size_t y = 0; y + Font::kHeight <= kMode.height; y += Font::kHeight) {
    std::string& line = lines.emplace_back();
    for (size_t x = 0; x + Font::kWidth <= kMode.width; x += Font::kWidth)
      line += font.read(glyph_at(picture, x, y));
    line.erase(line.find_last_not_of(' ') + 1);
  }
  return lines;
}

Picture picture_of(const display::Screen& screen) {
  Picture picture(size_t{kMode.width} * kMode.height);
  for (uint16_t y = 0; y < kMode.height; ++y) {
    const auto row = screen.row(y);
    std::memcpy(&picture[size_t{y} * kMode.width], row.data(), row.size());
  }
  return picture;
}

// Looks again and again, until a line of the screen has the text.
template <class Look>
bool shows(Look look, const Font& font, const std::string& text) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    const auto lines = lines_of(look(), font);
    const auto has_text = [&](const std::string& line) { return line.find(text) != line.npos; };
    if (std::ranges::any_of(lines, has_text)) return true;
    if (std::chrono::steady_clock::now() > deadline) {
      for (const std::string& line : lines) UNSCOPED_INFO(line);
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

struct Key {
  uint16_t code;
  bool shift = false;
};

Key key_of(char c) {
  static const std::map<char, Key> kKeys = [] {
    std::map<char, Key> keys{
        {' ', {KEY_SPACE}},          {'\n', {KEY_ENTER}},    {'-', {KEY_MINUS}},
        {'=', {KEY_EQUAL}},          {'/', {KEY_SLASH}},     {'.', {KEY_DOT}},
        {'$', {KEY_4, true}},        {'(', {KEY_9, true}},   {')', {KEY_0, true}},
        {'*', {KEY_8, true}},        {'>', {KEY_DOT, true}}, {'"', {KEY_APOSTROPHE, true}},
        {'|', {KEY_BACKSLASH, true}}};
    const auto add = [&](std::string_view row, uint16_t first) {
      for (const char letter : row) keys[letter] = {first++};
    };
    add("1234567890", KEY_1);
    add("qwertyuiop", KEY_Q);
    add("asdfghjkl", KEY_A);
    add("zxcvbnm", KEY_Z);
    for (char letter = 'a'; letter <= 'z'; ++letter)
      keys[static_cast<char>(letter - 'a' + 'A')] = {keys[letter].code, true};
    return keys;
  }();
  return kKeys.at(c);
}

void type(const dev::DisplayDevices& display, const std::string& text) {
  call(display.loop, [&] {
    for (const char c : text) {
      const Key key = key_of(c);
      if (key.shift) display.input.key(KEY_LEFTSHIFT, true);
      display.input.key(key.code, true);
      display.input.key(key.code, false);
      if (key.shift) display.input.key(KEY_LEFTSHIFT, false);
    }
  });
}

// Type, code and value of each struct input_event (two longs of time come first), which the guest
// prints as twelve numbers of 16 bits a line.
std::vector<std::array<int, 3>> events_of(const std::string& text) {
  std::vector<std::array<int, 3>> events;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    for (int time = 0, skipped = 0; skipped < 8; ++skipped) numbers >> time;
    auto& [type, code, value] = events.emplace_back();
    numbers >> type >> code >> value;
  }
  return events;
}

}  // namespace

TEST_CASE("the kernel's console is on the screen, and its shell hears the keyboard") {
  const TemporaryDirectory directory;
  LinuxMachine machine({.screen = kMode});
  const dev::DisplayDevices& display = machine.display();
  const auto addresses = dev::serve_display(machine.machine(), display,
                                            {.vnc = "unix:" + (directory.path() / "vnc").string()});
  machine.come_up();
  const Font font(machine.vmlinux());
  const auto screen = [&] {
    return call(display.loop, [&] { return picture_of(display.screen); });
  };

  CHECK_THAT(machine.run("cat /proc/cmdline"), Catch::StartsWith("console=tty0 "));
  CHECK(machine.run("cat /sys/class/graphics/fb0/name") == "EFI VGA\n");
  CHECK(machine.run("cat /sys/class/graphics/fb0/virtual_size") == "800,600\n");
  const std::string devices = machine.run("cat /proc/bus/input/devices");
  for (const char* name :
       {"AT Translated Set 2 keyboard", "Vireo Virtio Keyboard", "Vireo Virtio Tablet"})
    CHECK_THAT(devices, Catch::Contains(name));

  machine.run("dmesg -n 8; echo 'the kernel says: 12345 {}' >/dev/kmsg");
  CHECK(shows(screen, font, "the kernel says: 12345 {}"));

  machine.run("printf '\\033c' >/dev/tty1");
  machine.run("setsid sh -c 'PS1=\"on tty1: \" exec sh -i <>/dev/tty1 >&0 2>&0' &");
  CHECK(shows(screen, font, "on tty1:"));
  type(display, "echo Typed $((6*7)) \"OK\"\n");
  CHECK(shows(screen, font, "on tty1: echo Typed $((6*7)) \"OK\""));
  CHECK(shows(screen, font, "Typed 42 OK"));

  // Half the screen is half the tablet.
  machine.run(
      "exec 3</dev/input/$(cd /sys/class/input; grep -l Tablet event*/device/name | cut -d/ -f1)");
  call(display.loop, [&] { display.input.pointer(400, 300, display::Input::kLeft); });
  CHECK(events_of(machine.run("head -c 96 <&3 | hexdump -v -e '12/2 \"%u \" \"\\n\"'")) ==
        std::vector<std::array<int, 3>>{
            {EV_ABS, ABS_X, 16404}, {EV_ABS, ABS_Y, 16411}, {EV_KEY, BTN_LEFT, 1}, {EV_SYN, 0, 0}});

  // Through a viewer, which sees it, too.
  EventLoop viewer_loop;
  display::Client viewer(viewer_loop, addresses.at(0));
  viewer.join();
  viewer.update(false);
  for (const char c : std::string("echo Heard $((3*9))\r")) {
    const uint32_t keysym = c == '\r' ? 0xff0d : static_cast<uint8_t>(c);
    viewer.key(keysym, true);
    viewer.key(keysym, false);
  }
  const auto seen = [&] {
    viewer.update();
    return viewer.viewer.picture;
  };
  CHECK(shows(seen, font, "Heard 27"));
  viewer.leave();

  // Without its driver the keys go to the other keyboard.
  machine.run("rmmod virtio_input");
  type(display, "echo Still $((7*8)) | cat\n");
  CHECK(shows(screen, font, "Still 56"));

  machine.type("exit");
  CHECK(machine.wait().reason == End::Reason::power_off);
}

}  // namespace vireo::guest_tests
