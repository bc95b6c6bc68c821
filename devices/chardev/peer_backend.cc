#include "devices/chardev/peer_backend.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <utility>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

UniqueFd duplicate(const UniqueFd& fd) {
  UniqueFd copy{::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)};
  if (!copy) throw_errno("cannot duplicate a descriptor");
  return copy;
}

}  // namespace

void PeerBackend::open(EventLoop& loop, CharFrontend& frontend) {
  loop_ = &loop;
  frontend_ = &frontend;
  frontend_waits_ = false;
  if (peer_) use_peer();
  look_for_peers(loop);
}

void PeerBackend::close() {
  if (loop_ == nullptr) return;
  stop_looking();
  if (peer_) {
    peer_->hangup.reset();
    peer_->reader.disable();
    peer_->writer.cancel();
  }
  readable_ = false;
  loop_ = nullptr;
  frontend_ = nullptr;
}

void PeerBackend::set_readable(bool readable) {
  readable_ = readable;
  if (!peer_) return;
  if (readable)
    peer_->reader.enable(*loop_);
  else
    peer_->reader.disable();
}

size_t PeerBackend::write(std::span<const std::byte> bytes) {
  frontend_waits_ = false;
  if (peer_ && !send_kept()) {
    frontend_waits_ = true;
    return 0;
  }
  const size_t sent = peer_ ? send(bytes) : 0;
  if (!peer_) {
    keep(bytes.subspan(sent));
    return bytes.size();
  }
  frontend_waits_ = sent < bytes.size();
  return sent;
}

std::unique_ptr<PeerBackend::Peer> PeerBackend::make_peer(UniqueFd fd) {
  auto peer = std::make_unique<Peer>();
  peer->fd = std::move(fd);
  peer->read_fd = duplicate(peer->fd);
  peer->hangup_fd = duplicate(peer->fd);
  peer->writer = FdWriter(peer->fd.get());
  peer->reader =
      FdReader(peer->read_fd.get(), {.bytes = [this](auto bytes) { frontend_->receive(bytes); },
                                     .ended = [this] { input_ended(); }});
  return peer;
}

bool PeerBackend::connect(UniqueFd fd) {
  try {
    peer_ = make_peer(std::move(fd));
    use_peer();
    return true;
  } catch (const std::system_error&) {
    peer_.reset();
    return false;
  }
}

void PeerBackend::use_peer() {
  // Edge-triggered and for nothing but hang-up, which epoll always reports.
  peer_->hangup = loop_->watch(peer_->hangup_fd.get(), EPOLLET, [this](uint32_t) { hung_up(); });
  set_readable(readable_);
  send_kept();
}

void PeerBackend::input_ended() {
  if (input_end_ == InputEnd::peer_is_gone || peer_hung_up()) disconnect();
}

// What it sent before it left is read first; the reader then meets the end.
void PeerBackend::hung_up() {
  int unread = 0;
  ::ioctl(peer_->fd.get(), FIONREAD, &unread);
  if (unread == 0 || peer_->reader.ended()) disconnect();
}

bool PeerBackend::peer_hung_up() const noexcept {
  pollfd query{.fd = peer_->fd.get(), .events = 0, .revents = 0};
  return ::poll(&query, 1, 0) > 0;
}

void PeerBackend::disconnect() {
  const auto gone = std::exchange(peer_, nullptr);
  look_for_peers(*loop_);
  if (std::exchange(frontend_waits_, false)) frontend_->writable();
}

void PeerBackend::keep(std::span<const std::byte> bytes) {
  const auto newest = bytes.size() > kKept ? bytes.last(kKept) : bytes;
  const size_t excess =
      kept_.size() + newest.size() > kKept ? kept_.size() + newest.size() - kKept : 0;
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(excess));
  kept_.insert(kept_.end(), newest.begin(), newest.end());
}

// True when nothing (more) stands before new output, also because the peer is gone.
bool PeerBackend::send_kept() {
  if (kept_.empty()) return true;
  const size_t sent = send(kept_);
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(sent));
  return kept_.empty() || !peer_;
}

// Arranges for the rest, or drops a peer that broke.
size_t PeerBackend::send(std::span<const std::byte> bytes) {
  const FdWriter::Written written = peer_->writer.write(bytes);
  if (written.error)
    disconnect();
  else if (written.bytes < bytes.size())
    peer_->writer.call_when_writable(*loop_, [this] { peer_writable(); });
  return written.bytes;
}

void PeerBackend::peer_writable() {
  if (peer_hung_up()) return disconnect();  // or a full one would be reported for ever
  if (!send_kept()) return;
  if (std::exchange(frontend_waits_, false)) frontend_->writable();
}

}  // namespace vireo::dev
