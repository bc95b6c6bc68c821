#include "devices/net/socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "devices/net/frame_stream.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/io_vecs.h"
#include "vmm/base/unix_listener.h"

namespace vireo::dev {

namespace {

using std::chrono::milliseconds;

// None when the host has no descriptor left.
UniqueFd make_socket(int type) noexcept {
  UniqueFd socket(::socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return socket;
  // Room for some of the longest frames; as much as the host allows.
  const int room = 4 << 20;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
  return socket;
}

UniqueFd need_socket(int type) {
  UniqueFd socket = make_socket(type);
  if (!socket) throw_errno("cannot make a socket");
  return socket;
}

const sockaddr* generic(const sockaddr_un& address) noexcept {
  return reinterpret_cast<const sockaddr*>(&address);
}

// errno, or 0.
int connect_to(const UniqueFd& socket, const std::string& path) {
  const sockaddr_un address = unix_address(path);
  return ::connect(socket.get(), generic(address), sizeof(address)) == 0 ? 0 : errno;
}

[[noreturn]] void refuse(const std::string& path, int error) {
  const std::string what = fmt::format("cannot connect to the socket '{}'", path);
  if (error == ENOENT || error == ECONNREFUSED)
    throw ConfigError(what + ": nobody listens there; start passt (or the other end) first");
  if (error == EPROTOTYPE) throw ConfigError(what + ": it is not of this kind; see framing=");
  throw_errno(what, error);
}

// --- stream ---

class StreamNet final : public NetBackend {
 public:
  StreamNet(std::string name, std::string path, Logger log)
      : name_(std::move(name)), path_(std::move(path)), log_(std::move(log)) {
    socket_ = need_socket(SOCK_STREAM);
    if (const int error = connect_to(socket_, path_); error != 0) refuse(path_, error);
  }

  const NetTraits& traits() const noexcept override { return traits_; }
  std::string description() const override { return "socket " + path_; }
  bool link_up() const noexcept override { return static_cast<bool>(socket_); }

  void open(EventLoop& loop, NetFrontend& frontend) override {
    loop_ = &loop;
    frontend_ = &frontend;
    if (socket_)
      watch();
    else
      connect_later();
  }
  void close() override {
    watch_.reset();
    timer_.reset();
    frontend_ = nullptr;
    loop_ = nullptr;
  }

  Sent send(uint16_t /*pair*/, const NetHeader& /*header*/, std::span<const iovec> frame) override {
    if (!socket_) return Sent::dropped;
    if (!flush()) return full();
    size_t total = FrameStream::kLength;
    for (const iovec& part : frame) total += part.iov_len;
    be32 length = static_cast<uint32_t>(total - FrameStream::kLength);
    parts_.assign(1, {&length, sizeof(length)});
    parts_.insert(parts_.end(), frame.begin(), frame.end());
    const ssize_t sent = send_parts();
    if (sent < 0) return errno == EAGAIN ? full() : dropped(errno);
    keep_rest(static_cast<size_t>(sent));
    return Sent::taken;
  }

  Received receive(uint16_t /*pair*/, std::span<const iovec> into) override {
    while (socket_) {
      if (const auto frame = stream_.next()) return {.length = copy(*frame, into)};
      if (stream_.broken()) {
        disconnect("the other end sent a frame of an impossible length");
        break;
      }
      const std::span<std::byte> space = stream_.space();
      const ssize_t n = ::recv(socket_.get(), space.data(), space.size(), MSG_DONTWAIT);
      if (n > 0) {
        stream_.filled(static_cast<size_t>(n));
      } else if (n == 0) {
        disconnect("the other end closed the connection");
      } else if (errno == EAGAIN) {
        break;
      } else if (errno != EINTR) {
        disconnect(last_error().message());
      }
    }
    return {};
  }

 private:
  static constexpr milliseconds kRetry{500};

  void watch() {
    watch_ = loop_->watch(socket_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                          [this](uint32_t events) { ready(events); });
  }
  void ready(uint32_t events) {
    if ((events & EPOLLOUT) != 0 && full_ && flush()) {
      full_ = false;
      frontend_->can_send(0);
    }
    if ((events & ~uint32_t{EPOLLOUT}) != 0 && socket_) frontend_->frames_arrived(0);
  }

  Sent full() {
    full_ = true;
    return Sent::full;
  }
  Sent dropped(int error) {
    disconnect(std::system_category().message(error));
    return Sent::dropped;
  }
  ssize_t send_parts() {
    msghdr message{};
    message.msg_iov = parts_.data();
    message.msg_iovlen = parts_.size();
    ssize_t sent = 0;
    do {
      sent = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent;
  }
  // A frame that went out in part is the stream's: its rest goes before anything else.
  void keep_rest(size_t sent) { append(rest_, parts_, sent); }
  // True when nothing is left to go out, or nobody is there to take it.
  bool flush() {
    while (!rest_.empty() && socket_) {
      const ssize_t sent =
          ::send(socket_.get(), rest_.data(), rest_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) {
        rest_.erase(rest_.begin(), rest_.begin() + sent);
      } else if (errno == EAGAIN) {
        return false;
      } else if (errno != EINTR) {
        disconnect(last_error().message());
      }
    }
    return true;
  }
  static size_t copy(std::span<const std::byte> frame, std::span<const iovec> into) {
    copy_to(into, frame);
    return frame.size();
  }

  // The frontend is told in a turn of its own: this is called from inside its calls.
  void disconnect(const std::string& why) {
    log_.warn(name_, fmt::format("the connection to '{}' is gone: {}", path_, why));
    watch_.reset();
    socket_.reset();
    rest_.clear();
    stream_ = FrameStream();
    timer_ = loop_->after(milliseconds(0), [this] {
      connect_later();
      frontend_->link_changed();
      if (std::exchange(full_, false)) frontend_->can_send(0);
    });
  }
  void connect_later() {
    timer_ = loop_->after(kRetry, [this] { reconnect(); });
  }
  void reconnect() {
    UniqueFd socket = make_socket(SOCK_STREAM);
    if (!socket || connect_to(socket, path_) != 0) return connect_later();
    socket_ = std::move(socket);
    log_.info(name_, fmt::format("connected to '{}' again", path_));
    watch();
    frontend_->link_changed();
  }

  const NetTraits traits_{};
  const std::string name_;
  const std::string path_;
  const Logger log_;
  UniqueFd socket_;  // none: not connected
  FrameStream stream_;
  IoVecs parts_;                 // of the call under way
  std::vector<std::byte> rest_;  // of a frame that went out in part
  bool full_ = false;
  EventLoop* loop_ = nullptr;
  NetFrontend* frontend_ = nullptr;
  EventLoop::Registration watch_;
  EventLoop::Registration timer_;
};

// --- datagram ---

// A socket's file stays behind when its process is killed; then nobody takes what is sent there.
bool is_stale(const sockaddr_un& address) {
  const UniqueFd probe = make_socket(SOCK_DGRAM);
  return ::connect(probe.get(), generic(address), sizeof(address)) != 0 && errno == ECONNREFUSED;
}

// A socket's file, made in place of a stale one, and removed at the end if it is still ours.
class SocketFile {
 public:
  SocketFile(const UniqueFd& socket, const std::string& path) : path_(path) {
    const sockaddr_un address = unix_address(path);
    struct stat status {};
    const bool is_socket = ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
    if (is_socket && is_stale(address)) ::unlink(path.c_str());
    if (::bind(socket.get(), generic(address), sizeof(address)) != 0) refuse(is_socket, errno);
    if (::lstat(path.c_str(), &status) != 0) return;
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
  ~SocketFile() {
    struct stat status {};
    if (::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_)
      ::unlink(path_.c_str());
  }
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;

 private:
  [[noreturn]] void refuse(bool is_socket, int error) const {
    if (error != EADDRINUSE) throw_errno(fmt::format("cannot make the socket '{}'", path_), error);
    throw ConfigError(fmt::format("'{}' exists and {}: remove it or choose another path", path_,
                                  is_socket ? "another program has that socket" : "is no socket"));
  }

  const std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

class DatagramNet final : public NetBackend {
 public:
  DatagramNet(const SocketNetConfig& config)
      : remote_(config.path), address_(unix_address(config.path)) {
    if (!config.local.empty()) local_.emplace(socket_, config.local);
  }

  const NetTraits& traits() const noexcept override { return traits_; }
  std::string description() const override { return "socket " + remote_; }

  void open(EventLoop& loop, NetFrontend& frontend) override {
    loop_ = &loop;
    frontend_ = &frontend;
    watch_ = loop.watch(socket_.get(), EPOLLIN | EPOLLET,
                        [this](uint32_t) { frontend_->frames_arrived(0); });
  }
  void close() override {
    watch_.reset();
    timer_.reset();
    more_.reset();
    frontend_ = nullptr;
    loop_ = nullptr;
  }

  // The kernel does not tell when there is room again at another's socket that we are not connected
  // to. Frames to nobody are lost, as on a wire.
  Sent send(uint16_t /*pair*/, const NetHeader& /*header*/, std::span<const iovec> frame) override {
    msghdr message{};
    message.msg_name = &address_;
    message.msg_namelen = sizeof(address_);
    message.msg_iov = const_cast<iovec*>(frame.data());
    message.msg_iovlen = frame.size();
    while (::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != ENOBUFS) return Sent::dropped;
      timer_ = loop_->after(milliseconds(1), [this] { frontend_->can_send(0); });
      return Sent::full;
    }
    return Sent::taken;
  }

  // Empty datagrams are no frames; of many at once the rest has to wait for another turn.
  Received receive(uint16_t /*pair*/, std::span<const iovec> into) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(into.data());
    message.msg_iovlen = into.size();
    for (int tries = 0; tries < kTries; ++tries) {
      const ssize_t length = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_TRUNC);
      if (length > 0) return {.length = static_cast<size_t>(length)};
      if (length < 0 && errno != EINTR) return {};
    }
    more_ = loop_->after(milliseconds(0), [this] { frontend_->frames_arrived(0); });
    return {};
  }

 private:
  static constexpr int kTries = 64;

  const NetTraits traits_{};
  const std::string remote_;
  sockaddr_un address_;
  UniqueFd socket_ = need_socket(SOCK_DGRAM);
  std::optional<SocketFile> local_;  // where the other end sends to
  EventLoop* loop_ = nullptr;
  NetFrontend* frontend_ = nullptr;
  EventLoop::Registration watch_;
  EventLoop::Registration timer_;
  EventLoop::Registration more_;
};

}  // namespace

std::unique_ptr<NetBackend> open_socket_net(const std::string& name, const SocketNetConfig& config,
                                            const Logger& log) {
  if (config.framing == SocketNetConfig::Framing::datagram)
    return std::make_unique<DatagramNet>(config);
  return std::make_unique<StreamNet>(name, config.path, log);
}

}  // namespace vireo::dev
