// A backend whose peer comes and goes: the common part of unix sockets and pseudo-terminals.
//
// Without a peer, output is kept (the newest kKept bytes) for the one that comes; with a slow one,
// the guest waits. A peer is asked for its hang-up even while its input is not wanted.
// Thread: the loop's. Owns the connection.
#pragma once

#include <memory>
#include <vector>

#include "devices/chardev/backend.h"
#include "devices/chardev/fd_stream.h"

namespace vireo::dev {

class PeerBackend : public CharBackend {
 public:
  static constexpr size_t kKept = 64 * 1024;

  void open(EventLoop& loop, CharFrontend& frontend) final;
  void close() final;
  size_t write(std::span<const std::byte> bytes) final;
  void set_readable(bool readable) final;

 protected:
  // What the end of the input says of the peer: a socket's may have shut down one direction only.
  enum class InputEnd : uint8_t { peer_may_stay, peer_is_gone };
  explicit PeerBackend(InputEnd input_end) noexcept : input_end_(input_end) {}

  // Looking for peers: from open() to close(), and anew when one has gone.
  virtual void look_for_peers(EventLoop& loop) = 0;
  virtual void stop_looking() = 0;

  // Takes a non-blocking descriptor for both directions. False when the host has no descriptors or
  // memory for it; it is closed then.
  bool connect(UniqueFd fd);
  void disconnect();
  bool connected() const noexcept { return peer_ != nullptr; }
  bool peer_hung_up() const noexcept;

 private:
  struct Peer {
    UniqueFd fd;         // written
    UniqueFd read_fd;    // the same file: epoll takes each descriptor once
    UniqueFd hangup_fd;  // likewise
    FdWriter writer;
    FdReader reader;
    EventLoop::Registration hangup;
  };
  std::unique_ptr<Peer> make_peer(UniqueFd fd);
  void use_peer();
  void input_ended();
  void hung_up();
  void keep(std::span<const std::byte> bytes);
  bool send_kept();
  size_t send(std::span<const std::byte> bytes);
  void peer_writable();

  const InputEnd input_end_;
  EventLoop* loop_ = nullptr;  // while open
  CharFrontend* frontend_ = nullptr;
  std::unique_ptr<Peer> peer_;
  std::vector<std::byte> kept_;
  bool readable_ = false;
  bool frontend_waits_ = false;  // for writable()
};

}  // namespace vireo::dev
