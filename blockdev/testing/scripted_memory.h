// A memory node for tests of formats: its bytes outlive it, it can answer late and out of order,
// fail on demand, and keep a log of what was written between flushes.
#pragma once

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "blockdev/node.h"
#include "vmm/base/async_sync.h"
#include "vmm/base/event_loop.h"

namespace vireo::blk::testing {

struct Storage {
  struct Write {
    enum class Kind : uint8_t { data, resize, flush } kind;
    uint64_t offset = 0;  // resize: the new size
    std::vector<std::byte> bytes{};
  };
  enum class Op : uint8_t { read, write, flush, discard, zero, resize };

  std::vector<std::byte> bytes;
  Limits limits{.block = 1, .can_discard = true, .can_zero = true};
  bool log_writes = false;
  std::vector<Write> log;
  // Gives an error to fail the operation with, or nothing.
  std::function<std::error_code(Op, uint64_t offset, uint64_t length)> fault;
  uint64_t operations = 0;

  void resize(uint64_t size) {
    bytes.resize(size);
    limits.size = size;
  }
  void load(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    const std::vector<char> all{std::istreambuf_iterator<char>(in), {}};
    resize(all.size());
    if (!all.empty()) std::memcpy(bytes.data(), all.data(), all.size());
  }
  void save(const std::string& path) const {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }
};

// Parks coroutines and lets them go in random order, one per step of the loop.
class Shuffle {
 public:
  Shuffle(EventLoop& loop, uint64_t seed) : loop_(loop), random_(seed) {}
  auto pause() {
    struct Awaiter {
      Shuffle& self;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) const { self.park(handle); }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }

 private:
  void park(std::coroutine_handle<> handle) {
    parked_.push_back(handle);
    loop_.post([this] { resume_one(); });
  }
  void resume_one() {
    std::swap(parked_[random_() % parked_.size()], parked_.back());
    const auto handle = parked_.back();
    parked_.pop_back();
    handle.resume();
  }
  EventLoop& loop_;
  std::mt19937_64 random_;
  std::vector<std::coroutine_handle<>> parked_;
};

class ScriptedMemory final : public Node {
 public:
  using Op = Storage::Op;
  // Without `shuffle` everything completes at once.
  explicit ScriptedMemory(std::shared_ptr<Storage> storage, Shuffle* shuffle = nullptr)
      : storage_(std::move(storage)), shuffle_(shuffle) {}

  const Limits& limits() const noexcept override { return storage_->limits; }

  Task<std::error_code> read(uint64_t offset, IoVecs into) override {
    if (shuffle_ != nullptr) co_await shuffle_->pause();
    const std::error_code error = check(Op::read, offset, into);
    if (!error) copy_to(into, std::span(storage_->bytes).subspan(offset, total_length(into)));
    co_return error;
  }
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags) override {
    if (shuffle_ != nullptr) co_await shuffle_->pause();
    const std::error_code error = check(Op::write, offset, from);
    if (error) co_return error;
    const auto to = std::span(storage_->bytes).subspan(offset, total_length(from));
    copy_from(to, from);
    note({Storage::Write::Kind::data, offset, {to.begin(), to.end()}});
    if (shuffle_ != nullptr) co_await shuffle_->pause();
    co_return error;
  }
  Task<std::error_code> flush() override {
    if (shuffle_ != nullptr) co_await shuffle_->pause();
    const std::error_code error = fault(Op::flush, 0, 0);
    if (!error) note({Storage::Write::Kind::flush, 0, {}});
    co_return error;
  }
  Task<std::error_code> discard(uint64_t offset, uint64_t length) override {
    co_return co_await clear(Op::discard, offset, length);
  }
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags) override {
    co_return co_await clear(Op::zero, offset, length);
  }
  Task<std::error_code> resize(uint64_t size) override {
    if (shuffle_ != nullptr) co_await shuffle_->pause();
    const std::error_code error = fault(Op::resize, 0, size);
    if (error) co_return error;
    storage_->resize(size);
    note({Storage::Write::Kind::resize, size, {}});
    co_return error;
  }
  Task<Extent> extent(uint64_t, uint64_t length) override { co_return Extent{.length = length}; }

 private:
  std::error_code fault(Op op, uint64_t offset, uint64_t length) const {
    ++storage_->operations;
    return storage_->fault ? storage_->fault(op, offset, length) : std::error_code{};
  }
  std::error_code check(Op op, uint64_t offset, const IoVecs& vectors) const {
    const uint64_t length = total_length(vectors);
    const Limits& is = storage_->limits;
    VMM_CHECK(offset <= is.size && length <= is.size - offset, "requests stay inside the node");
    VMM_CHECK(offset % is.block == 0 && length % is.block == 0, "requests are whole blocks");
    for (const iovec& vector : vectors) {
      const auto address = reinterpret_cast<uintptr_t>(vector.iov_base);
      VMM_CHECK(address % is.buffer_alignment == 0 && vector.iov_len % is.buffer_alignment == 0,
                "buffers are aligned");
    }
    return fault(op, offset, length);
  }
  Task<std::error_code> clear(Op op, uint64_t offset, uint64_t length) {
    if (shuffle_ != nullptr) co_await shuffle_->pause();
    const std::error_code error = check(op, offset, {});
    if (error) co_return error;
    const auto to = std::span(storage_->bytes).subspan(offset, length);
    std::fill(to.begin(), to.end(), std::byte{0});
    note({Storage::Write::Kind::data, offset, {to.begin(), to.end()}});
    co_return error;
  }
  void note(Storage::Write write) const {
    if (storage_->log_writes) storage_->log.push_back(std::move(write));
  }

  std::shared_ptr<Storage> storage_;
  Shuffle* shuffle_;
};

}  // namespace vireo::blk::testing
