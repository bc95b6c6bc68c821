// What a network behind a socket is asked for. Plain values; any thread.
#pragma once

#include <cstdint>
#include <string>

namespace vireo::dev {

struct SocketNetConfig {
  // stream: a connection, each frame behind its length in four bytes, big endian: what passt and
  // QEMU's -netdev stream speak. datagram: each frame is one, as with QEMU's -netdev dgram.
  enum class Framing : uint8_t { stream, datagram };
  std::string path{};   // of the other end's Unix socket
  std::string local{};  // datagram: of ours, where the other end sends to; made, and removed
  Framing framing = Framing::stream;
};

}  // namespace vireo::dev
