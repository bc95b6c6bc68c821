#include "devices/legacy/uart.h"

#include <algorithm>
#include <utility>

#include "vmm/memory/layout.h"

namespace vireo::dev {

namespace {

constexpr std::chrono::milliseconds kDrainTime{500};
constexpr int kPolls = 3;  // that make a guest one that listens

void erase_front(std::vector<uint8_t>& bytes, size_t count) {
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace

Uart::Uart(std::string name, DeviceEnv& env, std::unique_ptr<CharBackend> backend, State state)
    : name_(std::move(name)),
      loop_(env.loop),
      backend_(std::move(backend)),
      chip_(std::move(state.chip)),
      input_(std::move(state.input)),
      sending_(std::move(state.output)) {
  if (input_.size() > kMaxReceive || sending_.size() > 2 * kOutputLimit)
    throw StateError("the saved state of a serial port holds more than one keeps");
  irq_ = env.platform.irqs.claim(layout::kGsiCom1, name_).line;
  ports_ = env.platform.pio.map({layout::kPortCom1, Uart16550::kRegisters}, *this, name_);
  const auto place = env.platform.acpi.next("COM", 1, 1);
  env.platform.acpi.set_boot_flags(kAcpiLegacyDevices);
  env.platform.acpi.add({.name = place.name,
                         .uid = place.uid,
                         .hid = "PNP0501",
                         .address = layout::kPortCom1,
                         .length = Uart16550::kRegisters,
                         .gsi = layout::kGsiCom1,
                         .resources = {aml::io_ports(layout::kPortCom1, Uart16550::kRegisters),
                                       aml::isa_irq(layout::kGsiCom1)}});
}

void Uart::start() {
  backend_->open(loop_, *this);
  open_ = accepting_ = true;
  {
    const std::lock_guard lock(mutex_);
    backend_full_ = false;
    if (chip_.pending() != 0) irq_.raise();
  }
  pump();
}

Task<void> Uart::stop() {
  if (!open_) co_return;
  accepting_ = false;
  backend_->set_readable(false);
  drained_.reset();
  pump();
  auto expired = [this] { drained_.set(); };
  const EventLoop::Registration deadline = loop_.after(kDrainTime, expired);
  co_await drained_.wait();
  backend_->close();
  open_ = false;
}

void Uart::reset() {
  const std::lock_guard lock(mutex_);
  chip_ = Uart16550();
  output_.clear();
  input_.clear();
  sending_.clear();
  polls_ = 0;
}

void Uart::save(StateWriter& writer) const {
  const std::lock_guard lock(mutex_);
  writer.put(name_, snapshot());
}

Uart::State Uart::snapshot() const {
  State state{.chip = chip_.state(), .output = sending_, .input = input_};
  state.output.insert(state.output.end(), output_.begin(), output_.end());
  return state;
}

uint8_t Uart::read_register(uint64_t offset) {
  const std::lock_guard lock(mutex_);
  const Uart16550::Sources before = chip_.pending();
  const uint8_t value = chip_.read(static_cast<uint8_t>(offset));
  if (offset == Uart16550::kLineStatus) note_poll(value);
  settle(before);
  return value;
}

void Uart::write_register(uint64_t offset, uint8_t value) {
  const std::lock_guard lock(mutex_);
  const Uart16550::Sources before = chip_.pending();
  chip_.write(static_cast<uint8_t>(offset), value);
  if (offset != Uart16550::kTransmitter)
    polls_ = 0;  // a guest that sets up the port does not listen yet
  else if (polls_ < kPolls)
    polls_ = std::max(polls_ - 1, 0);  // whoever sends has looked whether it may
  settle(before);
}

void Uart::note_poll(uint8_t line_status) noexcept {
  constexpr uint8_t kIdle = Uart16550::kLsrHoldingEmpty;
  if ((line_status & (Uart16550::kLsrData | kIdle)) == kIdle) polls_ = std::min(polls_ + 1, kPolls);
}

// After every change of the chip: moves on what can move, and tells whoever has to know.
void Uart::settle(Uart16550::Sources before) {
  collect_output();
  const Uart16550::Sources now = chip_.pending();
  if (now != 0 && now != before) irq_.raise();
  if (!pump_posted_ && loop_has_work()) {
    pump_posted_ = true;
    loop_.post([this] { pump(); });
  }
}

void Uart::collect_output() {
  const auto sent = chip_.output();
  const size_t taken = std::min(sent.size(), kOutputLimit - output_.size());
  output_.insert(output_.end(), sent.begin(), sent.begin() + static_cast<std::ptrdiff_t>(taken));
  chip_.take_output(taken);
}

bool Uart::guest_listens() const noexcept {
  const Uart16550::State& chip = chip_.state();
  return (chip.mcr & Uart16550::kMcrRts) != 0 || (chip.ier & Uart16550::kIerReceive) != 0 ||
         polls_ == kPolls;
}

// Input goes in when the FIFO has run empty: one trip through the loop per FIFO, not per byte.
bool Uart::loop_has_work() const noexcept {
  const bool can_feed = !input_.empty() && guest_listens() && chip_.receive_room() != 0 &&
                        chip_.state().receive.empty();
  return can_feed || (!output_.empty() && !backend_full_);
}

void Uart::feed_chip() {
  if (!guest_listens()) return;
  const size_t count = std::min(input_.size(), chip_.receive_room());
  for (size_t i = 0; i < count; ++i) chip_.receive(input_[i]);
  erase_front(input_, count);
  if (chip_.pending() != 0) irq_.raise();
}

void Uart::receive(std::span<const std::byte> bytes) {
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    for (const std::byte byte : bytes) input_.push_back(static_cast<uint8_t>(byte));
    feed_chip();
    more = input_.empty();
  }
  if (!more) backend_->set_readable(false);
}

void Uart::receive_break() {
  const std::lock_guard lock(mutex_);
  if (!guest_listens() || chip_.receive_room() == 0) return;
  chip_.receive_break();
  irq_.raise();
}

void Uart::writable() {
  {
    const std::lock_guard lock(mutex_);
    backend_full_ = false;
  }
  pump();
}

// One batch in each direction. The last step may resume stop(): nothing of ours comes after it.
void Uart::pump() {
  if (!open_) return;
  bool readable = false;
  {
    const std::lock_guard lock(mutex_);
    pump_posted_ = false;
    if (!input_.empty()) feed_chip();
    readable = input_.empty();
  }
  if (readable && accepting_) backend_->set_readable(true);
  send_batch();
}

void Uart::send_batch() {
  {
    const std::lock_guard lock(mutex_);
    if (backend_full_) return;
    if (sending_.empty()) sending_.swap(output_);
  }
  const size_t taken = sending_.empty() ? 0 : backend_->write(std::as_bytes(std::span(sending_)));
  bool drained = false;
  {
    const std::lock_guard lock(mutex_);
    erase_front(sending_, taken);
    backend_full_ = !sending_.empty();
    settle(chip_.pending());
    drained = sending_.empty() && output_.empty();
  }
  if (drained) drained_.set();
}

}  // namespace vireo::dev
