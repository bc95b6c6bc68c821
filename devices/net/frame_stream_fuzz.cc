// A stream of a peer's, cut into pieces at will: every frame lies in what came, and what comes out
// is the same however it was cut.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "devices/net/frame_stream.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::dev;

namespace {

std::vector<std::byte> frames_of(std::span<const std::byte> stream, size_t piece) {
  FrameStream frames;
  std::vector<std::byte> all;
  while (!stream.empty() && !frames.broken()) {
    const std::span<std::byte> space = frames.space();
    VMM_CHECK(!space.empty(), "there is room until a frame is whole");
    const size_t length = std::min({space.size(), stream.size(), piece});
    std::memcpy(space.data(), stream.data(), length);
    frames.filled(length);
    stream = stream.subspan(length);
    while (const auto frame = frames.next()) {
      VMM_CHECK(!frame->empty() && frame->size() <= kMaxFrame, "frames have a length");
      all.insert(all.end(), frame->begin(), frame->end());
    }
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const auto stream = std::as_bytes(std::span(data + 1, size - 1));
  VMM_CHECK(frames_of(stream, size_t{data[0]} + 1) == frames_of(stream, stream.size() + 1),
            "frames do not depend on how the stream was cut");
  return 0;
}
