#include "devices/legacy/framebuffer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo::dev {

namespace {

using display::Rows;
using display::Size;

// A guest's reset and a snapshot touch all of it.
Size checked(Size mode) {
  constexpr Size kLeast = Framebuffer::kLeastMode, kMost = Framebuffer::kMostMode;
  if (mode.width < kLeast.width || mode.height < kLeast.height || mode.width > kMost.width ||
      mode.height > kMost.height)
    throw ConfigError(fmt::format("a screen has {}x{} to {}x{} pixels, not {}x{}", kLeast.width,
                                  kLeast.height, kMost.width, kMost.height, mode.width,
                                  mode.height));
  return mode;
}

std::byte* map(size_t length) {
  void* const space = ::mmap(nullptr, length, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED)
    throw_errno(fmt::format("cannot map {} bytes of framebuffer memory", length));
  ::madvise(space, length, MADV_DONTFORK);
  ::madvise(space, length, MADV_DONTDUMP);
  return static_cast<std::byte*>(space);
}

size_t whole_pages(Size mode) {
  const size_t bytes = size_t{mode.width} * mode.height * LinearFramebuffer::kPixel;
  return (bytes + kPageSize - 1) / kPageSize * kPageSize;
}

}  // namespace

Framebuffer::Framebuffer(std::string name, DeviceEnv& env, Size mode, State state)
    : name_(std::move(name)),
      loop_(env.loop),
      mode_(checked(mode)),
      memory_(map(whole_pages(mode)), Unmap{whole_pages(mode)}) {
  const Size saved{state.width, state.height};
  if (saved != Size{} && saved != mode_)
    throw ConfigError(fmt::format("the snapshot is of a machine whose screen has {}x{} pixels",
                                  state.width, state.height));
  if (!state.pixels.empty() && state.pixels.size() != bytes())
    throw StateError("the saved state of '" + name_ + "' has not as many pixels as its screen");
  if (!state.pixels.empty()) std::memcpy(memory_.get(), state.pixels.data(), state.pixels.size());
  slot_ = env.platform.slots.attach(layout::kFramebuffer, mapped());
}

LinearFramebuffer Framebuffer::boot_information() const noexcept {
  return {.address = layout::kFramebuffer, .width = mode_.width, .height = mode_.height};
}

Task<void> Framebuffer::stop() {
  co_return;
}

void Framebuffer::reset() {
  if (::madvise(memory_.get(), mapped().size(), MADV_DONTNEED) != 0)
    std::memset(memory_.get(), 0, mapped().size());
  all_changed_ = true;
}

void Framebuffer::save(StateWriter& writer) const {
  State state{.width = mode_.width, .height = mode_.height};
  const auto pixels = std::span<const std::byte>(mapped()).first(bytes());
  if (!all_zero(pixels)) {
    state.pixels.resize(pixels.size());
    std::memcpy(state.pixels.data(), pixels.data(), pixels.size());
  }
  writer.put(name_, state);
}

std::span<const std::byte> Framebuffer::row(uint16_t y) const {
  VMM_CHECK(y < mode_.height, "a row of the screen");
  const size_t stride = boot_information().stride();
  return std::span<const std::byte>(mapped()).subspan(y * stride, stride);
}

// --- changes ---

std::vector<Rows> Framebuffer::take_changes() {
  looked_at_ = true;
  if (!idle_timer_) begin_logging();
  // Also when the answer is known: who looks now has seen what is in the log.
  const auto written = slot_->take_written();
  if (std::exchange(all_changed_, false) || !logging_ || !written) return {{0, mode_.height}};
  return rows_of(*written);
}

void Framebuffer::begin_logging() {
  logging_ = slot_->log_writes(true);
  all_changed_ = true;
  idle_timer_ = loop_.after(kPatience, [this] { end_logging_if_idle(); });
}

void Framebuffer::end_logging_if_idle() {
  if (std::exchange(looked_at_, false)) {
    idle_timer_ = loop_.after(kPatience, [this] { end_logging_if_idle(); });
  } else {
    slot_->log_writes(false);
    idle_timer_ = {};
  }
}

std::vector<Rows> Framebuffer::rows_of(const std::vector<uint64_t>& pages) const {
  const size_t stride = boot_information().stride();
  std::vector<Rows> changes;
  size_t end = 0;  // of the last of them
  for (size_t word = 0; word < pages.size(); ++word) {
    for (uint64_t bits = pages[word]; bits != 0; bits &= bits - 1) {
      const size_t page = word * 64 + static_cast<size_t>(std::countr_zero(bits));
      const size_t first = page * kPageSize / stride;
      const size_t last = std::min<size_t>(((page + 1) * kPageSize - 1) / stride + 1, mode_.height);
      if (changes.empty() || first > end) changes.push_back({static_cast<uint16_t>(first), 0});
      end = last;
      changes.back().count = static_cast<uint16_t>(end - changes.back().first);
    }
  }
  return changes;
}

}  // namespace vireo::dev
