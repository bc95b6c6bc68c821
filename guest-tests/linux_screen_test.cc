// Debian's kernel at a screen: what its console shows there, and what is typed at it.
#include <linux/input-event-codes.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "devices/display/rfb/testing/client.h"
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

// What a viewer sends whose keyboard is nobody's: keysyms, which are characters in Latin-1.
void type(display::Client& viewer, std::u32string_view text) {
  constexpr uint32_t kReturn = 0xff0d;
  for (const char32_t c : text) {
    const uint32_t keysym = c == '\r' ? kReturn : c;
    viewer.key(keysym, true);
    viewer.key(keysym, false);
  }
}

// As UTF-8.
std::string hex_of(std::u32string_view latin1) {
  std::string hex;
  for (const uint32_t c : latin1)
    hex += c < 0x80 ? fmt::format("{:02x}", c)
                    : fmt::format("{:02x}{:02x}", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
  return hex;
}

void start_shell_on_screen(LinuxMachine& machine) {
  machine.run("setsid sh -c 'PS1=\"on tty1: \" exec sh -i <>/dev/tty1 >&0 2>&0' &");
}

// What the shell on the screen takes for an argument, as hexadecimal digits; /typed is a pipe.
std::string heard(LinuxMachine& machine, display::Client& viewer, std::u32string_view text) {
  type(viewer, U"printf %s '" + std::u32string(text) + U"' >/typed\r");
  std::string hex = machine.run("hexdump -v -e '1/1 \"%02x\"' /typed; echo");
  hex.erase(hex.find_last_not_of('\n') + 1);
  return hex;
}

struct Layout {
  std::string name;
  std::string keymap;  // of the guest's console
  std::u32string beyond_ascii;
  std::u32string dead = U"";  // where the keymap makes it no character, though the layout does
};

std::u32string characters_of(const Layout& layout) {
  std::u32string text;
  for (char32_t c = ' '; c <= '~'; ++c)  // what surrounds them has the apostrophes
    if (c != '\'' && layout.dead.find(c) == layout.dead.npos) text += c;
  return text + layout.beyond_ascii;
}

std::string device_called(const std::string& name) {
  return fmt::format(
      "/dev/input/$(cd /sys/class/input; grep -l '{}' event*/device/name | cut -d/ -f1)", name);
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

// Where the pointer is on a screen of kMode at the end of each report, and whether the left button
// is down.
std::vector<std::array<int, 3>> places_of(const std::vector<std::array<int, 3>>& events) {
  constexpr int kRange = 32768;
  std::vector<std::array<int, 3>> places;
  std::array<int, 3> now{};
  for (const auto& [type, code, value] : events) {
    if (type == EV_ABS && code == ABS_X) now[0] = value * kMode.width / kRange;
    if (type == EV_ABS && code == ABS_Y) now[1] = value * kMode.height / kRange;
    if (type == EV_KEY && code == BTN_LEFT) now[2] = value;
    if (type == EV_SYN) places.push_back(now);
  }
  return places;
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
  start_shell_on_screen(machine);
  CHECK(shows(screen, font, "on tty1:"));
  type(display, "echo Typed $((6*7)) \"OK\"\n");
  CHECK(shows(screen, font, "on tty1: echo Typed $((6*7)) \"OK\""));
  CHECK(shows(screen, font, "Typed 42 OK"));

  // Through a viewer, which sees it, too.
  EventLoop viewer_loop;
  display::Client viewer(viewer_loop, addresses.at(0));
  viewer.join();
  viewer.update(false);
  type(viewer, U"echo Heard $((3*9))\r");
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

  machine.run("hostname vireo; setsid getty -L 0 tty1 &");
  CHECK(shows(screen, font, "vireo login:"));

  machine.type("exit");
  CHECK(machine.wait().reason == End::Reason::power_off);
}

TEST_CASE("what viewers type and point at arrives, whatever the guest's layout") {
  const std::vector<Layout> layouts{{"en-us", "us", U""},
                                    {"de", "de-latin1", U"äöüÄÖÜßµ§°²³", U"~"},
                                    {"fr", "fr-pc", U"éèàçù§£µ°²"},
                                    {"ja", "jp106", U""}};
  const TemporaryDirectory directory;
  LinuxMachine machine({.screen = kMode});
  const auto address_of = [&](const Layout& layout) {
    return "unix:" + (directory.path() / layout.name).string();
  };
  for (const Layout& layout : layouts)
    dev::serve_display(machine.machine(), machine.display(),
                       {.vnc = address_of(layout), .keyboard = layout.name});
  machine.come_up();
  EventLoop viewer_loop;
  std::deque<display::Client> viewers;
  for (const Layout& layout : layouts) viewers.emplace_back(viewer_loop, address_of(layout)).join();
  // A guest that is slow would believe keys to be held: it waits a minute before it repeats one.
  CHECK(machine
            .run("printf '%016d\\024\\0\\0\\0\\140\\352\\0\\0' 0 >" +
                 device_called("Virtio Keyboard"))
            .empty());
  machine.run("mkfifo /typed");
  start_shell_on_screen(machine);

  const auto check_layout = [&](size_t which) {
    constexpr size_t kWord = 48;
    const std::u32string text = characters_of(layouts[which]);
    machine.run("loadkmap </keymaps/" + layouts[which].keymap);
    for (size_t at = 0; at < text.size(); at += kWord) {
      const std::u32string word = text.substr(at, kWord);
      INFO(layouts[which].name);
      CHECK(heard(machine, viewers[which], word) == hex_of(word));
    }
  };
  for (size_t which = 0; which < layouts.size(); ++which) check_layout(which);

  // Both coordinates of each place are new ones: of what stays Linux tells nothing.
  const std::vector<std::array<int, 3>> places{{400, 300, 1}, {0, 0, 0},   {799, 599, 1},
                                               {400, 300, 0}, {0, 599, 1}, {799, 0, 0},
                                               {1, 598, 1},   {798, 1, 0}, {123, 457, 1}};
  machine.run("exec 3<" + device_called("Tablet"));
  for (const auto& [x, y, left] : places)
    viewers[0].pointer(static_cast<uint16_t>(x), static_cast<uint16_t>(y),
                       static_cast<uint8_t>(left * display::Input::kLeft));
  CHECK(places_of(events_of(machine.run(fmt::format(
            "head -c {} <&3 | hexdump -v -e '12/2 \"%u \" \"\\n\"'", places.size() * 4 * 24)))) ==
        places);

  // Without its driver the keys go to the other keyboard: those of Japan, too.
  machine.run("rmmod virtio_input");
  check_layout(3);
  machine.type("exit");
  CHECK(machine.wait().reason == End::Reason::power_off);
}

}  // namespace vireo::guest_tests
