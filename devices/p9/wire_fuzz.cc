// Any bytes as any request: the first byte is the type, the rest the fields. What is decoded is
// encoded to the same bytes again.
#include <cstddef>
#include <cstdint>
#include <span>

#include "devices/p9/wire.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::p9;

namespace {

void check_again(const Request& request, std::span<const std::byte> fields) {
  std::visit(
      [&]<class T>(const T& message) {
        if constexpr (!std::is_same_v<T, std::monostate>) {
          const auto bytes = encode(T::kType, 0, message);
          const auto again = std::span(bytes).subspan(kHeaderSize);
          VMM_CHECK(again.size() == fields.size() &&
                        std::equal(again.begin(), again.end(), fields.begin()),
                    "a message is its bytes");
        }
      },
      request);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const RequestInfo* const info = find_request(data[0]);
  if (info == nullptr) return 0;
  const auto fields = std::as_bytes(std::span(data, size)).subspan(1);
  if (const auto request = info->decode(fields)) check_again(*request, fields);
  return 0;
}
