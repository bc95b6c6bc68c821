#include "blockdev/job/convert.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "vmm/base/bytes.h"

namespace vireo::blk {

namespace {

constexpr uint64_t kSearch = uint64_t{1} << 32;       // of one look at the map
constexpr uint64_t kZeroAtOnce = uint64_t{64} << 20;  // between two looks at the stop flag
constexpr uint64_t kSmallestSparse = 4096;

uint64_t down(uint64_t value, uint64_t unit) noexcept {
  return value - value % unit;
}
uint64_t up(uint64_t value, uint64_t unit) noexcept {
  return down(value + unit - 1, unit);
}

enum class What : uint8_t { data, zeros, nothing };

struct Piece {
  uint64_t offset = 0;
  uint64_t length = 0;
  What what = What::data;
  // The one before has begun to write (one_by_one: has written); this one has.
  std::shared_ptr<Event> before{};
  std::shared_ptr<Event> begun{};
};

// What pieces and runs of zeros are multiples of: of what the target allocates or compresses.
uint64_t unit_of(const Disk& target, const ConvertOptions& options) noexcept {
  if (options.compressed != 0) return options.compressed;
  const Limits& limits = target.limits();
  const uint64_t least = std::max<uint64_t>({kSmallestSparse, limits.optimal_block, limits.block});
  return std::max(least, std::min(up(options.sparse, least), kConvertChunk));
}

class Converter {
 public:
  Converter(Source source, Disk& target, ConvertOptions options, JobControl control)
      : source_(std::move(source)),
        target_(target),
        options_(options),
        unit_(unit_of(target, options)),
        steps_(std::move(control), source_.size()),
        buffers_(up(kConvertChunk, unit_),
                 std::max(source_.buffer_alignment(), target.limits().buffer_alignment)) {}
  Task<JobResult> run();

 private:
  Task<Piece> next_piece(uint64_t offset);
  What meaning(const Extent& extent) const noexcept;
  Task<void> perform(Piece piece);
  Task<void> copy(Piece piece);
  Task<std::error_code> read(const Piece& piece, const JobBuffers::Loan& buffer);
  Task<void> salvage(const Piece& piece, const JobBuffers::Loan& buffer);
  Task<void> write_and_tell(const Piece& piece, const JobBuffers::Loan& buffer,
                            std::shared_ptr<Event> written);
  Task<std::error_code> write_pieces(const Piece& piece, const JobBuffers::Loan& buffer);
  Task<std::error_code> write(uint64_t offset, IoVecs from, bool zeros);
  Task<std::error_code> zero(uint64_t offset, uint64_t length);
  uint64_t run_length(std::span<const std::byte> bytes, bool zeros) const noexcept;

