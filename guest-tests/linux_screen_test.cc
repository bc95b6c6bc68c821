// Debian's kernel at a screen: what its console shows there, and what is typed at it.
#include <linux/input-event-codes.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

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
    std::ifstream file(vmlinux, std::ios::binary);
    const std::string kernel{std::istreambuf_iterator<char>(file), {}};
    using namespace std::string_view_literals;
    const auto letter_a = "\0\0\x10\x38\x6c\xc6\xc6\xfe\xc6\xc6\xc6\xc6\0\0\0\0"sv;
    const size_t found = kernel.find(letter_a);
    REQUIRE(found != kernel.npos);
    for (char c = ' '; c <= '~'; ++c) {
      Glyph glyph;
      for (size_t i = 0; i < kHeight; ++i)
        glyph[i] =
            static_cast<uint8_t>(kernel.at(found + static_cast<size_t>(c - 'A') * kHeight + i));
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

class ScreenReader {
 public:
  explicit ScreenReader(const dev::DisplayDevices& display, Font font)
      : display_(display), font_(std::move(font)) {}

  std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    for (size_t y = 0; y + Font::kHeight <= kMode.height; y += Font::kHeight) {
      std::string line;
      for (size_t x = 0; x + Font::kWidth <= kMode.width; x += Font::kWidth)
        line += font_.read(glyph_at(x, y));
      line.erase(line.find_last_not_of(' ') + 1);
      lines.push_back(std::move(line));
    }
    return lines;
  }
  // Until a line of the screen is, or with `part` has, the text.
  bool shows(const std::string& text, bool part = false) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      const auto seen = call(display_.loop, [this] { return lines(); });
      if (std::ranges::any_of(seen, [&](const std::string& line) {
            return part ? line.find(text) != line.npos : line == text;
          }))
        return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    for (const std::string& line : lines()) UNSCOPED_INFO(line);
    return false;
  }

 private:
  Font::Glyph glyph_at(size_t x, size_t y) const {
    Font::Glyph glyph{};
    for (size_t dy = 0; dy < Font::kHeight; ++dy) {
      const auto row = display_.screen.row(static_cast<uint16_t>(y + dy));
      for (size_t dx = 0; dx < Font::kWidth; ++dx) {
        const auto pixel = row.subspan(4 * (x + dx), 3);
        const bool lit =
            std::ranges::any_of(pixel, [](std::byte b) { return b > std::byte{0x40}; });
        glyph[dy] = static_cast<uint8_t>(glyph[dy] << 1 | (lit ? 1 : 0));
      }
    }
    return glyph;
  }

  const dev::DisplayDevices& display_;
  const Font font_;
};

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

}  // namespace

TEST_CASE("the kernel's console is on the screen, and its shell hears the keyboard") {
  LinuxMachine machine({.screen = kMode});
  machine.come_up();
  const dev::DisplayDevices& display = machine.display();
  const ScreenReader reader(display, Font(machine.vmlinux()));

  CHECK_THAT(machine.run("cat /proc/cmdline"), Catch::StartsWith("console=tty0 "));
  CHECK(machine.run("cat /sys/class/graphics/fb0/name") == "EFI VGA\n");
  CHECK(machine.run("cat /sys/class/graphics/fb0/virtual_size") == "800,600\n");
  const std::string devices = machine.run("cat /proc/bus/input/devices");
  for (const char* name :
       {"AT Translated Set 2 keyboard", "Vireo Virtio Keyboard", "Vireo Virtio Tablet"})
    CHECK_THAT(devices, Catch::Contains(name));

  machine.run("dmesg -n 8; echo 'the kernel says: 12345 {}' >/dev/kmsg");
  CHECK(reader.shows("the kernel says: 12345 {}", true));

  machine.run(
      "printf '\\033c' >/dev/tty1; setsid sh -c 'PS1=\"on tty1: \" exec sh -i <>/dev/tty1 >&0 "
      "2>&0' &");
  CHECK(reader.shows("on tty1:"));
  type(display, "echo Typed $((6*7)) \"OK\"\n");
  CHECK(reader.shows("on tty1: echo Typed $((6*7)) \"OK\""));
  CHECK(reader.shows("Typed 42 OK"));

  // Without its driver the keys go to the other keyboard.
  machine.run("rmmod virtio_input");
  type(display, "echo Still $((7*8)) | cat\n");
  CHECK(reader.shows("Still 56"));

  machine.type("exit");
  CHECK(machine.wait().reason == End::Reason::power_off);
}

}  // namespace vireo::guest_tests
