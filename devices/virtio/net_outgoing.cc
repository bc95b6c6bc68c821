#include "devices/virtio/net_outgoing.h"

#include "devices/virtio/net_wire.h"

namespace vireo::dev {

namespace {

constexpr size_t kMostParts = 1000;  // of a frame that is sent as it lies

// 5.1.6.2: what a driver may leave to us is what was negotiated.
bool acceptable(const NetHeader& header, size_t length, uint64_t features) noexcept {
  const auto negotiated = [&](uint64_t feature) { return (features & feature) != 0; };
  if (length < kEthernetHeader || length > kMaxFrame) return false;
  const bool partial = (header.flags & kNetNeedsChecksum) != 0;
  if (partial && (!negotiated(kNetHostChecksum) ||
                  size_t{header.checksum_start} + header.checksum_offset + 2 > length))
    return false;
  if (header.gso_type == kGsoNone) return true;
  if (!partial || header.segment_size == 0 || header.header_length > length) return false;
  if ((header.gso_type & kGsoEcn) != 0 && !negotiated(kNetHostEcn)) return false;
  switch (header.gso_type & static_cast<uint8_t>(~kGsoEcn)) {
    case kGsoTcp4:
      return negotiated(kNetHostTcp4);
    case kGsoTcp6:
      return negotiated(kNetHostTcp6);
    case kGsoUdp:
      return negotiated(kNetHostUdp);
    default:
      return false;
  }
}

// Without what means nothing to us.
NetHeader clean(const NetHeader& header) noexcept {
  NetHeader clean;
  clean.flags = header.flags & kNetNeedsChecksum;
  if (clean.flags != 0) {
    clean.checksum_start = header.checksum_start;
    clean.checksum_offset = header.checksum_offset;
  }
  clean.gso_type = header.gso_type;
  if (clean.gso_type != kGsoNone) {
    clean.header_length = header.header_length;
    clean.segment_size = header.segment_size;
  }
  return clean;
}

}  // namespace

std::optional<OutgoingFrame> take_outgoing(ReadCursor& chain, uint64_t features) {
  const std::optional<NetHeader> header = chain.read<NetHeader>();
  const auto length = static_cast<size_t>(chain.remaining());
  if (!header || !acceptable(*header, length, features)) return std::nullopt;
  OutgoingFrame frame{clean(*header), length, chain.take(length)};
  if (frame.parts.size() > kMostParts) {
    frame.copy.resize(length);
    ReadCursor(frame.parts).read(frame.copy);
    frame.parts = {{frame.copy.data(), length}};
  }
  return frame;
}

}  // namespace vireo::dev
