// What the parts of the server share: the private types of Server. Included by server*.cc alone.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "devices/p9/server.h"

namespace vireo::p9 {

// A request under way.
struct Server::Call {
  Call(const Exchange& parts, const Header& message, size_t head_size, uint64_t number) noexcept
      : exchange(parts), header(message), head(head_size), serial(number) {}

  FidPtr find(uint32_t fid) const { return session->fids.find(fid); }
  // The same, but of those that stand for a file.
  FidPtr find_file(uint32_t fid) const {
    FidPtr found = find(fid);
    return found && found->xattr ? nullptr : found;
  }
  // Bytes of its reply at most.
  uint64_t room() const noexcept {
    return std::min<uint64_t>(total_length(exchange.reply), session->max_message);
  }
  // Of an Rread, which carries its count before the data.
  uint64_t data_room() const noexcept {
    constexpr uint64_t kBefore = kHeaderSize + sizeof(uint32_t);
    return std::max(room(), kBefore) - kBefore;
  }
  // Whole pages, so that large transfers stay aligned.
  uint32_t io_unit() const noexcept {
    constexpr uint32_t kPage = 4096;
    const uint32_t most = session->max_message - kIoHeader;
    return most < kPage ? most : most / kPage * kPage;
  }

  const Exchange& exchange;
  const Header header;
  const size_t head;      // bytes of the message before its data
  const uint64_t serial;  // in order of arrival: a request only ever waits for earlier ones
  std::shared_ptr<Session> session{};  // the one that it belongs to, from its turn to its reply
  std::atomic<bool> flushed = false;
  Event finished{};    // its reply is sent
  std::string text{};  // that a reply points into
};

}  // namespace vireo::p9
