#include "devices/add_display.h"

#include <memory>
#include <string>
#include <utility>

#include <fmt/ranges.h>

#include "devices/legacy/i8042.h"
#include "devices/virtio/add.h"

namespace vireo::dev {

namespace {

template <class D>
D& adopt(Machine& machine, std::unique_ptr<D> device, EventLoop& home) {
  D& adopted = *device;
  machine.adopt(std::move(device), home);
  return adopted;
}

// The machine's end is the viewers'.
class DisplayServer final : public Device {
 public:
  DisplayServer(const DisplayDevices& display, display::RfbConfig config)
      : server_(display.loop, display.screen, display.input, std::move(config)),
        name_(fmt::format("viewers at {}", fmt::join(addresses(), " and "))) {}

  std::vector<std::string> addresses() const { return server_.addresses(); }

  const std::string& name() const noexcept override { return name_; }
  void start() override {}
  Task<void> stop() override { co_return; }
  void reset() override {}
  void save(StateWriter&) const override {}
  Task<void> close() override { return server_.stop(); }

 private:
  display::RfbServer server_;
  const std::string name_;
};

}  // namespace

DisplayDevices add_display(Machine& machine, display::Size mode) {
  EventLoop& loop = machine.add_loop();
  DeviceEnv env{machine.env().platform, loop};
  Framebuffer& screen =
      adopt(machine,
            std::make_unique<Framebuffer>("screen", env, mode,
                                          machine.saved().take<Framebuffer::State>("screen")),
            loop);
  auto& ps2 = machine.add<I8042>("i8042", Ps2Devices::keyboard_and_mouse);
  auto& keyboard = add_virtio_at<InputKeyboard>(machine, loop, "keyboard0");
  auto& tablet = add_virtio_at<InputTablet>(machine, loop, "tablet0");
  // Last: it tells those before it, once they have started, what was let go meanwhile.
  GuestInput& input = adopt(
      machine,
      std::make_unique<GuestInput>("input", loop, GuestInput::Devices{ps2, keyboard, tablet}, mode),
      loop);
  return {loop, screen, input};
}

std::vector<std::string> serve_display(Machine& machine, const DisplayDevices& display,
                                       display::RfbConfig config) {
  auto server = std::make_unique<DisplayServer>(display, std::move(config));
  return adopt(machine, std::move(server), display.loop).addresses();
}

}  // namespace vireo::dev