  Source source_;
  Disk& target_;
  const ConvertOptions options_;
  const uint64_t unit_;
  JobSteps steps_;
  JobBuffers buffers_;
  Scope writes_;
};

What Converter::meaning(const Extent& extent) const noexcept {
  if (options_.only_allocated && !extent.allocated) return What::nothing;
  if (!extent.zero || options_.sparse == 0) return What::data;
  return options_.target_is_zero ? What::nothing : What::zeros;
}

// What is less than a unit is copied with the rest of its unit.
Task<Piece> Converter::next_piece(uint64_t offset) {
  const uint64_t left = source_.size() - offset;
  const Extent extent = co_await source_.extent(offset, std::min(left, kSearch));
  Piece piece{.offset = offset, .length = extent.length, .what = meaning(extent)};
  if (piece.what != What::data && piece.length < left) piece.length = down(piece.length, unit_);
  if (piece.length == 0) piece.what = What::data;
  if (piece.what == What::zeros) piece.length = std::min(piece.length, kZeroAtOnce);
  if (piece.what == What::data) {
    const uint64_t chunk_end = down(offset, buffers_.size()) + buffers_.size();
    const uint64_t end = up(offset + std::max<uint64_t>(piece.length, 1), unit_);
    piece.length = std::min(std::min(end, chunk_end) - offset, left);
  }
  co_return piece;
}

Task<JobResult> Converter::run() {
  if (target_.limits().size < source_.size())
    co_return JobResult{std::make_error_code(std::errc::no_space_on_device),
                        JobResult::Side::target, target_.limits().size};
  auto begun = std::make_shared<Event>();
  begun->set();
  for (uint64_t offset = 0; offset < source_.size() && steps_.go_on();) {
    Piece piece = co_await next_piece(offset);
    offset += piece.length;
    if (piece.what == What::nothing) {
      steps_.advance(piece.length);
      continue;
    }
    piece.before = std::exchange(begun, std::make_shared<Event>());
    piece.begun = begun;
    Task<void> step = perform(std::move(piece));
    co_await steps_.start(std::move(step));
  }
  const JobResult result = co_await steps_.finish();
  co_await writes_.join();
  co_return result;
}

Task<void> Converter::perform(Piece piece) {
  if (piece.what == What::zeros) {
    if (options_.one_by_one) co_await piece.before->wait();
    const std::error_code error = co_await zero(piece.offset, piece.length);
    if (error) steps_.fail({error, JobResult::Side::target, piece.offset});
  } else {
    co_await copy(piece);
  }
  piece.begun->set();
  if (!steps_.failed()) steps_.advance(piece.length);
}

Task<void> Converter::copy(Piece piece) {
  const JobBuffers::Loan buffer(buffers_);
  std::error_code error = std::make_error_code(std::errc::not_enough_memory);
  if (buffer) error = co_await read(piece, buffer);
  if (error) steps_.fail({error, JobResult::Side::source, piece.offset});
  if (!options_.any_order) co_await piece.before->wait();
  if (steps_.failed()) co_return;
  const auto written = std::make_shared<Event>();
  writes_.spawn(write_and_tell(piece, buffer, written));
  if (!options_.one_by_one) piece.begun->set();
  co_await written->wait();
}

Task<std::error_code> Converter::read(const Piece& piece, const JobBuffers::Loan& buffer) {
  IoVecs into = buffer.vectors(0, piece.length);
  const std::error_code error = co_await source_.read(piece.offset, std::move(into));
  if (!error || !options_.salvage) co_return error;
  co_await salvage(piece, buffer);
  co_return std::error_code{};
}

Task<void> Converter::salvage(const Piece& piece, const JobBuffers::Loan& buffer) {
  for (uint64_t at = 0; at < piece.length && !steps_.failed(); at += Source::kSector) {
    IoVecs into = buffer.vectors(at, std::min(Source::kSector, piece.length - at));
    const std::error_code error = co_await source_.read(piece.offset + at, into);
    if (!error) continue;
    fill_zero(into);
    options_.salvage(piece.offset + at, error);
  }
}

Task<void> Converter::write_and_tell(const Piece& piece, const JobBuffers::Loan& buffer,
                                     std::shared_ptr<Event> written) {
  const std::error_code error = co_await write_pieces(piece, buffer);
  if (error) steps_.fail({error, JobResult::Side::target, piece.offset});
  written->set();
}

// How many of the bytes, in whole units, are zeros, or hold something else.
uint64_t Converter::run_length(std::span<const std::byte> bytes, bool zeros) const noexcept {
  uint64_t length = 0;
  while (length < bytes.size()) {
    const uint64_t some = std::min<uint64_t>(unit_, bytes.size() - length);
    if (vireo::all_zero(bytes.subspan(length, some)) != zeros) break;
    length += some;
  }
  return length;
}

Task<std::error_code> Converter::write_pieces(const Piece& piece, const JobBuffers::Loan& buffer) {
  std::error_code error;
  for (uint64_t done = 0; done < piece.length && !error;) {
    const std::span<const std::byte> rest = buffer.bytes(done, piece.length - done);
    const bool look = options_.sparse != 0 && options_.find_zeros;
    uint64_t some = look ? run_length(rest, true) : 0;
    const bool zeros = some > 0;
    if (!zeros) some = look ? run_length(rest, false) : rest.size();
    IoVecs from = buffer.vectors(done, some);
    error = co_await write(piece.offset + done, std::move(from), zeros);
    done += some;
  }
  co_return error;
}

Task<std::error_code> Converter::write(uint64_t offset, IoVecs from, bool zeros) {
  if (zeros) co_return co_await zero(offset, total_length(from));
  const WriteFlags flags{.compressed = options_.compressed != 0};
  co_return co_await target_.write(offset, std::move(from), flags);
}

Task<std::error_code> Converter::zero(uint64_t offset, uint64_t length) {
  if (options_.target_is_zero) co_return std::error_code{};
  const ZeroFlags flags{.may_unmap = true};
  co_return co_await target_.zero(offset, length, flags);
}

}  // namespace

Task<JobResult> convert(Source source, Disk& target, ConvertOptions options, JobControl control) {
  Converter converter(std::move(source), target, options, std::move(control));
  co_return co_await converter.run();
}

}  // namespace vireo::blk
