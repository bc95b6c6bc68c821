#include "blockdev/job/compare.h"

#include <algorithm>
#include <cstring>

namespace vireo::blk {

namespace {

constexpr uint64_t kSearch = uint64_t{1} << 32;  // of one look at the maps
constexpr uint64_t kChunk = uint64_t{1} << 20;

using Verdict = Comparison::Verdict;

class Comparer {
 public:
  Comparer(Source first, Source second, bool strict, JobControl control)
      : first_(std::move(first)),
        second_(std::move(second)),
        strict_(strict),
        size_(std::max(first_.size(), second_.size())),
        steps_(std::move(control), size_),
        buffers_(kChunk, std::max(first_.buffer_alignment(), second_.buffer_alignment())) {}
  Task<Comparison> run();

 private:
  struct Both {
    uint64_t offset = 0, length = 0;
    bool first_zero = false, second_zero = false;
  };
  Task<Both> next(uint64_t offset);
  Task<void> check(Both both);
  Task<JobResult> read(const Both& both, const JobBuffers::Loan& one, const JobBuffers::Loan& two);
  void differ(Verdict verdict, uint64_t offset) noexcept;

  Source first_, second_;
  const bool strict_;
  const uint64_t size_;
  JobSteps steps_;
  JobBuffers buffers_;
  Comparison result_;
};

void Comparer::differ(Verdict verdict, uint64_t offset) noexcept {
  if (result_.verdict != Verdict::same && result_.offset <= offset) return;
  result_.verdict = verdict;
  result_.offset = offset;
}

Task<Comparer::Both> Comparer::next(uint64_t offset) {
  uint64_t length = std::min(size_ - offset, kSearch);
  const Extent one = co_await first_.extent(offset, length);
  length = std::min(length, one.length);
  const Extent two = co_await second_.extent(offset, length);
  length = std::min(length, two.length);
  const bool held_alike = (one.allocated || one.data) == (two.allocated || two.data);
  if (strict_ && (one.zero != two.zero || !held_alike)) differ(Verdict::allocation_differs, offset);
  if (!one.zero || !two.zero) length = std::min(length, kChunk);
  co_return Both{offset, length, one.zero, two.zero};
}

Task<Comparison> Comparer::run() {
  for (uint64_t offset = 0; offset < size_ && steps_.go_on();) {
    const Both both = co_await next(offset);
    if (result_.verdict != Verdict::same) break;
    offset += both.length;
    if (both.first_zero && both.second_zero) {
      steps_.advance(both.length);
      continue;
    }
    Task<void> step = check(both);
    co_await steps_.start(std::move(step));
  }
  result_.failure = co_await steps_.finish();
  co_return result_;
}

Task<JobResult> Comparer::read(const Both& both, const JobBuffers::Loan& one,
                               const JobBuffers::Loan& two) {
  IoVecs into = one.vectors(0, both.length);
  if (both.first_zero) fill_zero(into);
  std::error_code error;
  if (!both.first_zero) error = co_await first_.read(both.offset, std::move(into));
  if (error) co_return JobResult{error, JobResult::Side::source, both.offset};
  into = two.vectors(0, both.length);
  if (both.second_zero) fill_zero(into);
  if (!both.second_zero) error = co_await second_.read(both.offset, std::move(into));
  co_return JobResult{error, JobResult::Side::target, both.offset};
}

Task<void> Comparer::check(Both both) {
  const JobBuffers::Loan one(buffers_), two(buffers_);
  JobResult result{std::make_error_code(std::errc::not_enough_memory), JobResult::Side::source,
                   both.offset};
  if (one && two) result = co_await read(both, one, two);
  if (result.error) {
    steps_.fail(result);
    co_return;
  }
  if (std::memcmp(one.data(), two.data(), both.length) != 0) {
    uint64_t at = 0;
    while (one.data()[at] == two.data()[at]) ++at;
    differ(Verdict::content_differs, both.offset + at / Source::kSector * Source::kSector);
  }
  steps_.advance(both.length);
}

}  // namespace

Task<Comparison> compare(Source first, Source second, bool strict, JobControl control) {
  Comparer comparer(std::move(first), std::move(second), strict, std::move(control));
  co_return co_await comparer.run();
}

}  // namespace vireo::blk
