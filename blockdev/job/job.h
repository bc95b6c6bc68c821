// What the long jobs over disks (convert, commit, rebase, compare) have in common: how they are
// watched and stopped, how they end, and the window of steps that run side by side.
//
// Thread: the loop of the disks; the function of JobControl is called there. Units: bytes.
// Errors: JobResult says which disk failed and where; `operation_canceled` means that the job was
// told to stop. Whatever happens, a job returns only when none of its requests is under way.
#pragma once

#include <cstdint>
#include <system_error>
#include <vector>

#include "blockdev/buffer.h"
#include "blockdev/host.h"
#include "vmm/base/async_sync.h"
#include "vmm/base/task.h"

namespace vireo::blk {

struct JobControl {
  // Called before and after each step, with never less than before; false stops the job, after what
  // is under way has been finished.
  ProgressFunction progress{};
  size_t in_flight = 8;
};

struct JobResult {
  enum class Side : uint8_t { source, target };
  std::error_code error{};
  Side side = Side::source;
  uint64_t offset = 0;  // where the failing request began
};

// The window. A job starts a step for each piece of its work, in order; at most `in_flight` of them
// run, and after a failure or a stop no more are started.
//   while (more && steps.go_on()) {
//     Task<void> step = copy(piece);
//     co_await steps.start(std::move(step));
//   }
//   const JobResult result = co_await steps.finish();
class JobSteps {
 public:
  JobSteps(JobControl control, uint64_t total);

  bool go_on();
  Task<void> start(Task<void> step);
  Task<JobResult> finish();
  // Bytes that need no more work.
  void advance(uint64_t bytes);
  // The first failure in the order of offsets is the one that is told.
  void fail(JobResult failure) noexcept;
  bool failed() const noexcept { return static_cast<bool>(result_.error); }

 private:
  Task<void> run(Task<void> step);
  void look_up();

  const JobControl control_;
  const uint64_t total_;
  uint64_t done_ = 0;
  JobResult result_;
  Semaphore places_;
  Scope scope_;
};

// Aligned memory that steps take and give back, so that a job touches a few buffers only.
class JobBuffers {
 public:
  JobBuffers(size_t size, size_t alignment) noexcept : size_(size), alignment_(alignment) {}
  size_t size() const noexcept { return size_; }

  class Loan {
   public:
    explicit Loan(JobBuffers& owner);
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ~Loan();
    explicit operator bool() const noexcept { return static_cast<bool>(buffer_); }
    std::byte* data() const noexcept { return buffer_.data(); }
    std::span<const std::byte> bytes(size_t offset, size_t length) const noexcept {
      return buffer_.bytes().subspan(offset, length);
    }
    IoVecs vectors(size_t offset, size_t length) const { return buffer_.vectors(offset, length); }

   private:
    JobBuffers& owner_;
    Buffer buffer_;
  };

 private:
  const size_t size_;
  const size_t alignment_;
  std::vector<Buffer> free_;
};

}  // namespace vireo::blk
