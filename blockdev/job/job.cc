#include "blockdev/job/job.h"

#include <algorithm>
#include <utility>

namespace vireo::blk {

JobSteps::JobSteps(JobControl control, uint64_t total)
    : control_(std::move(control)),
      total_(total),
      places_(std::max<size_t>(control_.in_flight, 1)) {}

void JobSteps::look_up() {
  const bool stop = control_.progress && !control_.progress(done_, total_);
  if (stop && !failed()) result_.error = std::make_error_code(std::errc::operation_canceled);
}

bool JobSteps::go_on() {
  look_up();
  return !failed();
}

Task<void> JobSteps::start(Task<void> step) {
  co_await places_.acquire();
  scope_.spawn(run(std::move(step)));
}

Task<void> JobSteps::run(Task<void> step) {
  co_await step;
  places_.release();
}

Task<JobResult> JobSteps::finish() {
  co_await scope_.join();
  co_return result_;
}

void JobSteps::advance(uint64_t bytes) {
  done_ += bytes;
  look_up();
}

void JobSteps::fail(JobResult failure) noexcept {
  if (!failed() || failure.offset < result_.offset) result_ = failure;
}

JobBuffers::Loan::Loan(JobBuffers& owner) : owner_(owner), buffer_(0, 0) {
  if (owner.free_.empty()) {
    buffer_ = Buffer(owner.size_, owner.alignment_);
  } else {
    buffer_ = std::move(owner.free_.back());
    owner.free_.pop_back();
  }
}

JobBuffers::Loan::~Loan() {
  if (buffer_) owner_.free_.push_back(std::move(buffer_));
}

}  // namespace vireo::blk
