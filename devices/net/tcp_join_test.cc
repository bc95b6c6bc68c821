#include "devices/net/tcp_join.h"

#include <cstdint>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/net/checksum.h"
#include "devices/net/frame_queue.h"
#include "vmm/base/bytes.h"

namespace vireo::dev {
namespace {

struct Wanted {
  uint32_t sequence = 1000;
  size_t payload = 1460;
  uint8_t flags = 0x10;
  uint16_t port = 80;
  uint32_t acknowledged = 7;
  uint16_t window = 500;
  uint8_t protocol = 6;
  uint16_t fragment = 0;
  std::vector<std::byte> options{};
};

std::vector<std::byte> segment(const Wanted& w) {
  const size_t tcp = 20 + w.options.size();
  ByteWriter out;
  out.put(std::array<uint8_t, 12>{0x52, 0x54, 0, 1, 2, 3, 0x52, 0x55, 10, 0, 2, 2});
  out.put(be16(0x0800));
  out.put(std::array<uint8_t, 2>{0x45, 0});
  out.put(be16(static_cast<uint16_t>(20 + tcp + w.payload)));
  out.put(be16(static_cast<uint16_t>(w.sequence)));
  out.put(be16(w.fragment));
  out.put(std::array<uint8_t, 2>{64, w.protocol});
  out.put(be16(0));
  out.put(be32(0x0a000202));
  out.put(be32(0x0a00020f));
  out.put(be16(w.port));
  out.put(be16(40000));
  out.put(be32(w.sequence));
  out.put(be32(w.acknowledged));
  out.put(std::array<uint8_t, 2>{static_cast<uint8_t>(tcp / 4 << 4), w.flags});
  out.put(be16(w.window));
  out.put(be32(0));
  out.put(w.options);
  for (size_t i = 0; i < w.payload; ++i) out.put(static_cast<uint8_t>((w.sequence + i) * 31 >> 3));
  return out.take();
}

be16 word_at(const std::vector<std::byte>& frame, size_t at) {
  ByteReader reader(frame);
  reader.take(at);
  return reader.get<be16>();
}

}  // namespace

TEST_CASE("segments that follow each other become one frame") {
  Frame frame{{}, segment({})};
  REQUIRE(join_tcp(frame, segment({.sequence = 2460})));
  REQUIRE(join_tcp(frame, segment({.sequence = 3920, .payload = 100, .flags = 0x18})));
  CHECK(frame.header == NetHeader{.flags = kNetNeedsChecksum,
                                  .gso_type = kGsoTcp4,
                                  .header_length = 54,
                                  .segment_size = 1460,
                                  .checksum_start = 34,
                                  .checksum_offset = 16});
  const auto whole = segment({.payload = 3020, .flags = 0x18});
  REQUIRE(frame.bytes.size() == whole.size());
  CHECK(std::equal(frame.bytes.begin() + 54, frame.bytes.end(), whole.begin() + 54));
  CHECK(word_at(frame.bytes, 16) == 3060);
  CHECK(word_at(frame.bytes, 46) == word_at(whole, 46));
  CHECK(internet_sum(std::span(frame.bytes).subspan(14, 20)) == 0xffff);
  // With the pseudo-header's sum in its field, it can be finished to what TCP checks.
  finish_checksum(frame.bytes, 34, 16);
  ByteWriter checked;
  checked.put(std::span<const std::byte>(frame.bytes).subspan(26, 8));
  checked.put(be16(6));
  checked.put(be16(static_cast<uint16_t>(frame.bytes.size() - 34)));
  checked.put(std::span<const std::byte>(frame.bytes).subspan(34));
  CHECK(internet_sum(checked.bytes()) == 0xffff);
}

TEST_CASE("segments that do not follow, or differ in anything, stay apart") {
  const auto refused = [](const Wanted& first, const Wanted& second) {
    Frame frame{{}, segment(first)};
    const Frame before = frame;
    const bool joined = join_tcp(frame, segment(second));
    return !joined && frame.bytes == before.bytes && frame.header == before.header;
  };
  CHECK(refused({}, {.sequence = 2461}));
  CHECK(refused({}, {.sequence = 1000}));
  CHECK(refused({}, {.sequence = 2460, .port = 81}));
  CHECK(refused({}, {.sequence = 2460, .acknowledged = 8}));
  CHECK(refused({}, {.sequence = 2460, .window = 501}));
  CHECK(refused({}, {.sequence = 2460, .payload = 0}));
  CHECK(refused({}, {.sequence = 2460, .payload = 1461}));
  CHECK(refused({}, {.sequence = 2460, .flags = 0x11}));
  CHECK(refused({}, {.sequence = 2460, .flags = 0x14}));
  CHECK(refused({.flags = 0x18}, {.sequence = 2460}));
  CHECK(refused({.flags = 0x12}, {.sequence = 2460}));
  CHECK(refused({}, {.sequence = 2460, .protocol = 17}));
  CHECK(refused({}, {.sequence = 2460, .fragment = 0x2000}));
  CHECK(refused({}, {.sequence = 2460, .options = std::vector<std::byte>(4)}));
  CHECK(refused({.options = std::vector<std::byte>(4)},
                {.sequence = 2460, .options = std::vector<std::byte>(4, std::byte{1})}));
  Frame frame{{}, segment({})};
  auto padded = segment({.sequence = 2460});
  padded.resize(padded.size() + 4);
  CHECK_FALSE(join_tcp(frame, padded));
  for (size_t length = 0; length < 60; ++length)
    CHECK_FALSE(join_tcp(frame, std::span(padded).first(length)));
  REQUIRE(join_tcp(frame, segment({.sequence = 2460, .payload = 10})));
  CHECK_FALSE(join_tcp(frame, segment({.sequence = 2470})));  // after a short one
}

TEST_CASE("a frame grows to 64 KiB at most") {
  Frame frame{{}, segment({})};
  uint32_t sequence = 2460;
  while (join_tcp(frame, segment({.sequence = sequence}))) sequence += 1460;
  CHECK(frame.bytes.size() > 64000);
  CHECK(frame.bytes.size() <= kMaxFrame);
}

TEST_CASE("a queue of frames joins what it may, and is bounded") {
  FrameQueue queue(4000);
  std::vector<std::byte> buffer(4000);
  const iovec parts[] = {{buffer.data(), 30}, {buffer.data() + 30, buffer.size() - 30}};
  queue.push(segment({}), true);
  queue.push(segment({.sequence = 2460}), true);
  queue.push(segment({.sequence = 3920}), true);  // beyond the bound
  CHECK(queue.pop(parts).length == 54 + 2920);
  CHECK(queue.empty());
  queue.push(segment({}), false);
  queue.push(segment({.sequence = 2460}), false);
  const auto first = queue.pop(parts);
  CHECK(first.length == 1514);
  CHECK(first.header == NetHeader{});
  buffer.resize(1514);
  CHECK(buffer == segment({}));
  CHECK(queue.pop(parts).length == 1514);
}

}  // namespace vireo::dev
