#include "devices/net/user.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <optional>
#include <utility>

#include <arpa/inet.h>
#include <fmt/core.h>

#include "devices/net/checksum.h"
#include "devices/net/frame_queue.h"
#include "devices/net/slirp_library.h"
#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

// Of frames for the guest. TCP keeps within the windows that the guest gives; what does not, such
// as UDP in floods, is dropped, as on any wire.
constexpr size_t kMostWaiting = size_t{8} << 20;
// Until connections to forwarded ports are taken again, for which there was no descriptor.
constexpr std::chrono::seconds kAcceptRetry{1};

in_addr ipv4(const char* text) {
  in_addr address{};
  VMM_CHECK(::inet_pton(AF_INET, text, &address) == 1, "an address of ours is one");
  return address;
}
in6_addr ipv6(const char* text) {
  in6_addr address{};
  VMM_CHECK(::inet_pton(AF_INET6, text, &address) == 1, "an address of ours is one");
  return address;
}

SlirpConfig slirp_config(const UserNetConfig& config) {
  SlirpConfig slirp{};
  slirp.version = 3;
  slirp.restricted = config.restricted ? 1 : 0;
  slirp.in_enabled = true;
  slirp.vnetwork = ipv4("10.0.2.0");
  slirp.vnetmask = ipv4("255.255.255.0");
  slirp.vhost = ipv4("10.0.2.2");
  slirp.vnameserver = ipv4("10.0.2.3");
  slirp.vdhcp_start = ipv4("10.0.2.15");
  slirp.in6_enabled = config.ipv6;
  slirp.vprefix_addr6 = ipv6("fec0::");
  slirp.vprefix_len = 64;
  slirp.vhost6 = ipv6("fec0::2");
  slirp.vnameserver6 = ipv6("fec0::3");
  slirp.vhostname = config.hostname.empty() ? nullptr : config.hostname.c_str();
  slirp.tftp_path = config.tftp.empty() ? nullptr : config.tftp.c_str();
  slirp.if_mtu = config.mtu;
  slirp.if_mru = config.mtu;
  return slirp;
}

uint32_t to_epoll(int slirp_events) noexcept {
  return ((slirp_events & SLIRP_POLL_IN) != 0 ? EPOLLIN : 0U) |
         ((slirp_events & SLIRP_POLL_OUT) != 0 ? EPOLLOUT : 0U) |
         ((slirp_events & SLIRP_POLL_PRI) != 0 ? EPOLLPRI : 0U);
}
int to_slirp(uint32_t epoll_events) noexcept {
  return ((epoll_events & EPOLLIN) != 0 ? SLIRP_POLL_IN : 0) |
         ((epoll_events & EPOLLOUT) != 0 ? SLIRP_POLL_OUT : 0) |
         ((epoll_events & EPOLLPRI) != 0 ? SLIRP_POLL_PRI : 0) |
         ((epoll_events & EPOLLERR) != 0 ? SLIRP_POLL_ERR : 0) |
         ((epoll_events & EPOLLHUP) != 0 ? SLIRP_POLL_HUP : 0);
}

// libslirp writes to sockets that may have been closed. The calling thread is the loop's, which has
// no use for the signal: this changes nothing for the other threads of the process.
void block_sigpipe() {
  sigset_t pipe{};
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
}

void check(const UserNetConfig& config) {
  struct stat status {};
  if (!config.tftp.empty() &&
      (::stat(config.tftp.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)))
    throw ConfigError(fmt::format("tftp={}: there is no such directory", config.tftp));
  constexpr size_t kMostHostname = 32;  // of libslirp, which would cut it off
  if (config.hostname.size() > kMostHostname)
    throw ConfigError(fmt::format("hostname={}: it is longer than {} characters", config.hostname,
                                  kMostHostname));
}

}  // namespace

// libslirp and what it calls back.
class UserNet::Stack {
 public:
  Stack(std::string name, const UserNetConfig& config, Logger log);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  void open(EventLoop& loop, NetFrontend& frontend);
  void close();
  void input(const NetHeader& header, std::span<const iovec> frame);
  Received output(std::span<const iovec> into) {
    waited_for_ = to_guest_.empty();
    return waited_for_ ? Received{} : to_guest_.pop(into);
  }
  void set_join(bool join) noexcept { join_ = join; }

