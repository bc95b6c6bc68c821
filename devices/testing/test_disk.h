// A block node in memory whose requests a test can hold back, fail and count.
//
// Thread: the test's, which also steps the loop.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "blockdev/node.h"
#include "vmm/base/async_sync.h"

namespace vireo::dev {

class TestNode final : public blk::Node {
 public:
  explicit TestNode(blk::Limits limits) : limits_(limits), bytes_(limits.size) { may_answer.set(); }

  const blk::Limits& limits() const noexcept override { return limits_; }
  Task<std::error_code> read(uint64_t offset, IoVecs into) override {
    calls.emplace_back("read");
    co_await may_answer.wait();
    if (!error) copy_to(into, std::span(bytes_).subspan(offset));
    co_return error;
  }
  Task<std::error_code> write(uint64_t offset, IoVecs from, blk::WriteFlags flags) override {
    calls.emplace_back(flags.fua ? "write fua" : "write");
    co_await may_answer.wait();
    const uint64_t length = total_length(from);
    if (!error) copy_from(std::span(bytes_).subspan(offset, length), from);
    co_return error;
  }
  Task<std::error_code> flush() override {
    calls.emplace_back("flush");
    co_await may_answer.wait();
    co_return error;
  }
  Task<std::error_code> discard(uint64_t offset, uint64_t length) override {
    calls.emplace_back("discard " + std::to_string(offset) + "+" + std::to_string(length));
    co_await may_answer.wait();
    co_return error;
  }
  Task<std::error_code> zero(uint64_t offset, uint64_t length, blk::ZeroFlags flags) override {
    calls.emplace_back(flags.may_unmap ? "zero unmap" : "zero");
    co_await may_answer.wait();
    if (!error) std::memset(bytes_.data() + offset, 0, length);
    co_return error;
  }
  Task<std::error_code> resize(uint64_t size) override {
    bytes_.resize(size);
    limits_.size = size;
    co_return error;
  }
  void hurry() override { ++hurries; }
  Task<std::error_code> close() override {
    calls.emplace_back("close");
    co_return error;
  }

  std::span<std::byte> bytes() noexcept { return bytes_; }

  Event may_answer;       // while not set, requests stay under way
  std::error_code error;  // what requests end with
  std::vector<std::string> calls;
  size_t hurries = 0;

 private:
  blk::Limits limits_;
  std::vector<std::byte> bytes_;
};

}  // namespace vireo::dev
