// A stream of a peer's, cut into pieces at will: the frames are the same however it was cut, and a
// message that is understood is encoded as it came.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "agent/frame_reader.h"
#include "agent/wire.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::agent;

namespace {

constexpr size_t kBuffer = 4096;

template <class Message>
void check(const Frame& frame) {
  if (frame.type != Message::kType) return;
  const auto message = decode<Message>(frame.payload);
  if (!message) return;
  std::vector<std::byte> again;
  encode(frame.channel, *message,
         [&](Bytes part) { again.insert(again.end(), part.begin(), part.end()); });
  VMM_CHECK(std::ranges::equal(std::span(again).subspan(sizeof(FrameHeader)), frame.payload),
            "a message is encoded as it came");
  if constexpr (std::is_same_v<Message, Exec>) {
    size_t bytes = 0;
    message->arguments.each([&](std::string_view text) { bytes += text.size() + 1; });
    VMM_CHECK(bytes == message->arguments.block.size(), "the texts are all of their block");
  }
}

void check_all(const Frame& frame) {
  check<Hello>(frame), check<Data>(frame), check<StreamEnd>(frame), check<Window>(frame);
  check<Ping>(frame), check<Clock>(frame), check<Entropy>(frame), check<Root>(frame);
  check<Share>(frame), check<Network>(frame), check<PowerOff>(frame), check<Exec>(frame);
  check<Resize>(frame), check<Signal>(frame), check<Pong>(frame), check<Done>(frame);
  check<Failed>(frame), check<Started>(frame), check<Exited>(frame), check<Signaled>(frame);
}

std::vector<std::byte> frames_of(Bytes stream, size_t piece) {
  std::vector<std::byte> buffer(kBuffer);
  FrameReader reader(buffer);
  std::vector<std::byte> all;
  while (!stream.empty() && !reader.broken()) {
    const auto space = reader.space();
    VMM_CHECK(!space.empty(), "there is room until a frame is whole");
    const size_t length = std::min({space.size(), stream.size(), piece});
    std::memcpy(space.data(), stream.data(), length);
    reader.filled(length);
    stream = stream.subspan(length);
    while (const auto frame = reader.next()) {
      check_all(*frame);
      all.insert(all.end(), frame->payload.begin(), frame->payload.end());
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
