#include "devices/p9/wire.h"

#include <algorithm>

namespace vireo::p9 {

Header decode_header(std::span<const std::byte, kHeaderSize> bytes) noexcept {
  ByteReader reader(bytes);
  Header header;
  header.size = reader.get<le32>();
  header.type = reader.get<uint8_t>();
  header.tag = reader.get<le16>();
  return header;
}

const RequestInfo* find_request(uint8_t type) noexcept {
  const auto* const found =
      std::find_if(kRequests.begin(), kRequests.end(),
                   [type](const RequestInfo& request) { return request.type == type; });
  return found == kRequests.end() ? nullptr : found;
}

}  // namespace vireo::p9