 private:
  struct Timer {
    SlirpTimerCb expired;
    void* argument;
    std::optional<int64_t> due_ms{};
    EventLoop::Registration armed{};
  };
  struct Socket {         // by descriptor
    uint32_t events = 0;  // as they are in epoll_; 0: it is not there
    uint32_t ready = 0;
    uint64_t wanted = 0;  // the count of the last look that found it wanted
    bool listens = false;
  };

  static SlirpCb callbacks();
  static Stack& self(void* opaque) { return *static_cast<Stack*>(opaque); }
  void forward(const UserNetConfig& config);
  void lengthen_backlogs();
  int64_t now_ns() const {
    return std::chrono::nanoseconds(EventLoop::Clock::now().time_since_epoch()).count();
  }
  void arm(Timer& timer);
  Socket& socket(int fd);
  void set_events(int fd, uint32_t events);

  void end_of_turn();
  void take_ready();
  bool has_descriptor_left() const noexcept;
  void rest_from_accepting();
  void serve();
  void look_again();

  const std::string name_;
  const Logger log_;
  const SlirpLibrary library_;
  const SlirpCb callbacks_ = callbacks();
  UniqueFd epoll_;
  FrameQueue to_guest_{kMostWaiting};
  bool join_ = false;        // the guest takes TCP frames that are to be cut
  bool waited_for_ = false;  // the device found no frame and is to be told of the next
  std::vector<std::byte> frame_;
  std::list<Timer> timers_;
  std::vector<Socket> sockets_;
  std::vector<int> polled_;  // in the order that libslirp gave them in
  std::vector<int> in_epoll_;
  uint64_t looks_ = 0;
  bool entered_ = true;  // libslirp was, since it was last asked what it waits for
  Slirp* slirp_ = nullptr;

  EventLoop* loop_ = nullptr;  // while open
  NetFrontend* frontend_ = nullptr;
  EventLoop::Registration watch_;
  EventLoop::Registration hook_;
  EventLoop::Registration timeout_;
  EventLoop::Registration rest_;  // while set, no connection is taken
};

UserNet::Stack::Stack(std::string name, const UserNetConfig& config, Logger log)
    : name_(std::move(name)), log_(std::move(log)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw_errno("cannot create an epoll descriptor");
  const SlirpConfig slirp = slirp_config(config);
  slirp_ = library_.make(&slirp, &callbacks_, this);
  if (slirp_ == nullptr) throw ConfigError("libslirp does not make this network");
  try {
    forward(config);
    lengthen_backlogs();
  } catch (...) {
    library_.cleanup(slirp_);
    throw;
  }
}

UserNet::Stack::~Stack() {
  library_.cleanup(slirp_);
}

void UserNet::Stack::forward(const UserNetConfig& config) {
  for (const HostForward& f : config.host_forwards) {
    if (library_.add_hostfwd(slirp_, f.udp ? 1 : 0, f.host, f.host_port, f.guest, f.guest_port) ==
        0)
      continue;
    const int error = errno;
    const std::string address = ::inet_ntoa(f.host);
    const char* const protocol = f.udp ? "UDP" : "TCP";
    if (error == EADDRINUSE)
      throw ConfigError(fmt::format("hostfwd: {} port {} of {} is in use: choose another", protocol,
                                    f.host_port, address));
    throw_errno(
        fmt::format("hostfwd: cannot listen on {} port {} of {}", protocol, f.host_port, address),
        error);
  }
  for (const GuestForward& f : config.guest_forwards) {
    in_addr server = f.server;
    const auto add = f.kind == GuestForward::Kind::command ? library_.add_exec : library_.add_unix;
    if (add(slirp_, f.target.c_str(), &server, f.port) != 0)
      throw ConfigError(fmt::format(
          "guestfwd: {}:{} can not be: an address of 10.0.2.0/24 that is not .2, .3 or another's",
          ::inet_ntoa(f.server), f.port));
  }
}

