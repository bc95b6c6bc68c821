#include "devices/firmware/ramfb.h"

#include <utility>

#include "devices/legacy/framebuffer.h"
#include "vmm/base/bytes.h"
#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

constexpr uint32_t kPixel = LinearFramebuffer::kPixel;

struct File {
  be64 address;
  be32 fourcc, flags, width, height, stride;
};
static_assert(sizeof(File) == Ramfb::kFile);

bool is_mode(uint32_t width, uint32_t height) {
  constexpr display::Size kLeast = Framebuffer::kLeastMode, kMost = Framebuffer::kMostMode;
  return width >= kLeast.width && width <= kMost.width && height >= kLeast.height &&
         height <= kMost.height;
}

bool is_in(const GuestMemory& memory, const RamfbState& state) {
  if (!is_mode(state.width, state.height) || state.stride < state.width * kPixel) return false;
  const uint64_t last_row = uint64_t{state.height - 1U} * state.stride;
  return memory.range(state.address, last_row + uint64_t{state.width} * kPixel).has_value();
}

std::optional<RamfbState> read(const GuestMemory& memory, std::span<const std::byte> bytes) {
  constexpr uint32_t kXrgb8888 = 0x34325258;  // Linux, drm_fourcc.h, DRM_FORMAT_XRGB8888
  const auto file = ByteReader(bytes).get<File>();
  if (file.fourcc != kXrgb8888 || !is_mode(file.width, file.height)) return std::nullopt;
  const uint32_t stride = file.stride;
  const RamfbState state{.address = file.address,
                         .width = static_cast<uint16_t>(file.width),
                         .height = static_cast<uint16_t>(file.height),
                         .stride = stride == 0 ? file.width * kPixel : stride};
  return is_in(memory, state) ? std::optional(state) : std::nullopt;
}

}  // namespace

Ramfb::Ramfb(std::string name, DeviceEnv& env, display::Screen& before, const State& state)
    : name_(std::move(name)),
      loop_(env.loop),
      memory_(env.platform.memory),
      before_(before),
      state_(state) {
  if (state_ != State() && !is_in(memory_, state_))
    throw StateError("the saved state of '" + name_ + "' is of a framebuffer that is not in RAM");
}

bool Ramfb::set(std::span<const std::byte> file) {
  if (file.size() != kFile) return false;
  const auto state = read(memory_, file);
  if (state) loop_.post([this, set = *state] { state_ = set; });
  return state.has_value();
}

Task<void> Ramfb::stop() {
  co_return;
}

void Ramfb::reset() {
  state_ = {};
}

void Ramfb::save(StateWriter& writer) const {
  writer.put(name_, state_);
}

display::Size Ramfb::size() const {
  return is_set() ? display::Size{state_.width, state_.height} : before_.size();
}

std::span<const std::byte> Ramfb::row(uint16_t y) const {
  if (!is_set()) return before_.row(y);
  const auto bytes =
      memory_.range(state_.address + uint64_t{y} * state_.stride, uint64_t{state_.width} * kPixel);
  VMM_CHECK(y < state_.height && bytes, "a row of the screen");
  return *bytes;
}

// Nobody logs what is written to RAM: viewers find out themselves what has changed.
std::vector<display::Rows> Ramfb::take_changes() {
  if (!is_set()) return before_.take_changes();
  return {{0, state_.height}};
}

}  // namespace vireo::dev
