#include "devices/add_display.h"

#include <memory>
#include <string>
#include <utility>

#include "devices/legacy/i8042.h"

namespace vireo::dev {

namespace {

// The machine's end is the viewers'.
class DisplayServer final : public Service {
 public:
  DisplayServer(const DisplayDevices& display, display::RfbConfig config)
      : server_(display.loop, *display.shown, display.input, std::move(config)) {}

  std::vector<std::string> addresses() const { return server_.addresses(); }
  Task<void> close() override { return server_.stop(); }

 private:
  display::RfbServer server_;
};

}  // namespace

DisplayDevices add_display(Vm& machine, VirtioBus& bus, display::Size mode) {
  EventLoop& loop = machine.add_loop();
  auto& screen = machine.add_at<Framebuffer>(loop, "screen", mode);
  auto& ps2 = machine.add<I8042>("i8042", Ps2Devices::keyboard_and_mouse);
  auto& keyboard = bus.add_at<InputKeyboard>(loop, "keyboard0");
  auto& tablet = bus.add_at<InputTablet>(loop, "tablet0");
  auto& input = machine.add_service(
      std::make_unique<GuestInput>(loop, GuestInput::Devices{ps2, keyboard, tablet}, mode), loop);
  return {.loop = loop, .screen = screen, .input = input};
}

std::vector<std::string> serve_display(Vm& machine, const DisplayDevices& display,
                                       display::RfbConfig config) {
  auto server = std::make_unique<DisplayServer>(display, std::move(config));
  return machine.add_service(std::move(server), display.loop).addresses();
}

}  // namespace vireo::dev
