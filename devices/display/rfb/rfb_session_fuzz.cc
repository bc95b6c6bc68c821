// A viewer that says anything, from its first byte on or as one that has been let in (the first
// byte decides, and whether there is a password): it sees the screen, presses keys, and leaves none
// pressed.
#include <linux/input-event-codes.h>

#include <array>
#include <vector>

#include "devices/display/rfb/rfb_session.h"
#include "devices/display/testing/memory_stream.h"
#include "devices/display/testing/painted_screen.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::display;

namespace {

class Keys final : public Input {
 public:
  void key(uint16_t code, bool pressed) override { pressed_.at(code) = pressed; }
  void pointer(uint16_t x, uint16_t y, uint8_t buttons) override {
    VMM_CHECK(x < 50 && y < 40, "the pointer is on the screen");
    buttons_ = buttons;
  }
  bool all_released() const {
    return buttons_ == 0 &&
           std::none_of(pressed_.begin(), pressed_.end(), [](bool is) { return is; });
  }

 private:
  std::array<bool, KEY_CNT> pressed_{};
  uint8_t buttons_ = 0;
};

class Host final : public RfbHost {
 public:
  explicit Host(EventLoop& loop) : logins_(loop) { screen_.console(); }
  const Picture& fresh_picture() override {
    look();
    return picture_;
  }
  const Picture& picture() const override { return picture_; }
  void viewer_waits() override {
    screen_.paint();
    look();
  }
  void viewer_acts() override {}
  bool is_full() const override { return false; }
  LoginThrottle& logins() override { return logins_; }
  bool admit(RfbSession& session, bool /*shared*/) override {
    session_ = &session;
    return true;
  }
  void press_power() override {}

 private:
  void look() {
    const Change change = picture_.refresh();
    if (session_ != nullptr) session_->picture_changed(change, picture_.size());
  }

  PaintedScreen screen_{{.width = 50, .height = 40}};
  Picture picture_{screen_};
  LoginThrottle logins_;
  RfbSession* session_ = nullptr;
};

const Keymap& keymap() {
  static const Keymap keymap("de");
  return keymap;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint8_t kLetIn = 1, kPassword = 2;
  if (size == 0) return 0;
  std::vector<std::byte> input;
  if ((data[0] & kLetIn) != 0)
    for (const char c : std::string_view("RFB 003.008\n\1\1", 14)) input.push_back(std::byte(c));
  const auto rest = std::as_bytes(std::span(data, size).subspan(1));
  input.insert(input.end(), rest.begin(), rest.end());

  EventLoop::Clock::time_point now{};
  EventLoop loop([&] { return now += std::chrono::seconds(1); });  // no pause lasts
  Host host(loop);
  Keys keys;
  SharedInput shared(keys);
  const RfbSessionConfig config{.name = "fuzz",
                                .password = (data[0] & kPassword) != 0 ? "secret" : "",
                                .tls = nullptr,
                                .power_button = true,
                                .log = {}};
  RfbSession session(loop, host, config, keymap(), shared, {.text = "peer", .origin = "peer"});
  MemoryStream stream(input);
  block_on(loop, session.run(stream));
  VMM_CHECK(keys.all_released(), "who is gone holds nothing");
  return 0;
}
