#include "devices/virtio/input.h"

#include <linux/input-event-codes.h>

#include <algorithm>
#include <utility>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

constexpr uint16_t kReports = 0;
constexpr uint16_t kQueueSize = 64;
constexpr size_t kReleaseEvents = 2;  // the key and SYN_REPORT
constexpr InputEvent kReportEnd{EV_SYN, SYN_REPORT, 0};

std::vector<std::byte> bitmap(const std::vector<uint16_t>& codes) {
  std::vector<std::byte> bits;
  for (const uint16_t code : codes) {
    bits.resize(std::max<size_t>(bits.size(), code / 8U + 1));
    bits[code / 8U] |= std::byte{1} << code % 8U;
  }
  return bits;
}

template <Wire T>
std::vector<std::byte> vector_of(const T& value) {
  const auto bytes = bytes_of(value);
  return {bytes.begin(), bytes.end()};
}

// The positions of a report that is nothing else, in front of its end.
bool is_position(std::span<const InputEvent> events) {
  return !events.empty() &&
         std::ranges::all_of(events, [](const InputEvent& e) { return e.type == EV_ABS; });
}

}  // namespace

InputDevice::InputDevice(std::string name, VirtioEnv env, InputTraits traits, State state)
    : name_(std::move(name)),
      log_(std::move(env.log)),
      info_{.type = kTypeInput, .queue_sizes = {kQueueSize, kQueueSize}},
      traits_(std::move(traits)),
      state_(std::move(state)) {
  if (state_.events.size() + state_.down.size() * kReleaseEvents > kMaxEvents)
    throw StateError("the saved state of '" + name_ + "' has more input than it keeps");
}

void InputDevice::save(StateWriter& writer) const {
  writer.put(name_ + ".device", state_);
}

// --- configuration space ---

std::vector<std::byte> InputDevice::config() const {
  InputConfigSpace space{.select = state_.select, .subselect = state_.subselect};
  const std::vector<std::byte> bytes = answer();
  space.size = static_cast<uint8_t>(std::min(bytes.size(), space.answer.size()));
  std::copy_n(bytes.begin(), space.size, space.answer.begin());
  return vector_of(space);
}

std::vector<std::byte> InputDevice::answer() const {
  constexpr uint16_t kVirtualBus = 0x06, kVendor = 0x1af4, kVersion = 1;
  switch (state_.select) {
    case kInputName: {
      const auto text = bytes_of_text(traits_.name);
      return {text.begin(), text.end()};
    }
    case kInputIds:
      return vector_of(InputIds{kVirtualBus, kVendor, traits_.product, kVersion});
    case kInputEventBits: {
      const auto codes = traits_.codes.find(state_.subselect);
      if (codes != traits_.codes.end()) return bitmap(codes->second);
      break;
    }
    case kInputAbsInfo: {
      const auto axis = traits_.axes.find(state_.subselect);
      if (axis != traits_.axes.end()) return vector_of(InputAbsInfo{.most = axis->second});
      break;
    }
    default:
      break;
  }
  return {};
}

// The two bytes that select; the rest is not the driver's.
void InputDevice::config_written(uint32_t offset, std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) {
    if (offset == offsetof(InputConfigSpace, select)) state_.select = static_cast<uint8_t>(byte);
    if (offset == offsetof(InputConfigSpace, subselect))
      state_.subselect = static_cast<uint8_t>(byte);
    ++offset;
  }
}

// --- queues ---

void InputDevice::start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t /*features*/) {
  if (index == kReports) {
    reports_.start(std::move(queue));
    reports_.spawn(deliver_reports());
    driver_is_up_ = true;
  } else {
    status_.start(std::move(queue));
    status_.spawn(take_status());
  }
}

Task<std::optional<QueueState>> InputDevice::stop_queue(uint16_t index) {
  if (index != kReports) return status_.stop();
  driver_is_up_ = false;
  if (reports_) {
    reports_.queue().stop();
    has_events_.set();
  }
  return reports_.stop();
}

Task<void> InputDevice::deliver_reports() {
  Queue& queue = reports_.queue();
  while (!queue.stopping()) {
    deliver(queue);
    if (!state_.events.empty()) {
      co_await queue.kicked();
    } else {
      has_events_.reset();
      co_await has_events_.wait();
    }
  }
}

void InputDevice::deliver(Queue& queue) {
  auto& events = state_.events;
  size_t delivered = 0;
  while (delivered < events.size()) {
    auto chain = queue.pop();
    if (!chain) break;
    const InputEvent& event = events[delivered];
    const InputEventWire wire{event.type, event.code, static_cast<uint32_t>(event.value)};
    const bool fits = chain->writable().remaining() >= sizeof wire;
    if (fits)
      chain->writable().write(bytes_of(wire));
    else
      log_.guest_noise(name_, "an event buffer has no room");
    queue.push(std::move(*chain), fits ? sizeof wire : 0);
    delivered += fits ? 1 : 0;
  }
  events.erase(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(delivered));
  queue.notify();
}

Task<void> InputDevice::take_status() {
  Queue& queue = status_.queue();
  do {
    while (auto chain = queue.pop()) queue.push(std::move(*chain), 0);
    queue.notify();
  } while (co_await queue.kicked());
}

// --- reports ---

bool InputDevice::is_down(uint16_t key) const noexcept {
  return std::ranges::find(state_.down, key) != state_.down.end();
}

InputEvent InputDevice::change(uint16_t key, bool pressed) {
  if (pressed)
    state_.down.push_back(key);
  else
    std::erase(state_.down, key);
  return {EV_KEY, key, pressed ? 1 : 0};
}

bool InputDevice::has_room_for(size_t events) const noexcept {
  const size_t owed = (state_.down.size() + 1) * kReleaseEvents;
  return state_.events.size() + events + 1 + owed <= kMaxEvents;
}

void InputDevice::report(std::vector<InputEvent> events) {
  auto& waiting = state_.events;
  const size_t size = events.size() + 1;
  const bool has_end = waiting.size() >= size && waiting.back() == kReportEnd;
  const auto last =
      has_end ? std::span(waiting).last(size).first(events.size()) : std::span<InputEvent>();
  if (is_position(events) && is_position(last))
    std::ranges::copy(events, last.begin());
  else {
    waiting.insert(waiting.end(), events.begin(), events.end());
    waiting.push_back(kReportEnd);
  }
  has_events_.set();  // deliver_reports() goes on in here
}

}  // namespace vireo::dev
