// Seeded random requests against a disk, compared with an array of bytes.
//
// Each round starts a handful of requests at once on ranges of their own (neighbours share blocks),
// waits for them and brings the model up to date. Where the truth is one of two values (after a
// discard, or a request that was made to fail) the model takes either and settles on what it reads.
// A format adds its own steps (snapshots, faults, commit) as functions; between rounds nothing is
// in flight, and a Model is a value that can be kept and put back.
//
//   RandomIo io(host, open(), {.seed = 7, .rounds = 2000, .resize = true});
//   io.on_reopen([&](std::unique_ptr<Disk> disk) { ...close it...; return open(); });
//   io.add_step(3, [&](RandomIo& self) { ... });
//   io.run();
//
// A difference fails the test with the seed and the requests that touched the byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include "blockdev/disk.h"
#include "blockdev/testing/fixtures.h"

namespace vireo::blk::testing {

// What each byte of a disk may read as: one value, one of two, or (wild) anything.
class Model {
 public:
  explicit Model(uint64_t size) : value_(size), other_(size), wild_(size) {}

  uint64_t size() const noexcept { return value_.size(); }
  void resize(uint64_t size);  // new bytes are zeros
  void set(uint64_t offset, const std::vector<std::byte>& bytes);
  // Each byte may be what it was or what is given.
  void maybe_set(uint64_t offset, const std::vector<std::byte>& bytes);
  bool may_be(uint64_t place, std::byte value) const noexcept;
  bool may_be(uint64_t offset, const std::vector<std::byte>& bytes) const noexcept;
  // The first byte that cannot be; those before it are settled on what was read.
  std::optional<uint64_t> settle(uint64_t offset, const std::vector<std::byte>& read);

 private:
  bool is_certainly(uint64_t offset, const std::vector<std::byte>& bytes) const noexcept;

  std::vector<std::byte> value_;
  std::vector<std::byte> other_;  // equal to value_ where that is certain
  std::vector<std::byte> wild_;   // not zero: anything
};

struct RandomIoOptions {
  uint32_t seed = 1;
  size_t rounds = 500;
  size_t most_at_once = 8;
  uint64_t most_bytes = 256 * 1024;
  bool resize = false;       // between half and double the size at the start
  bool may_fail = false;     // requests are made to fail on purpose
  size_t check_every = 100;  // rounds between comparisons of the whole disk
};

class RandomIo {
 public:
  using Reopen = std::function<std::unique_ptr<Disk>(std::unique_ptr<Disk>)>;
  using Step = std::function<void(RandomIo&)>;

  // The disk reads as zeros.
  RandomIo(TestHost& host, std::unique_ptr<Disk> disk, RandomIoOptions options);
  ~RandomIo();

  // Closes the disk given and opens it anew; called every now and then.
  void on_reopen(Reopen reopen);
  // Called in one of about 1000 / `per_mille` rounds.
  void add_step(unsigned per_mille, std::string name, Step step);

  void run();
  void compare_all();

  Disk& disk() noexcept { return *disk_; }
  TestHost& host() noexcept { return host_; }
  Model& model() noexcept { return model_; }
  uint64_t random(uint64_t below);

 private:
  enum class Kind : uint8_t { read, write, zero, discard, flush, extent };
  struct Request;
  struct ExtraStep {
    unsigned per_mille;
    std::string name;
    Step step;
  };
  struct Event {
    uint64_t offset, length;
    std::string text;
  };

  void round();
  std::vector<Request> make_requests();
  Request make_request(uint64_t begin, uint64_t end);
  Task<void> perform(Request& request);
  void settle(const Request& request);
  void settle_change(const Request& request);
  void settle_extent(const Request& request);
  void read_back(uint64_t offset, uint64_t length);
  void compare(uint64_t offset, const std::vector<std::byte>& read);
  void extra_steps();
  void change_size();
  void note(uint64_t offset, uint64_t length, const std::string& what);
  [[noreturn]] void fail(uint64_t offset, const std::string& what);

  TestHost& host_;
  std::unique_ptr<Disk> disk_;
  const RandomIoOptions options_;
  const uint64_t first_size_;
  Model model_;
  std::mt19937_64 random_;
  size_t round_ = 0;
  std::vector<ExtraStep> steps_;
  std::vector<Event> events_;
};

}  // namespace vireo::blk::testing
