#include "devices/virtio/console.h"

#include <algorithm>
#include <utility>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

constexpr uint16_t kReceive = 0;
constexpr uint16_t kQueueSize = 128;
constexpr size_t kPart = 4096;                // output is copied out of guest memory in such parts
constexpr size_t kTurn = size_t{256} * 1024;  // and after that many bytes it is others' turn

}  // namespace

Console::Console(std::string name, VirtioEnv env, std::unique_ptr<CharBackend> backend, State state)
    : name_(std::move(name)),
      loop_(env.loop),
      log_(std::move(env.log)),
      info_{.type = kTypeConsole,
            .features = kConsoleFeatureSize,
            .queue_sizes = {kQueueSize, kQueueSize}},
      backend_(std::move(backend)),
      state_(std::move(state)) {
  if (state_.input.size() > kMaxReceive)
    throw StateError("the saved state of '" + name_ + "' has more input than a console keeps");
  if (state_.announcements != 0)
    throw StateError("the saved state of '" + name_ + "' is that of a console with a named port");
}

Console::Console(std::string name, VirtioEnv env, std::unique_ptr<CharBackend> backend,
                 ConsolePort port, State state)
    : name_(std::move(name)),
      loop_(env.loop),
      log_(std::move(env.log)),
      info_{.type = kTypeConsole,
            .features = kConsoleFeatureMultiport,
            .queue_sizes = {kQueueSize, kQueueSize, kQueueSize, kQueueSize}},
      backend_(std::move(backend)),
      config_{.max_ports = 1u},
      state_(std::move(state)) {
  if (state_.input.size() > kMaxReceive || state_.announcements > ConsoleControl::kAll)
    throw StateError("the saved state of '" + name_ + "' is none that a console can have");
  control_.emplace(std::string(port.name), state_.announcements);
}

Console::~Console() = default;

std::vector<std::byte> Console::config() const {
  const auto bytes = bytes_of(config_);
  return {bytes.begin(), bytes.end()};
}

void Console::set_size(uint16_t columns, uint16_t rows) {
  config_.columns = columns;
  config_.rows = rows;
  config_changed();
}

void Console::save(StateWriter& writer) const {
  writer.put(name_ + ".device", state_);
}

void Console::machine_started() {
  wanted_ = false;
  backend_->open(loop_, *this);
}

void Console::machine_stopped() {
  backend_->close();
}

void Console::start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t /*features*/) {
  if (index >= ConsoleControl::kReceive) return control_->start_queue(index, std::move(queue));
  if (index == kReceive) {
    receiver_.start(std::move(queue));
    receiver_.spawn(receive_input());
  } else {
    transmitter_.start(std::move(queue));
    transmitter_.spawn(transmit_output());
  }
}

Task<std::optional<QueueState>> Console::stop_queue(uint16_t index) {
  if (index >= ConsoleControl::kReceive) return control_->stop_queue(index);
  QueueWork& work = index == kReceive ? receiver_ : transmitter_;
  Event& waited_for = index == kReceive ? has_input_ : can_send_;
  if (work) {
    work.queue().stop();
    waited_for.set();
  }
  return work.stop();
}

// --- input ---

void Console::receive(std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) state_.input.push_back(static_cast<uint8_t>(byte));
  has_input_.set();  // receive_input() goes on in here
  if (!state_.input.empty()) want_input(false);
}

void Console::want_input(bool wanted) {
  if (std::exchange(wanted_, wanted) != wanted) backend_->set_readable(wanted);
}

Task<void> Console::receive_input() {
  Queue& queue = receiver_.queue();
  while (!queue.stopping()) {
    deliver(queue);
    if (!state_.input.empty()) {
      co_await queue.kicked();
    } else {
      has_input_.reset();
      want_input(true);
      co_await has_input_.wait();
    }
  }
  want_input(false);
}

void Console::deliver(Queue& queue) {
  auto& input = state_.input;
  while (!input.empty()) {
    auto chain = queue.pop();
    if (!chain) break;
    const size_t count = chain->writable().write(std::as_bytes(std::span(input)));
    if (count == 0) log_.guest_noise(name_, "an input buffer has no room");
    input.erase(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(count));
    queue.push(std::move(*chain), static_cast<uint32_t>(count));
  }
  queue.notify();
}

// --- output ---

Task<void> Console::transmit_output() {
  Queue& queue = transmitter_.queue();
  do {
    while (auto chain = queue.pop()) {
      const ReadCursor output = chain->readable();
      const bool complete = co_await send(output);
      if (!complete) {
        queue.put_back(std::move(*chain));
        co_return;
      }
      state_.sent = 0;
      queue.push(std::move(*chain), 0);
      queue.notify();
    }
  } while (co_await queue.kicked());
}

// False when the queue is to stop before all is out; state_.sent tells how far it came.
Task<bool> Console::send(ReadCursor output) {
  output.take(std::min<uint64_t>(state_.sent, output.remaining()));
  while (output.remaining() > 0) {
    std::vector<std::byte> part(std::min<uint64_t>(output.remaining(), kPart));
    output.read(part);
    const bool complete = co_await send_part(std::move(part));
    if (!complete) co_return false;
  }
  co_return true;
}

Task<bool> Console::send_part(std::vector<std::byte> part) {
  std::span<const std::byte> rest = part;
  while (true) {
    can_send_.reset();
    const size_t taken = backend_->write(rest);
    VMM_CHECK(taken <= rest.size(), "a backend takes no more than it is given");
    rest = rest.subspan(taken);
    state_.sent += static_cast<uint32_t>(taken);
    sent_at_once_ += taken;
    if (rest.empty()) break;
    co_await can_send_.wait();
    if (transmitter_.queue().stopping()) co_return false;
    sent_at_once_ = 0;
  }
  if (sent_at_once_ >= kTurn) {
    sent_at_once_ = 0;
    co_await loop_.sleep(std::chrono::nanoseconds(0));
    if (transmitter_.queue().stopping()) co_return false;
  }
  co_return true;
}

}  // namespace vireo::dev
