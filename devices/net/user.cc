#include "devices/net/user.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include <arpa/inet.h>
#include <fmt/core.h>

#include "devices/net/checksum.h"
#include "devices/net/frame_queue.h"
#include "devices/net/host_address.h"
#include "devices/net/packet.h"
#include "devices/net/segment_order.h"
#include "devices/net/slirp_library.h"
#include "devices/net/slirp_limits.h"
#include "vmm/base/error.h"
#include "vmm/base/io_vecs.h"

namespace vireo::dev {

namespace {

// Of frames for the guest. TCP keeps within the windows that the guest gives; what does not, such
// as UDP in floods, is dropped, as on any wire.
constexpr size_t kMostWaiting = size_t{8} << 20;
// Until connections to forwarded ports are taken again, for which there was no descriptor.
constexpr std::chrono::seconds kAcceptRetry{1};

constexpr const char* kHost = "10.0.2.2";
constexpr const char* kFirstLease = "10.0.2.15";
constexpr uint16_t kDhcpServer = 67;

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
  slirp.vhost = ipv4(kHost);
  slirp.vnameserver = ipv4("10.0.2.3");
  slirp.vdhcp_start = ipv4(kFirstLease);
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

// The process has other uses for descriptors.
size_t most_sockets() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return UserNet::kMostSockets;
  return std::min<size_t>(UserNet::kMostSockets, limit.rlim_cur / 2);
}

HostAddress guest_address(const HostForward& forward, const HostAddress& host, uint16_t port) {
  const auto given = parse_address(forward.guest, port);
  const HostAddress guest = given ? *given : any_address(host.family(), port);
  if (guest.family() != host.family())
    throw ConfigError(
        fmt::format("hostfwd={}: one address is IPv4, the other IPv6: write two of a kind",
                    to_string(forward)));
  return guest;
}

IpPort port_at(const in_addr& address, uint16_t number) {
  IpPort port{{}, number};
  std::memcpy(port.first.data(), &address, sizeof(address));
  return port;
}

// As libslirp sends to it and knows it again: the first address that it leases when none is given.
IpPort guest_port(const HostAddress& guest) {
  if (guest.family() == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(guest.storage);
    const bool any = four.sin_addr.s_addr == INADDR_ANY;
    return port_at(any ? ipv4(kFirstLease) : four.sin_addr, ntohs(four.sin_port));
  }
  const auto& six = reinterpret_cast<const sockaddr_in6&>(guest.storage);
  IpPort port{{}, ntohs(six.sin6_port)};
  std::memcpy(port.first.data(), &six.sin6_addr, sizeof(six.sin6_addr));
  return port;
}

[[noreturn]] void refuse_host_port(const HostForward& forward, uint16_t port, int error) {
  const std::string what = fmt::format("hostfwd={}: cannot listen on {} port {}",
                                       to_string(forward), forward.udp ? "UDP" : "TCP", port);
  if (error == EADDRINUSE)
    throw ConfigError(what + ", which is in use: choose another, or 0 to have one chosen");
  if (error == EACCES)
    throw ConfigError(what + ", which takes privileges: choose one from 1024 on");
  if (error == EADDRNOTAVAIL)
    throw ConfigError(fmt::format("{}: '{}' is no address of this host's", what, forward.host));
  if (error == EAFNOSUPPORT) throw ConfigError(what + ": this host has no IPv6");
  throw_errno(what, error);
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
  const std::vector<HostForward>& host_forwards() const noexcept { return host_forwards_; }
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

  // Of libslirp's messages: while one lives, they are this network's.
  class Inside {
   public:
    explicit Inside(Stack& stack) noexcept : before_(std::exchange(inside_, &stack)) {}
    ~Inside() { inside_ = before_; }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    Stack* before_;
  };
  static void take_message(const char* domain, int level, const char* text, void* none);

  static SlirpCb callbacks();
  static Stack& self(void* opaque) { return *static_cast<Stack*>(opaque); }
  void forward(const UserNetConfig& config);
  void forward_host(HostForward forward, HostAddress host);
  void forward_guest(const GuestForward& forward);
  std::vector<int> sockets_of_slirp();
  size_t connections_of_slirp();
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
  bool may_accept(int fd);
  void look_again();
  void refuse();

  static thread_local Stack* inside_;
  const std::string name_;
  const Logger log_;
  const SlirpLibrary library_{take_message};
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
  size_t listeners_ = 0;  // sockets for connections of the host's
  std::vector<HostForward> host_forwards_;
  SlirpLimits limits_{most_sockets(), [this] { return connections_of_slirp(); },
                      EventLoop::Clock::now()};
  SegmentOrder order_{2 * most_sockets()};
  bool refused_ = false;  // a frame, for the limits
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
  const Inside inside(*this);
  const SlirpConfig slirp = slirp_config(config);
  slirp_ = library_.make(&slirp, &callbacks_, this);
  if (slirp_ == nullptr) throw ConfigError("libslirp does not make this network");
  for (const char* address : {kHost, "255.255.255.255"})
    limits_.exempt_destination(port_at(ipv4(address), kDhcpServer));
  try {
    forward(config);
    lengthen_backlogs();
  } catch (...) {
    library_.cleanup(slirp_);
    throw;
  }
}

UserNet::Stack::~Stack() {
  const Inside inside(*this);
  library_.cleanup(slirp_);
}

thread_local UserNet::Stack* UserNet::Stack::inside_ = nullptr;

// Guests can cause some of them, such as one for each connection to a program that is not there.
void UserNet::Stack::take_message(const char*, int, const char* text, void*) {
  if (inside_ != nullptr) inside_->log_.guest_noise(inside_->name_, text);
}

void UserNet::Stack::forward(const UserNetConfig& config) {
  for (const HostForward& each : config.host_forwards) {
    const HostAddress host = find_address(each.host, each.host_port);
    if (!config.ipv6 && host.family() == AF_INET6)
      throw ConfigError(
          fmt::format("hostfwd={}: it is IPv6, which ipv6=off switches off", to_string(each)));
    forward_host(each, host);
  }
  for (const GuestForward& each : config.guest_forwards) forward_guest(each);
}

// libslirp does not say which socket it made: it is the one that was not there before.
void UserNet::Stack::forward_host(HostForward forward, HostAddress host) {
  for (uint16_t i = 0; i < forward.count; ++i) {
    const auto host_port = static_cast<uint16_t>(forward.host_port + i);
    set_port(host, host_port);
    const HostAddress guest =
        guest_address(forward, host, static_cast<uint16_t>(forward.guest_port + i));
    const int flags = SLIRP_HOSTFWD_V6ONLY | (forward.udp ? SLIRP_HOSTFWD_UDP : 0);
    const std::vector<int> before = sockets_of_slirp();
    if (library_.add_hostxfwd(slirp_, host.generic(), host.length, guest.generic(), guest.length,
                              flags) != 0)
      refuse_host_port(forward, host_port, errno);
    if (forward.udp) limits_.exempt_source(guest_port(guest));
    if (forward.host_port != 0) continue;
    for (const int fd : sockets_of_slirp())
      if (!std::ranges::count(before, fd)) forward.host_port = port_of(fd);
  }
  host_forwards_.push_back(std::move(forward));
}

void UserNet::Stack::forward_guest(const GuestForward& forward) {
  in_addr server = forward.server;
  const bool command = forward.kind == GuestForward::Kind::command;
  const auto add = command ? library_.add_exec : library_.add_unix;
  if (add(slirp_, forward.target.c_str(), &server, forward.port) != 0)
    throw ConfigError(fmt::format(
        "guestfwd: {}:{} can not be: an address of 10.0.2.0/24 that is not .2, .3 or another's",
        ::inet_ntoa(forward.server), forward.port));
}

std::vector<int> UserNet::Stack::sockets_of_slirp() {
  std::vector<int> fds;
  const auto add = [](int fd, int, void* opaque) {
    static_cast<std::vector<int>*>(opaque)->push_back(fd);
    return -1;  // this look is not for polling
  };
  uint32_t timeout_ms = 0;
  library_.pollfds_fill(slirp_, &timeout_ms, add, &fds);
  return fds;
}

// All but those that wait for others, from the table that libslirp makes for people.
size_t UserNet::Stack::connections_of_slirp() {
  const std::unique_ptr<char, void (*)(void*)> table(library_.connection_info(slirp_),
                                                     library_.free);
  constexpr std::string_view kConnection = "\n  TCP[";
  const std::string_view text = table.get();
  size_t count = 0;
  for (size_t at = text.find(kConnection); at != std::string_view::npos;
       at = text.find(kConnection, at + 1))
    ++count;
  return count - std::min(count, listeners_);
}

// libslirp lets one connection wait until it takes it. Of a burst, the kernel would drop the
// others' first packets, and their senders wait longer each time before they try again.
void UserNet::Stack::lengthen_backlogs() {
  for (const int fd : sockets_of_slirp()) {
    int listens = 0;
    socklen_t length = sizeof(listens);
    ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length);
    if (listens == 0) continue;
    ::listen(fd, SOMAXCONN);
    socket(fd).listens = true;
    ++listeners_;
  }
}

