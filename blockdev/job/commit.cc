#include "blockdev/job/commit.h"

#include <algorithm>

namespace vireo::blk {

namespace {

constexpr uint64_t kSearch = uint64_t{1} << 32;  // of one look at the maps
constexpr uint64_t kChunk = uint64_t{1} << 20;
constexpr uint64_t kZeroAtOnce = uint64_t{64} << 20;

class Committer {
 public:
  Committer(Layers layers, Disk& base, JobControl control)
      : layers_(std::move(layers)),
        base_(base),
        size_(layers_.size()),
        steps_(std::move(control), size_),
        buffers_(kChunk, std::max(layers_.buffer_alignment(), base.limits().buffer_alignment)) {}
  Task<JobResult> run();

 private:
  Task<void> copy_all();
  Task<void> bring(uint64_t offset, LayerExtent extent);
  Task<JobResult> copy(uint64_t offset, LayerExtent extent);

  Layers layers_;
  Disk& base_;
  const uint64_t size_;
  JobSteps steps_;
  JobBuffers buffers_;
};

Task<JobResult> Committer::run() {
  JobResult result{.side = JobResult::Side::target};
  if (base_.limits().size < size_) result.error = co_await base_.resize(size_);
  if (result.error) co_return result;
  co_await copy_all();
  result = co_await steps_.finish();
  if (result.error) co_return result;
  const std::error_code error = co_await base_.flush();
  co_return JobResult{error, JobResult::Side::target, size_};
}

Task<void> Committer::copy_all() {
  for (uint64_t offset = 0; offset < size_ && steps_.go_on();) {
    LayerExtent extent = co_await layers_.find(offset, std::min(size_ - offset, kSearch));
    if (!extent.held) {
      steps_.advance(extent.length);
      offset += extent.length;
      continue;
    }
    extent.length = std::min(extent.length, extent.disk == nullptr ? kZeroAtOnce : kChunk);
    Task<void> step = bring(offset, extent);
    co_await steps_.start(std::move(step));
    offset += extent.length;
  }
}

Task<void> Committer::bring(uint64_t offset, LayerExtent extent) {
  JobResult result{.side = JobResult::Side::target, .offset = offset};
  if (extent.disk != nullptr) {
    result = co_await copy(offset, extent);
  } else {
    const ZeroFlags flags{.may_unmap = true};
    result.error = co_await base_.zero(offset, extent.length, flags);
  }
  if (result.error)
    steps_.fail(result);
  else
    steps_.advance(extent.length);
}

Task<JobResult> Committer::copy(uint64_t offset, LayerExtent extent) {
  JobResult result{.side = JobResult::Side::source, .offset = offset};
  const JobBuffers::Loan buffer(buffers_);
  if (!buffer) {
    result.error = std::make_error_code(std::errc::not_enough_memory);
    co_return result;
  }
  IoVecs into = buffer.vectors(0, extent.length);
  result.error = co_await extent.disk->read(offset, std::move(into));
  if (result.error) co_return result;
  result.side = JobResult::Side::target;
  IoVecs from = buffer.vectors(0, extent.length);
  result.error = co_await base_.write(offset, std::move(from));
  co_return result;
}

}  // namespace

Task<JobResult> commit(Layers layers, Disk& base, JobControl control) {
  Committer committer(std::move(layers), base, std::move(control));
  co_return co_await committer.run();
}

}  // namespace vireo::blk
