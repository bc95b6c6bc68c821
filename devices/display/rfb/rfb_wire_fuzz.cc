// What viewers send: no message reads beyond what came, and every format that is accepted works.
#include <array>

#include "devices/display/rfb/pixel_format.h"
#include "devices/display/rfb/rfb_wire.h"
#include "vmm/base/error.h"

using namespace vireo::display;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const std::byte> rest = std::as_bytes(std::span(data, size));
  for (;;) {
    const ParsedMessage parsed = parse_message(rest);
    if (parsed.status != ParsedMessage::Status::complete) {
      VMM_CHECK(parsed.status == ParsedMessage::Status::invalid || rest.size() < kMaxMessage,
                "no message is longer than the longest");
      return 0;
    }
    VMM_CHECK(parsed.length > 0 && parsed.length <= rest.size(), "a message is of what came");
    rest = rest.subspan(parsed.length);
    const auto* set = std::get_if<SetPixelFormat>(&parsed.message);
    const auto format = set == nullptr ? std::nullopt : PixelFormat::from_wire(set->format);
    if (!format) continue;
    std::array<uint32_t, 3> values{0x000000, 0xffffff, 0x804020};
    format->convert(values, values);
    std::array<std::byte, 12> bytes;
    VMM_CHECK(format->put(values, bytes.data()) == bytes.data() + 3 * format->bytes(),
              "a pixel has its size");
    format->put_compact(values, bytes.data());
    format->put_tight(values, bytes.data());
  }
}
