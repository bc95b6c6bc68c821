#include "agent/guest/agent.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "agent/guest/machine.h"

namespace vireo::agent {

namespace {

constexpr size_t kOwnFds = 2;  // the port and the children
constexpr size_t kMaxFds = kOwnFds + kMaxCommands * kStreams;

int watch_children() noexcept {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

}  // namespace

Agent::Agent(int port) noexcept : port_(port), children_(watch_children()) {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL);  // who ignores it has its children reaped unseen
}

void Agent::run() noexcept {
  port_.send(kMachine, Hello{});
  while (!ended_) turn();
}

void Agent::turn() noexcept {
  wait();
  if (port_.may_send_data() && !port_.receive()) ended_ = true;
  read_requests();
  reap();
  for (std::optional<Command>& command : commands_)
    if (command && command->serve(port_)) command.reset();
  if (!port_.flush()) ended_ = true;
}

// A port that is not written to is watched for its end all the same.
void Agent::wait() noexcept {
  pollfd fds[kMaxFds];
  size_t count = kOwnFds;
  const int incoming = port_.may_send_data() ? POLLIN : 0;
  const int outgoing = port_.has_output() ? POLLOUT : 0;
  fds[0] = {port_.fd(), static_cast<short>(incoming | outgoing), 0};
  fds[1] = {children_.get(), POLLIN, 0};
  for (const std::optional<Command>& command : commands_)
    if (command) count += command->wanted(fds + count, port_);
  ::poll(fds, count, -1);
  if ((fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) ended_ = true;
}

void Agent::read_requests() noexcept {
  while (!ended_ && port_.may_send_data()) {
    const auto frame = port_.next();
    if (!frame) break;
    if (!handle(*frame)) ended_ = true;
  }
  if (port_.is_broken()) ended_ = true;
}

// The host's Hello comes first.
bool Agent::handle(const Frame& frame) noexcept {
  if (!greeted_) {
    const auto hello = frame.type == Hello::kType ? decode<Hello>(frame.payload) : std::nullopt;
    greeted_ = hello && hello->generation >= 1;
    return greeted_;
  }
  return frame.channel == kMachine ? handle_machine(frame) : handle_command(frame);
}

bool Agent::handle_machine(const Frame& frame) noexcept {
  switch (frame.type) {
    case Ping::kType: {
      const auto ping = decode<Ping>(frame.payload);
      if (ping) port_.send(kMachine, Pong{ping->number});
      return ping.has_value();
    }
    case Clock::kType:
      return answer<Clock>(frame, set_clock);
    case Entropy::kType:
      return answer<Entropy>(frame, add_entropy);
    case Root::kType:
      return answer<Root>(frame, enter_root);
    case Share::kType:
      return answer<Share>(frame, mount_share);
    case Network::kType:
      return answer<Network>(frame, configure_network);
    case PowerOff::kType:
      ended_ = true;
      return true;
    default:
      return false;
  }
}

template <class Message, class Action>
bool Agent::answer(const Frame& frame, Action action) noexcept {
  const auto message = decode<Message>(frame.payload);
  if (!message) return false;
  const Failure failure = action(*message);
  if (failure)
    port_.send(kMachine,
               Failed{.error = static_cast<uint32_t>(failure.error), .stage = failure.stage});
  else
    port_.send(kMachine, Done{});
  return true;
}

bool Agent::handle_command(const Frame& frame) noexcept {
  switch (frame.type) {
    case Exec::kType:
      return start(frame);
    case Data::kType:
      return tell_command<Data>(frame);
    case StreamEnd::kType:
      return tell_command<StreamEnd>(frame);
    case Window::kType:
      return tell_command<Window>(frame);
    case Resize::kType:
      return tell_command<Resize>(frame);
    case Signal::kType:
      return tell_command<Signal>(frame);
    default:
      return false;
  }
}

// The command may be over, and the host not know it yet.
template <class Message>
bool Agent::tell_command(const Frame& frame) noexcept {
  const auto message = decode<Message>(frame.payload);
  std::optional<Command>* const slot = slot_of(frame.channel);
  if (!message || !slot) return message.has_value();
  if constexpr (std::is_void_v<decltype((*slot)->take(*message))>)
    return (*slot)->take(*message), true;
  else
    return (*slot)->take(*message);
}

bool Agent::start(const Frame& frame) noexcept {
  const auto exec = decode<Exec>(frame.payload);
  if (!exec || slot_of(frame.channel)) return false;
  std::optional<Command>* const slot = free_slot();
  Failure failure{EAGAIN, Stage::request};
  if (slot) failure = slot->emplace().start(frame.channel, *exec);
  if (failure) {
    if (slot) slot->reset();
    port_.send(frame.channel,
               Failed{.error = static_cast<uint32_t>(failure.error), .stage = failure.stage});
  } else {
    port_.send(frame.channel, Started{.pid = static_cast<uint32_t>((*slot)->pid())});
  }
  return true;
}

// As the first process of a machine, also those whose parents are gone.
void Agent::reap() noexcept {
  signalfd_siginfo info;
  while (::read(children_.get(), &info, sizeof(info)) > 0) {
  }
  int status = 0;
  pid_t pid;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0)
    for (std::optional<Command>& command : commands_)
      if (command && command->pid() == pid && !command->is_over()) command->ended(status);
}

std::optional<Command>* Agent::slot_of(uint32_t channel) noexcept {
  for (std::optional<Command>& command : commands_)
    if (command && command->channel() == channel) return &command;
  return nullptr;
}

std::optional<Command>* Agent::free_slot() noexcept {
  for (std::optional<Command>& command : commands_)
    if (!command) return &command;
  return nullptr;
}

}  // namespace vireo::agent
