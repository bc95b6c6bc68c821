#include "devices/virtio/transport.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/base/mutex.h"

namespace vireo::dev {

namespace {

constexpr uint64_t kTransportFeatures = kFeatureVersion1 | kFeatureIndirect | kFeatureEventIdx;

bool has(uint8_t status, uint8_t bit) noexcept {
  return (status & bit) != 0;
}

// A page is 32 feature bits; there are none beyond the second.
uint64_t page_mask(uint32_t page) noexcept {
  return page < 2 ? uint64_t{0xffffffff} << (32 * page) : 0;
}

uint64_t replace_half(uint64_t value, bool high, uint32_t bits) noexcept {
  return high ? (value & 0xffffffff) | uint64_t{bits} << 32
              : (value & ~uint64_t{0xffffffff}) | bits;
}

}  // namespace

TransportCore::TransportCore(std::string name, const DeviceEnv& env, VirtioDevice& device,
                             TransportOps& ops, State state)
    : name_(std::move(name)),
      memory_(env.platform.memory),
      loop_(env.loop),
      doorbells_(env.platform.doorbells),
      log_(env.platform.log),
      device_(device),
      ops_(ops),
      features_(device.info().features | kTransportFeatures),
      state_(std::move(state)),
      config_(device.config()) {
  if (state_ == State{}) state_ = power_on();
  check_state();
  for (size_t i = 0; i < state_.queues.size(); ++i) kicks_.push_back({make_eventfd(), {}});
  device_.on_config_change([this] { publish_config(true); });
}

TransportCore::~TransportCore() {
  device_.on_config_change(nullptr);
  end_mutex(transition_);
  end_mutex(mutex_);
}

TransportCore::State TransportCore::power_on() const {
  State state;
  for (const uint16_t size : device_.info().queue_sizes) state.queues.push_back({.size = size});
  return state;
}

// A saved state is as untrusted as a driver: what the registers could not have held is refused.
void TransportCore::check_state() const {
  const auto refuse = [&](std::string_view why) {
    throw StateError(
        fmt::format("the saved state of '{}' does not fit the device: {}", name_, why));
  };
  const std::vector<uint16_t>& sizes = device_.info().queue_sizes;
  if (state_.queues.size() != sizes.size()) refuse("another number of queues");
  for (size_t i = 0; i < sizes.size(); ++i)
    if (!is_queue_size(state_.queues[i].size) || state_.queues[i].size > sizes[i])
      refuse("a queue has a size that the device does not offer");
  if (has(state_.status, kStatusFeaturesOk) && !features_acceptable())
    refuse("features that the device does not offer");
  if (has(state_.status, kStatusDriverOk) && !has(state_.status, kStatusFeaturesOk))
    refuse("a driver that runs without having agreed on features");
}

void TransportCore::select_device_features(uint32_t page) {
  const std::lock_guard lock(mutex_);
  state_.device_features_page = page;
}

uint32_t TransportCore::device_features() const {
  const std::lock_guard lock(mutex_);
  const uint32_t page = state_.device_features_page;
  return page < 2 ? static_cast<uint32_t>(features_ >> (32 * page)) : 0;
}

void TransportCore::select_driver_features(uint32_t page) {
  const std::lock_guard lock(mutex_);
  state_.driver_features_page = page;
}

void TransportCore::write_driver_features(uint32_t bits) {
  const std::lock_guard lock(mutex_);
  if (has(state_.status, kStatusFeaturesOk)) return noise("features written after FEATURES_OK");
  const uint32_t page = state_.driver_features_page;
  const uint64_t mask = page_mask(page);
  if (mask == 0) return;
  state_.driver_features = (state_.driver_features & ~mask) | uint64_t{bits} << (32 * page);
}

bool TransportCore::features_acceptable() const noexcept {
  return (state_.driver_features & ~features_) == 0 &&
         (state_.driver_features & kFeatureVersion1) != 0;
}

uint8_t TransportCore::status() const {
  const std::lock_guard lock(mutex_);
  return state_.status;
}

void TransportCore::write_status(uint8_t status) {
  const std::lock_guard transition(transition_);
  if (status == 0) {
    // The first thing drivers do: not worth a trip to the loop when there is nothing to reset.
    if (state() != power_on()) call(loop_, stop_and_reset());
  } else if (accept_status(status)) {
    call(loop_, [this] { start_queues(); });
  }
}

// Takes over what a driver may set; true when the device is to be started. 2.1: bits are only ever
// added, so that what is written adds to what is there: SeaBIOS' driver of virtio-scsi writes no
// more than the new ones. FEATURES_OK stays clear when the features can not be.
bool TransportCore::accept_status(uint8_t status) {
  const std::lock_guard lock(mutex_);
  const uint8_t before = state_.status & static_cast<uint8_t>(~kStatusNeedsReset);
  status = before | (status & static_cast<uint8_t>(~kStatusNeedsReset));
  constexpr uint8_t kPresent = kStatusAcknowledge | kStatusDriver;
  const bool negotiated = has(before, kStatusFeaturesOk) || features_acceptable();
  if ((status & kPresent) != kPresent || !negotiated)
    status &= static_cast<uint8_t>(~kStatusFeaturesOk);
  if (!has(status, kStatusFeaturesOk)) status &= static_cast<uint8_t>(~kStatusDriverOk);
  state_.status |= status;
  return has(status, kStatusDriverOk) && !has(before, kStatusDriverOk);
}

TransportState::QueueRegisters* TransportCore::selected() {
  return state_.queue_select < state_.queues.size() ? &state_.queues[state_.queue_select] : nullptr;
}
const TransportState::QueueRegisters* TransportCore::selected() const {
  return state_.queue_select < state_.queues.size() ? &state_.queues[state_.queue_select] : nullptr;
}

// Queues are set up between FEATURES_OK and DRIVER_OK (3.1.1) and fixed from then on.
bool TransportCore::configurable() const noexcept {
  return has(state_.status, kStatusFeaturesOk) && !has(state_.status, kStatusDriverOk);
}

void TransportCore::select_queue(uint32_t index) {
  const std::lock_guard lock(mutex_);
  state_.queue_select = index;
}

uint16_t TransportCore::queue_max_size() const {
  const std::lock_guard lock(mutex_);
  return selected() != nullptr ? device_.info().queue_sizes[state_.queue_select] : uint16_t{0};
}

void TransportCore::set_queue_size(uint32_t size) {
  const std::lock_guard lock(mutex_);
  auto* const queue = selected();
  if (queue == nullptr || queue->ready || !configurable()) return noise("queue size out of turn");
  if (!is_queue_size(size) || size > device_.info().queue_sizes[state_.queue_select])
    return noise("impossible queue size");
  queue->size = static_cast<uint16_t>(size);
}

void TransportCore::set_queue_address(Area area, bool high_half, uint32_t bits) {
  const std::lock_guard lock(mutex_);
  auto* const queue = selected();
  if (queue == nullptr || queue->ready || !configurable())
    return noise("queue address out of turn");
  uint64_t& address = area == Area::descriptors ? queue->descriptors
                      : area == Area::driver    ? queue->driver_area
                                                : queue->device_area;
  address = replace_half(address, high_half, bits);
}

bool TransportCore::queue_ready() const {
  const std::lock_guard lock(mutex_);
  return selected() != nullptr && selected()->ready;
}

void TransportCore::set_queue_ready(bool ready) {
  const std::lock_guard transition(transition_);
  std::optional<uint16_t> running;
  {
    const std::lock_guard lock(mutex_);
    auto* const queue = selected();
    if (queue == nullptr || queue->ready == ready) return;
    if (ready && !configurable()) return noise("queue made ready out of turn");
    queue->ready = ready;
    if (!ready && has(state_.status, kStatusDriverOk))
      running = static_cast<uint16_t>(state_.queue_select);
  }
  // The driver may reuse the memory of a queue as soon as it reads back that it is not ready.
  if (running) call(loop_, stop_queue(*running));
}

void TransportCore::notify_queue(uint32_t index) const {
  if (index >= kicks_.size()) return;
  const auto queue = static_cast<uint16_t>(index);
  const auto serve = [this, queue] { device_.notified(queue); };
  if (!device_.info().direct || !loop_.borrow(serve)) kick(queue);
}

void TransportCore::kick(uint16_t index) const noexcept {
  signal_eventfd(kicks_[index].event.get());
}

uint32_t TransportCore::config_generation() const {
  const std::lock_guard lock(mutex_);
  return state_.config_generation;
}

void TransportCore::read_config(uint64_t offset, std::span<std::byte> out) const {
  const std::lock_guard lock(mutex_);
  if (offset >= config_.size()) return;
  const size_t length = std::min(out.size(), config_.size() - offset);
  std::copy_n(config_.begin() + static_cast<ptrdiff_t>(offset), length, out.begin());
}

void TransportCore::write_config(uint64_t offset, std::span<const std::byte> in) {
  const std::lock_guard transition(transition_);
  {
    const std::lock_guard lock(mutex_);
    if (!has(state_.status, kStatusFeaturesOk)) return noise("config written before FEATURES_OK");
    if (offset > config_.size() || in.size() > config_.size() - offset)
      return noise("config written beyond its end");
  }
  call(loop_, [&] {
    device_.config_written(static_cast<uint32_t>(offset), in);
    publish_config(false);
  });
}

void TransportCore::publish_config(bool interrupt) {
  std::vector<std::byte> config = device_.config();
  {
    const std::lock_guard lock(mutex_);
    if (config == config_) return;
    VMM_CHECK(config.size() == config_.size(), "a configuration space keeps its length");
    config_ = std::move(config);
    ++state_.config_generation;
    interrupt = interrupt && has(state_.status, kStatusDriverOk);
  }
  ops_.registers_changed();
  if (interrupt) ops_.config_interrupt();
}

// 2.1.2: the device tells a running driver.
void TransportCore::needs_reset(std::string_view why) {
  noise(why);
  bool running;
  {
    const std::lock_guard lock(mutex_);
    if (has(state_.status, kStatusNeedsReset)) return;
    state_.status |= kStatusNeedsReset;
    running = has(state_.status, kStatusDriverOk);
  }
  ops_.registers_changed();
  if (running) ops_.config_interrupt();
}

// Only when a driver wants it: each registration with KVM costs the machine time at its end. Where
// KVM takes no more of them, notify_queue() serves instead.
void TransportCore::attach_doorbell(uint16_t index) {
  if (device_.info().direct) return;
  Kick& kick = kicks_[index];
  const auto address = ops_.doorbell(index);
  if (kick.doorbell || !address) return;
  try {
    kick.doorbell = doorbells_.attach(*address, kick.event.get());
  } catch (const std::system_error& error) {
    log_.debug(name_,
               fmt::format("queue {} is notified through the register: {}", index, error.what()));
  }
}

std::unique_ptr<Queue> TransportCore::make_queue(uint16_t index,
                                                 const TransportState::QueueRegisters& registers,
                                                 uint64_t features) {
  const QueueLayout layout{registers.size, registers.descriptors, registers.driver_area,
                           registers.device_area};
  QueueEnv env{memory_, loop_, kicks_[index].event.get(), ops_.queue_interrupt(index),
               [this](std::string_view why) { needs_reset(why); }};
  return Queue::create(std::move(env), layout, features, registers.progress);
}

// All queues or none: a device with a queue missing would wait for ever. Also when the host has no
// room for one more descriptor to watch: that must not end the thread of the vCPU which waits.
TransportCore::NewQueues TransportCore::make_queues(const State& now) try {
  NewQueues queues;
  for (uint16_t i = 0; i < queue_count(); ++i) {
    if (!now.queues[i].ready) continue;
    auto queue = make_queue(i, now.queues[i], now.driver_features);
    if (!queue) {
      needs_reset("a queue is not in RAM or not aligned");
      return {};
    }
    queues.emplace_back(i, std::move(queue));
  }
  return queues;
} catch (const std::system_error& error) {
  needs_reset(fmt::format("a queue cannot be started: {}", error.what()));
  return {};
}

void TransportCore::start_queues() {
  const State now = state();
  NewQueues queues = make_queues(now);
  for (const auto& [index, queue] : queues) attach_doorbell(index);
  for (auto& [index, queue] : queues)
    device_.start_queue(index, std::move(queue), now.driver_features);
  publish_config(false);  // some depends on the features
  // A kick that came while the queue was not there must not be lost: the driver, once it has
  // kicked, may wait for ever.
  for (const auto& [index, queue] : queues) kick(index);
}

void TransportCore::start() {
  device_.machine_started();
  const uint8_t now = status();
  if (has(now, kStatusDriverOk) && !has(now, kStatusNeedsReset)) start_queues();
  ops_.raise_pending();
}

Task<void> TransportCore::stop_queue(uint16_t index) {
  const std::optional<QueueState> progress = co_await device_.stop_queue(index);
  if (progress) {
    const std::lock_guard lock(mutex_);
    state_.queues[index].progress = *progress;
  }
}

Task<void> TransportCore::stop_queues() {
  for (uint16_t i = 0; i < queue_count(); ++i) co_await stop_queue(i);
}

Task<void> TransportCore::stop() {
  co_await stop_queues();
  device_.machine_stopped();
}

Task<void> TransportCore::stop_and_reset() {
  co_await stop_queues();
  reset();
}

void TransportCore::reset() {
  device_.reset();
  ops_.reset_interrupts();
  std::vector<std::byte> config = device_.config();
  {
    const std::lock_guard lock(mutex_);
    state_ = power_on();
    config_ = std::move(config);
  }
  ops_.registers_changed();
}

TransportCore::State TransportCore::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

}  // namespace vireo::dev
