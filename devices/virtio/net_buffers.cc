#include "devices/virtio/net_buffers.h"

#include <algorithm>
#include <array>
#include <utility>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

// Any buffer may be the first of a frame: one that has no room for the header is of no use
// (5.1.6.3.1).
constexpr size_t kSmallestBuffer = sizeof(NetHeader);

constexpr size_t kLeastExpected = 2048;

}  // namespace

ReceiveBuffers::ReceiveBuffers(Queue& queue, bool mergeable)
    : queue_(queue), mergeable_(mergeable), expected_(kLeastExpected), spill_(kMaxFrame) {}

// Long frames come in series: one is enough to expect more, many short ones to forget it.
void ReceiveBuffers::learn(size_t length) noexcept {
  const size_t forgotten = expected_ - expected_ / 64;
  expected_ = std::max({std::min(length, kMaxFrame), forgotten, kLeastExpected});
}

bool ReceiveBuffers::take_one() {
  while (auto chain = queue_.pop()) {
    const auto size = static_cast<size_t>(chain->writable().remaining());
    if (size < kSmallestBuffer) {
      queue_.push(std::move(*chain), 0);
      continue;
    }
    buffers_.push_back({std::move(*chain), size});
    total_ += size;
    parts_ += buffers_.back().parts().size();
    return true;
  }
  return false;
}

bool ReceiveBuffers::fill() {
  const size_t had = buffers_.size();
  if (buffers_.empty() && !take_one()) return false;
  while (mergeable_ && room() < expected_ && take_one()) {
  }
  if (buffers_.size() != had || space_.empty()) lay_out();
  return true;
}

// Only as many buffers as the expected frame takes; a system call takes no more than 1024 parts.
void ReceiveBuffers::lay_out() {
  constexpr size_t kMostParts = kMaxChainBuffers - 2;  // a header of the backend's and the spill
  space_.clear();
  room_laid_out_ = 0;
  size_t skip = sizeof(NetHeader);
  for (Buffer& buffer : buffers_) {
    for (const iovec& part : buffer.parts()) {
      if (room_laid_out_ >= expected_ || space_.size() == kMostParts) break;
      const size_t skipped = std::min(skip, part.iov_len);
      skip -= skipped;
      if (skipped == part.iov_len) continue;
      space_.push_back({static_cast<std::byte*>(part.iov_base) + skipped, part.iov_len - skipped});
      room_laid_out_ += part.iov_len - skipped;
    }
  }
  space_.push_back({spill_.data(), spill_.size()});
}

std::array<std::byte, kEthernetHeader + kVlanTag> ReceiveBuffers::start_of_frame() const noexcept {
  std::array<std::byte, kEthernetHeader + kVlanTag> start{};
  copy_from(start, space_);
  return start;
}

ReceiveBuffers::Put ReceiveBuffers::put(const NetHeader& header, size_t length) {
  learn(length);
  if (length > kMaxFrame || (!mergeable_ && length > room())) return Put::dropped;
  pending_ = Pending{header, length};
  return resume();
}

ReceiveBuffers::Put ReceiveBuffers::resume() {
  while (room() < pending_->length) {
    if (take_one()) continue;
    // A driver with all its descriptors in our hands has no more to give.
    if (parts_ < queue_.size()) return Put::waits;
    pending_.reset();
    lay_out();
    return Put::dropped;
  }
  const Pending frame = *std::exchange(pending_, std::nullopt);
  spread(frame.header, frame.length);
  return Put::done;
}

// The frame lies in its buffers already, up to what space_ had of them; the rest is in spill_. The
// driver learns of all buffers at once: it drops a frame of which it finds only some (5.1.6.4).
void ReceiveBuffers::spread(NetHeader header, size_t length) {
  size_t total = sizeof(NetHeader) + length;
  uint16_t count = 0;
  for (size_t covered = 0; covered < total; ++count) covered += buffers_[count].size;
  header.buffers = count;
  copy_to(buffers_.front().parts(), bytes_of(header));
  size_t position = 0;  // in the frame with its header
  const size_t read_in_place = sizeof(NetHeader) + room_laid_out_;
  for (uint16_t i = 0; i < count; ++i) {
    Buffer& buffer = buffers_.front();
    const size_t here = std::min(buffer.size, total - position);
    if (position + here > read_in_place) {
      const size_t from = std::max(position, read_in_place);
      copy_to(buffer.parts(),
              std::span(spill_).subspan(from - read_in_place, position + here - from),
              from - position);
    }
    total_ -= buffer.size;
    parts_ -= buffer.parts().size();
    position += here;
    queue_.put(std::move(buffer.chain), static_cast<uint32_t>(here));
    buffers_.pop_front();
  }
  queue_.publish();
  space_.clear();
}

void ReceiveBuffers::release() {
  pending_.reset();
  while (!buffers_.empty()) {
    queue_.put_back(std::move(buffers_.back().chain));
    buffers_.pop_back();
  }
  total_ = 0;
  parts_ = 0;
  space_.clear();
}

}  // namespace vireo::dev