// --- what libslirp calls ---

SlirpCb UserNet::Stack::callbacks() {
  SlirpCb c{};
  c.send_packet = [](const void* frame, size_t length, void* opaque) {
    Stack& stack = self(opaque);
    const std::span bytes{static_cast<const std::byte*>(frame), length};
    stack.order_.answered(parse_packet(bytes));
    stack.to_guest_.push(bytes, stack.join_);
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
  c.register_poll_fd = [](int fd, void* opaque) {
    if (fd >= 0) self(opaque).set_events(fd, 0);
    self(opaque).limits_.opened(fd);
  };
  c.unregister_poll_fd = [](int fd, void* opaque) {
    if (fd >= 0) self(opaque).set_events(fd, 0);
    self(opaque).limits_.closed(fd);
  };
  c.notify = [](void* opaque) { self(opaque).entered_ = true; };
  return c;
}

void UserNet::Stack::arm(Timer& timer) {
  if (loop_ == nullptr || !timer.due_ms) return;
  const auto due = std::chrono::milliseconds(*timer.due_ms) - std::chrono::nanoseconds(now_ns());
  timer.armed = loop_->after(due, [this, &timer] {
    const Inside inside(*this);
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
    const Inside inside(*this);
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

// Connections of the host's wait for room. libslirp looks after those that there are twice a
// second, and is asked again then.
bool UserNet::Stack::may_accept(int fd) {
  return !socket(fd).listens || (!rest_ && limits_.has_room(EventLoop::Clock::now()));
}

// What libslirp waits for now: descriptors, and a time at most.
void UserNet::Stack::look_again() {
  ++looks_;
  polled_.clear();
  const auto add = [](int fd, int events, void* opaque) {
    Stack& stack = self(opaque);
    stack.socket(fd).wanted = stack.looks_;
    stack.set_events(fd, stack.may_accept(fd) ? to_epoll(events) : 0);
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
  append(frame_, frame);
  if ((header.flags & kNetNeedsChecksum) != 0)
    finish_checksum(frame_, header.checksum_start, header.checksum_offset);
  const Packet packet = parse_packet(frame_);
  if (!order_.admits(packet)) return;
  if (!limits_.admits(packet, frame_.size(), EventLoop::Clock::now())) return refuse();
  const Inside inside(*this);
  library_.input(slirp_, reinterpret_cast<const uint8_t*>(frame_.data()),
                 static_cast<int>(frame_.size()));
  limits_.taken();
  entered_ = true;
}

void UserNet::Stack::refuse() {
  if (std::exchange(refused_, true)) return;
  log_.warn(name_,
            "the guest has as many connections open as this network carries, or sends more "
            "fragments than it keeps: what goes beyond that is dropped");
}

// --- the backend ---

// libslirp takes TCP packets of any length, so that the guest need not cut them; over IPv6 it
// refuses those that are longer than its MTU.
UserNet::UserNet(std::string name, const UserNetConfig& config, Logger log)
    : traits_{.mtu = config.mtu != 1500 ? config.mtu : uint16_t{0},
              .from_guest = {.checksum = true, .tcp4 = true},
              .to_guest = {.checksum = true, .tcp4 = true}},
      asked_(config.host_forwards) {
  check(config);
  stack_ = std::make_unique<Stack>(std::move(name), config, std::move(log));
}

UserNet::~UserNet() = default;

std::vector<std::string> UserNet::announcements() const {
  std::vector<std::string> lines;
  for (size_t i = 0; i < asked_.size(); ++i)
    if (asked_[i].host_port == 0) lines.push_back("hostfwd=" + to_string(host_forwards()[i]));
  return lines;
}

const std::vector<HostForward>& UserNet::host_forwards() const noexcept {
  return stack_->host_forwards();
}

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
