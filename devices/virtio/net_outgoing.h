// A frame that a driver wants to send, checked (virtio 1.2, 5.1.6.2).
//
// A value; any thread. Its parts lie in guest memory, which may change at any time.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "devices/net/header.h"
#include "devices/virtio/chain.h"
#include "vmm/base/io_vecs.h"

namespace vireo::dev {

struct OutgoingFrame {
  NetHeader header;
  size_t length;
  IoVecs parts;                   // of guest memory, or of copy
  std::vector<std::byte> copy{};  // when it lies in too many parts
};

// All that the chain has. Nothing when it is not fit to be sent: malformed, or it leaves to the
// device what is not of the negotiated `features`.
std::optional<OutgoingFrame> take_outgoing(ReadCursor& chain, uint64_t features);

}  // namespace vireo::dev