// libslirp lets one connection wait until it takes it. Of a burst, the kernel would drop the
// others' first packets, and their senders wait longer each time before they try again.
void UserNet::Stack::lengthen_backlogs() {
  const auto lengthen = [](int fd, int, void* opaque) {
    int listens = 0;
    socklen_t length = sizeof(listens);
    ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length);
    if (listens != 0) ::listen(fd, SOMAXCONN);
    self(opaque).socket(fd).listens = listens != 0;
    return -1;  // this look is not for polling
  };
  uint32_t timeout_ms = 0;
  library_.pollfds_fill(slirp_, &timeout_ms, lengthen, this);
}

// --- what libslirp calls ---

SlirpCb UserNet::Stack::callbacks() {
  SlirpCb c{};
  c.send_packet = [](const void* frame, size_t length, void* opaque) {
    Stack& stack = self(opaque);
    stack.to_guest_.push({static_cast<const std::byte*>(frame), length}, stack.join_);
    return static_cast<ssize_t>(length);
  };
  c.guest_error = [](const char* text, void* opaque) {
    self(opaque).log_.guest_noise(self(opaque).name_, text);
  };
  c.clock_get_ns = [](void* opaque) { return self(opaque).now_ns(); };
  c.timer_new = [](SlirpTimerCb expired, void* argument, void* opaque) -> void* {
    return &self(opaque).timers_.emplace_back(Timer{expired, argument});
  };
  c.timer_free = [](void* timer, void* opaque) {
    self(opaque).timers_.remove_if([timer](const Timer& each) { return &each == timer; });
  };
  c.timer_mod = [](void* timer, int64_t due_ms, void* opaque) {
    auto& changed = *static_cast<Timer*>(timer);
    changed.due_ms = due_ms;
    self(opaque).arm(changed);
  };
  // A number that comes again is another socket, and a connection that never had one says -1.
  const auto forget = [](int fd, void* opaque) {
    if (fd >= 0) self(opaque).set_events(fd, 0);
  };
  c.register_poll_fd = forget;
  c.unregister_poll_fd = forget;
  c.notify = [](void* opaque) { self(opaque).entered_ = true; };
  return c;
}

void UserNet::Stack::arm(Timer& timer) {
  if (loop_ == nullptr || !timer.due_ms) return;
  const auto due = std::chrono::milliseconds(*timer.due_ms) - std::chrono::nanoseconds(now_ns());
  timer.armed = loop_->after(due, [this, &timer] {
    timer.due_ms.reset();
    entered_ = true;
    timer.expired(timer.argument);
  });
}

// --- the loop ---

void UserNet::Stack::open(EventLoop& loop, NetFrontend& frontend) {
  block_sigpipe();
  loop_ = &loop;
  frontend_ = &frontend;
  entered_ = true;
  waited_for_ = true;
  watch_ = loop.watch(epoll_.get(), EPOLLIN, [this](uint32_t) { take_ready(); });
  hook_ = loop.each_turn([this] { end_of_turn(); });
  for (Timer& timer : timers_) arm(timer);
}

void UserNet::Stack::close() {
  hook_.reset();
  watch_.reset();
  timeout_.reset();
  rest_.reset();
  for (Timer& timer : timers_) timer.armed.reset();
  frontend_ = nullptr;
  loop_ = nullptr;
}

// libslirp serves its sockets, and sends what has waited for an answer of the guest's (ARP), only
// when it is told to: after input as after events.
void UserNet::Stack::end_of_turn() {
  if (entered_) {
    serve();
    look_again();
    entered_ = false;
  }
  if (waited_for_ && !to_guest_.empty()) {
    waited_for_ = false;
    frontend_->frames_arrived(0);
  }
}

void UserNet::Stack::take_ready() {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    Socket& ready = socket(event.data.fd);
    if (ready.listens && !has_descriptor_left())
      rest_from_accepting();
    else
      ready.ready = event.events;
  }
  if (count > 0) entered_ = true;
}

bool UserNet::Stack::has_descriptor_left() const noexcept {
  return static_cast<bool>(UniqueFd(::fcntl(epoll_.get(), F_DUPFD_CLOEXEC, 0)));
}

// libslirp could not take the connection, which stays in the queue and would be reported for ever.
void UserNet::Stack::rest_from_accepting() {
  log_.guest_noise(name_, "no descriptor is left for a connection to a forwarded port");
  rest_ = loop_->after(kAcceptRetry, [this] {
    rest_.reset();
    entered_ = true;
  });
}

