#include "devices/legacy/rtc.h"

#include <algorithm>
#include <utility>

#include "vmm/memory/layout.h"

namespace vireo::dev {

namespace {

constexpr uint64_t kIndexPort = 0;
constexpr uint64_t kPorts = 2;
constexpr uint8_t kUnreadable = 0xff;
// The host's wall clock may be set while the loop's timer, which does not follow it, runs.
constexpr std::chrono::nanoseconds kLookAgain = std::chrono::minutes(1);

}  // namespace

// A machine that was not saved hands in a state with nothing in it.
Rtc::Rtc(std::string name, DeviceEnv& env, Clock clock, const State& power_on, const State& state)
    : name_(std::move(name)),
      loop_(env.loop),
      clock_(std::move(clock)),
      power_on_(power_on),
      chip_(state == State() ? power_on : state) {
  irq_ = env.platform.irqs.claim(layout::kGsiRtc, name_).line;
  ports_ = env.platform.pio.map({layout::kPortRtcIndex, kPorts}, *this, name_);
  env.platform.acpi.clear_boot_flags(kAcpiNoCmosRtc);
  env.platform.acpi.add(
      {.name = "RTC",
       .hid = "PNP0B00",
       .address = layout::kPortRtcIndex,
       .length = kPorts,
       .gsi = layout::kGsiRtc,
       .resources = {aml::io_ports(layout::kPortRtcIndex, kPorts), aml::isa_irq(layout::kGsiRtc)}});
}

void Rtc::start() {
  started_ = true;
  {
    const std::lock_guard lock(mutex_);
    irq_.set(chip_.interrupt());
  }
  arm();
}

Task<void> Rtc::stop() {
  timer_.reset();
  started_ = false;
  co_return;
}

void Rtc::reset() {
  const std::lock_guard lock(mutex_);
  chip_ = Mc146818(power_on_);
  irq_.set(false);
}

void Rtc::save(StateWriter& writer) const {
  const std::lock_guard lock(mutex_);
  writer.put(name_, chip_.state());
}

uint8_t Rtc::read_register(uint64_t offset) {
  if (offset == kIndexPort) return kUnreadable;
  const std::lock_guard lock(mutex_);
  const uint8_t value = chip_.read(clock_());
  settle();
  return value;
}

void Rtc::write_register(uint64_t offset, uint8_t value) {
  const std::lock_guard lock(mutex_);
  if (offset == kIndexPort) return chip_.select(value);
  chip_.write(value, clock_());
  settle();
}

// Most guests never enable an interrupt, and then nothing is posted and no timer runs.
void Rtc::settle() {
  irq_.set(chip_.interrupt());
  const bool enabled = (chip_.state().b & Mc146818::kInterrupts) != 0;
  if (!enabled || arm_posted_) return;
  arm_posted_ = true;
  loop_.post([this] { arm(); });
}

void Rtc::arm() {
  std::optional<Mc146818::Nanoseconds> wait;
  {
    const std::lock_guard lock(mutex_);
    arm_posted_ = false;
    wait = chip_.until_interrupt(clock_());
  }
  timer_.reset();
  if (started_ && wait) timer_ = loop_.after(std::min(*wait, kLookAgain), [this] { expired(); });
}

void Rtc::expired() {
  {
    const std::lock_guard lock(mutex_);
    chip_.advance(clock_());
    irq_.set(chip_.interrupt());
  }
  arm();
}

}  // namespace vireo::dev
