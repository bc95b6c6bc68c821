#include "devices/firmware/flash.h"

#include <sys/mman.h>

#include <cstring>
#include <utility>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo::dev {

namespace {

std::byte* map(size_t length) {
  void* const space =
      ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (space == MAP_FAILED) throw_errno("cannot map the memory of the firmware");
  return static_cast<std::byte*>(space);
}

}  // namespace

void Flash::Unmap::operator()(std::byte* start) const noexcept {
  ::munmap(start, length);
}

Flash::Flash(std::string name, DeviceEnv& env, std::span<const std::byte> image, const State& state)
    : name_(std::move(name)), memory_(map(image.size()), Unmap{image.size()}) {
  VMM_CHECK(image.size() <= layout::kRamGapEnd - layout::kFlash, "a firmware fits below 4 GiB");
  if (!state.image.empty() && state.image.size() != image.size())
    throw StateError("the snapshot is of a machine whose firmware has another size");
  const auto content = state.image.empty() ? image : std::as_bytes(std::span(state.image));
  std::memcpy(memory_.get(), content.data(), content.size());
  slot_ = env.platform.slots.attach_read_only(layout::kRamGapEnd - image.size(), mapped());
}

Task<void> Flash::stop() {
  co_return;
}

void Flash::save(StateWriter& writer) const {
  State state{.image = std::vector<uint8_t>(mapped().size())};
  std::memcpy(state.image.data(), memory_.get(), state.image.size());
  writer.put(name_, state);
}

}  // namespace vireo::dev