void UserNet::Stack::serve() {
  const auto ready = [](int index, void* opaque) {
    Stack& stack = self(opaque);
    const int fd = stack.polled_[static_cast<size_t>(index)];
    return to_slirp(std::exchange(stack.socket(fd).ready, 0U));
  };
  library_.pollfds_poll(slirp_, 0, ready, this);
}

UserNet::Stack::Socket& UserNet::Stack::socket(int fd) {
  const auto index = static_cast<size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(index + 1);
  return sockets_[index];
}

void UserNet::Stack::set_events(int fd, uint32_t events) {
  Socket& known = socket(fd);
  if (known.events == events) return;
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  const int operation = events == 0         ? EPOLL_CTL_DEL
                        : known.events == 0 ? EPOLL_CTL_ADD
                                            : EPOLL_CTL_MOD;
  // Without room for it, the next look tries again.
  if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0 && events != 0)
    return log_.guest_noise(name_,
                            fmt::format("cannot watch a socket: {}", last_error().message()));
  if (known.events == 0) in_epoll_.push_back(fd);
  if (events == 0) std::erase(in_epoll_, fd);
  known.events = events;
  known.ready = 0;
}

// What libslirp waits for now: descriptors, and a time at most.
void UserNet::Stack::look_again() {
  ++looks_;
  polled_.clear();
  const auto add = [](int fd, int events, void* opaque) {
    Stack& stack = self(opaque);
    Socket& wanted = stack.socket(fd);
    wanted.wanted = stack.looks_;
    stack.set_events(fd, wanted.listens && stack.rest_ ? 0 : to_epoll(events));
    stack.polled_.push_back(fd);
    return static_cast<int>(stack.polled_.size()) - 1;
  };
  uint32_t timeout_ms = UINT32_MAX;
  library_.pollfds_fill(slirp_, &timeout_ms, add, this);
  const std::vector<int> before = in_epoll_;
  for (const int fd : before)
    if (socket(fd).wanted != looks_) set_events(fd, 0);
  // It says a second when it has nothing to wait for.
  timeout_.reset();
  if (timeout_ms < 1000)
    timeout_ = loop_->after(std::chrono::milliseconds(timeout_ms), [this] { entered_ = true; });
}

void UserNet::Stack::input(const NetHeader& header, std::span<const iovec> frame) {
  frame_.clear();
  for (const iovec& part : frame) {
    const auto* const from = static_cast<const std::byte*>(part.iov_base);
    frame_.insert(frame_.end(), from, from + part.iov_len);
  }
  if ((header.flags & kNetNeedsChecksum) != 0)
    finish_checksum(frame_, header.checksum_start, header.checksum_offset);
  library_.input(slirp_, reinterpret_cast<const uint8_t*>(frame_.data()),
                 static_cast<int>(frame_.size()));
  entered_ = true;
}

// --- the backend ---

// libslirp takes TCP packets of any length, so that the guest need not cut them; over IPv6 it
// refuses those that are longer than its MTU.
UserNet::UserNet(std::string name, const UserNetConfig& config, Logger log)
    : traits_{.mtu = config.mtu != 1500 ? config.mtu : uint16_t{0},
              .from_guest = {.checksum = true, .tcp4 = true},
              .to_guest = {.checksum = true, .tcp4 = true}} {
  check(config);
  stack_ = std::make_unique<Stack>(std::move(name), config, std::move(log));
}

UserNet::~UserNet() = default;

void UserNet::open(EventLoop& loop, NetFrontend& frontend) {
  stack_->open(loop, frontend);
}

void UserNet::close() {
  stack_->close();
}

NetBackend::Sent UserNet::send(uint16_t /*pair*/, const NetHeader& header,
                               std::span<const iovec> frame) {
  stack_->input(header, frame);
  return Sent::taken;
}

void UserNet::set_offloads(const NetOffloads& to_guest) {
  offloads_ = to_guest;
  stack_->set_join(to_guest.tcp4);
}

// The checksums of what libslirp makes up are right by construction.
NetBackend::Received UserNet::receive(uint16_t /*pair*/, std::span<const iovec> into) {
  Received received = stack_->output(into);
  if (offloads_.checksum && received.header.flags == 0) received.header.flags = kNetDataValid;
  return received;
}

}  // namespace vireo::dev
