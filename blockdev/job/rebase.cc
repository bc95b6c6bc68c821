#include "blockdev/job/rebase.h"

#include <algorithm>
#include <cstring>

#include "vmm/base/bytes.h"

namespace vireo::blk {

namespace {

constexpr uint64_t kSearch = uint64_t{1} << 32;  // of one look at the maps
constexpr uint64_t kChunk = uint64_t{1} << 20;

uint64_t down(uint64_t value, uint64_t unit) noexcept {
  return value - value % unit;
}
uint64_t up(uint64_t value, uint64_t unit) noexcept {
  return down(value + unit - 1, unit);
}

class Rebaser {
 public:
  Rebaser(Disk& overlay, RebaseOptions options, JobControl control)
      : overlay_(overlay),
        backing_(std::move(options.backing)),
        between_(std::move(options.between)),
        zero_hides_(overlay.limits().can_zero),
        size_(overlay.limits().size),
        granule_(overlay.limits().optimal_block),
        steps_(std::move(control), size_),
        buffers_(up(kChunk, granule_),
                 std::max(overlay.limits().buffer_alignment, backing_.buffer_alignment())) {}
  Task<JobResult> run();

 private:
  struct Run {
    uint64_t offset = 0;
    uint64_t length = 0;
    bool same = false;  // with either backing image
  };
  Task<Run> next_run(uint64_t offset);
  Task<Run> look_below(Run run, Extent shown);
  Task<void> compare(Run run);
  Task<JobResult> compare_bytes(Run run);
  Task<std::error_code> keep_differing(Run run, const JobBuffers::Loan& old,
                                       const JobBuffers::Loan& now);
  Task<std::error_code> keep(uint64_t offset, IoVecs from, bool zeros);

  Disk& overlay_;
  Source backing_;
  Layers between_;
  const bool zero_hides_;  // zeros can be held without data
  const uint64_t size_;
  const uint64_t granule_;
  JobSteps steps_;
  JobBuffers buffers_;
};

// The overlay holds nothing at the start of `run`, and shows `shown`.
Task<Rebaser::Run> Rebaser::look_below(Run run, Extent shown) {
  if (!between_.empty()) {
    const LayerExtent found = co_await between_.find(run.offset, run.length);
    run.length = std::min(run.length, found.length);
    run.same = !found.held;
  }
  if (!run.same && shown.zero) {
    const Extent next = co_await backing_.extent(run.offset, run.length);
    run.length = std::min(run.length, next.length);
    run.same = next.zero;
  }
  co_return run;
}

// A granule that the overlay holds nothing of at its start it holds nothing of at all.
Task<Rebaser::Run> Rebaser::next_run(uint64_t offset) {
  const uint64_t left = size_ - offset;
  const Extent shown = co_await overlay_.extent(offset, std::min(left, kSearch));
  Run run{.offset = offset, .length = shown.length, .same = shown.allocated};
  if (run.same) co_return run;
  run = co_await look_below(run, shown);
  if (run.same && run.length < left) run.length = down(run.length, granule_);
  run.same = run.same && run.length > 0;
  if (!run.same) {
    const uint64_t some = up(std::max<uint64_t>(run.length, 1), granule_);
    run.length = std::min({some, uint64_t{buffers_.size()}, left});
  }
  co_return run;
}

Task<JobResult> Rebaser::run() {
  for (uint64_t offset = 0; offset < size_ && steps_.go_on();) {
    const Run next = co_await next_run(offset);
    offset += next.length;
    if (next.same) {
      steps_.advance(next.length);
      continue;
    }
    Task<void> step = compare(next);
    co_await steps_.start(std::move(step));
  }
  const JobResult result = co_await steps_.finish();
  if (result.error) co_return result;
  const std::error_code error = co_await overlay_.flush();
  co_return JobResult{error, JobResult::Side::target, size_};
}

Task<void> Rebaser::compare(Run run) {
  const JobResult result = co_await compare_bytes(run);
  if (result.error)
    steps_.fail(result);
  else
    steps_.advance(run.length);
}

Task<JobResult> Rebaser::compare_bytes(Run run) {
  using Side = JobResult::Side;
  const JobBuffers::Loan old(buffers_), now(buffers_);
  if (!old || !now)
    co_return JobResult{std::make_error_code(std::errc::not_enough_memory), Side::source,
                        run.offset};
  IoVecs into = old.vectors(0, run.length);
  std::error_code error = co_await overlay_.read(run.offset, std::move(into));
  if (error) co_return JobResult{error, Side::target, run.offset};
  into = now.vectors(0, run.length);
  error = co_await backing_.read(run.offset, std::move(into));
  if (error) co_return JobResult{error, Side::source, run.offset};
  error = co_await keep_differing(run, old, now);
  co_return JobResult{error, Side::target, run.offset};
}

Task<std::error_code> Rebaser::keep_differing(Run run, const JobBuffers::Loan& old,
                                              const JobBuffers::Loan& now) {
  enum class Fate : uint8_t { leave, zeros, data };
  const auto fate = [&](uint64_t at) {
    const uint64_t some = std::min(granule_, run.length - at);
    if (std::memcmp(old.data() + at, now.data() + at, some) == 0) return Fate::leave;
    return vireo::all_zero(old.bytes(at, some)) ? Fate::zeros : Fate::data;
  };
  std::error_code error;
  for (uint64_t done = 0; done < run.length && !error;) {
    const Fate first = fate(done);
    uint64_t end = std::min(done + granule_, run.length);
    while (end < run.length && fate(end) == first) end = std::min(end + granule_, run.length);
    IoVecs from = old.vectors(done, end - done);
    if (first != Fate::leave)
      error = co_await keep(run.offset + done, std::move(from), first == Fate::zeros);
    done = end;
  }
  co_return error;
}

Task<std::error_code> Rebaser::keep(uint64_t offset, IoVecs from, bool zeros) {
  if (!zeros || !zero_hides_) co_return co_await overlay_.write(offset, std::move(from));
  const uint64_t length = total_length(from);
  const ZeroFlags flags{.hold = true};
  co_return co_await overlay_.zero(offset, length, flags);
}

}  // namespace

Task<JobResult> rebase(Disk& overlay, RebaseOptions options, JobControl control) {
  Rebaser rebaser(overlay, std::move(options), std::move(control));
  co_return co_await rebaser.run();
}

}  // namespace vireo::blk
