// The commands of 'image io' that move data.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "blockdev/create.h"
#include "tools/vireo/image/create_options.h"
#include "tools/vireo/image/format.h"
#include "tools/vireo/image/io_shell.h"

namespace vireo::cli {

namespace {

constexpr uint64_t kSector = 512;
constexpr std::byte kWritten{0xcd}, kUnread{0xab};
constexpr size_t kAlignment = 4096;

void say(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// A disk says EINVAL to what lies outside of it; users of images know that as EIO.
std::string failure(std::error_code error) {
  if (error == std::errc::invalid_argument) error = std::make_error_code(std::errc::io_error);
  return error.message();
}

void fill_from_file(const std::string& path, std::span<std::byte> to) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file || bytes.empty()) throw IoError(path + ": cannot be read, or is empty");
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<std::byte>(bytes[i % bytes.size()]);
}

// What contradicts itself.
void check(const IoRequest& request, const IoWords& words) {
  const bool source = !request.source.empty();
  if (request.write && int{request.zero} + int{request.pattern.has_value()} + int{source} > 1)
    throw IoError("Only one of -z, -P, and -s can be specified at the same time");
  if (request.compressed && request.zero)
    throw IoError("-c and -z cannot be specified at the same time");
  if (request.state && (request.zero || request.compressed))
    throw IoError(
        fmt::format("-b and -{} cannot be specified at the same time", request.zero ? 'z' : 'c'));
  if (request.no_data && !request.zero) throw IoError("-n requires -z to be specified");
  if (request.unmap && !request.zero) throw IoError("-u requires -z to be specified");
  if (request.asynchronous && request.zero && request.lengths.size() > 1)
    throw IoError("-z supports only a single length parameter");
  if (!request.write && !request.pattern && (words.has('s') || words.has('l')))
    throw IoError("-s and -l require -P to be specified");
  const uint64_t compared = request.pattern_length.value_or(0);
  if (!request.write && (request.pattern_offset > request.total() ||
                         compared > request.total() - request.pattern_offset))
    throw IoError("pattern verification range exceeds end of read data");
  if (!request.compressed) return;
  for (const uint64_t value : {request.offset, request.total()})
    if (value % kSector != 0)
      throw IoError(fmt::format("{} is not a sector-aligned value for '{}'", value,
                                value == request.offset ? "offset" : "count"));
}

// QEMU's disks have whole sectors: what a file lacks at its end reads as zeros.
IoVecs inside(IoVecs vectors, uint64_t offset, uint64_t size) {
  const uint64_t end = offset + total_length(vectors);
  if (end <= size || offset >= size || end > (size + kSector - 1) / kSector * kSector)
    return vectors;
  fill_zero(slice(vectors, size - offset, end - size));
  return slice(vectors, 0, size - offset);
}

}  // namespace

uint64_t IoRequest::total() const noexcept {
  uint64_t sum = 0;
  for (const uint64_t length : lengths) sum += length;
  return sum;
}

const char* IoRequest::name() const noexcept {
  if (asynchronous) return write ? "aio_write" : "aio_read";
  if (vectored) return write ? "writev" : "readv";
  return write ? "write" : "read";
}

bool IoShell::request(const IoWords& words, IoRequest request) {
  request.verbose = words.has('v');
  request.quiet = words.has('q');
  request.for_machines = words.has('C');
  request.zero = words.has('z');
  request.unmap = words.has('u');
  request.compressed = words.has('c');
  request.fua = words.has('f');
  request.state = words.has('b');
  request.no_data = words.has('n');
  if (words.has('P')) request.pattern = io_pattern(words.options.at('P'));
  if (words.has('s') && request.write) request.source = words.options.at('s');
  if (words.has('s') && !request.write) request.pattern_offset = io_length(words.options.at('s'));
  if (words.has('l')) request.pattern_length = io_length(words.options.at('l'));
  request.offset = io_number(words.rest.front());
  for (size_t i = 1; i < words.rest.size(); ++i)
    request.lengths.push_back(io_length(words.rest[i]));
  check(request, words);
  (void)io_length(std::to_string(request.total()));
  return perform(std::make_shared<IoRequest>(std::move(request)));
}

bool IoShell::perform(std::shared_ptr<IoRequest> request) {
  if (!request->asynchronous) return session_.run(carry_out(std::move(request)));
  later_.spawn(carry_out_later(std::move(request)));
  return true;
}

Task<void> IoShell::carry_out_later(std::shared_ptr<IoRequest> request) {
  [[maybe_unused]] const bool good = co_await carry_out(std::move(request));
}

Task<std::error_code> IoShell::transfer_zeros(const IoRequest& request) {
  blk::Disk& disk = image_->disk();
  if (request.no_data && !disk.limits().can_zero)
    co_return std::make_error_code(std::errc::operation_not_supported);
  const blk::ZeroFlags how{.may_unmap = request.unmap};
  const uint64_t length = request.total();
  std::error_code error = co_await disk.zero(request.offset, length, how);
  if (!error && request.fua) error = co_await disk.flush();
  co_return error;
}

Task<std::error_code> IoShell::transfer_state(const IoRequest& request, IoVecs vectors) {
  auto* const image = image_->find<blk::WithState>();
  if (image == nullptr) co_return std::make_error_code(std::errc::operation_not_supported);
  if (!request.write) co_return co_await image->read_state(request.offset, std::move(vectors));
  co_return co_await image->write_state(request.offset, std::move(vectors));
}

Task<std::error_code> IoShell::transfer(const IoRequest& request, blk::Buffer& buffer) {
  blk::Disk& disk = image_->disk();
  if (request.write && request.zero) co_return co_await transfer_zeros(request);
  IoVecs vectors;
  uint64_t at = 0;
  for (const uint64_t length : request.lengths) {
    vectors.push_back({buffer.data() + at, length});
    at += length;
  }
  if (request.state) co_return co_await transfer_state(request, std::move(vectors));
  if (!request.write) {
    vectors = inside(std::move(vectors), request.offset, disk.limits().size);
    co_return co_await disk.read(request.offset, std::move(vectors));
  }
  const blk::WriteFlags flags{.fua = request.fua, .compressed = request.compressed};
  co_return co_await disk.write(request.offset, std::move(vectors), flags);
}

Task<bool> IoShell::carry_out(std::shared_ptr<IoRequest> request) {
  const uint64_t total = request->total();
  blk::Buffer buffer{request->zero ? 1 : std::max<size_t>(total, 1), kAlignment};
  if (!buffer) {
    say(fmt::format("{} failed: Cannot allocate memory\n", request->name()));
    co_return false;
  }
  const std::byte fill = request->write ? request->pattern.value_or(kWritten) : kUnread;
  std::fill(buffer.bytes().begin(), buffer.bytes().end(), fill);
  if (!request->source.empty()) fill_from_file(request->source, buffer.bytes());
  const auto start = std::chrono::steady_clock::now();
  const std::error_code error = co_await transfer(*request, buffer);
  const auto time = std::chrono::steady_clock::now() - start;
  if (error) {
    say(fmt::format("{} failed: {}\n", request->name(), failure(error)));
    co_return false;
  }
  bool good = true;
  if (!request->write && request->pattern) {
    const uint64_t first = request->pattern_offset;
    const uint64_t length = request->pattern_length.value_or(total - first);
    const auto compared = buffer.bytes().subspan(first, length);
    good = std::all_of(compared.begin(), compared.end(),
                       [&](std::byte byte) { return byte == *request->pattern; });
    if (!good)
      say(fmt::format("Pattern verification failed at offset {}, {} bytes\n",
                      request->offset + first, length));
  }
  if (request->quiet) co_return good;
  if (request->verbose && !request->write)
    say(io_dump(buffer.bytes().first(total), request->offset));
  const IoDone done{request->write ? "wrote" : "read", request->offset, total, time};
  say(io_report(done, request->for_machines));
  co_return good;
}

bool IoShell::read(const IoWords& words) {
  return request(words, IoRequest{});
}

bool IoShell::readv(const IoWords& words) {
  return request(words, IoRequest{.vectored = true});
}

bool IoShell::write(const IoWords& words) {
  return request(words, IoRequest{.write = true});
}

bool IoShell::writev(const IoWords& words) {
  return request(words, IoRequest{.write = true, .vectored = true});
}

bool IoShell::aio_read(const IoWords& words) {
  return request(words, IoRequest{.asynchronous = true});
}

bool IoShell::aio_write(const IoWords& words) {
  return request(words, IoRequest{.write = true, .asynchronous = true});
}

// Nobody is left to resume what is stopped.
Task<void> IoShell::settle() {
  blk::Debugger* const debugger = image_ ? blk::debugger(image_->disk()) : nullptr;
  if (debugger != nullptr) debugger->go_on();
  co_await later_.join();
}

bool IoShell::aio_flush(const IoWords&) {
  session_.run(settle());
  return true;
}

bool IoShell::discard(const IoWords& words) {
  const uint64_t offset = io_number(words.rest[0]), length = io_length(words.rest[1]);
  const auto start = std::chrono::steady_clock::now();
  std::error_code error;
  if (how_.discards()) error = session_.run(image_->disk().discard(offset, length));
  const auto time = std::chrono::steady_clock::now() - start;
  if (error) {
    say(fmt::format("discard failed: {}\n", failure(error)));
    return false;
  }
  const IoDone done{"discard", offset, length, time};
  if (!words.has('q')) say(io_report(done, words.has('C')));
  return true;
}

bool IoShell::flush(const IoWords&) {
  session_.run(settle());
  image_->check(session_.run(image_->disk().flush()), "flush");
  return true;
}

bool IoShell::truncate(const IoWords& words) {
  session_.run(settle());
  const std::string how = words.has('m') ? words.options.at('m') : "off";
  const blk::Preallocation preallocation = blk::parse_preallocation("-m", how);
  const uint64_t before = image_->size(), size = io_number(words.rest.front());
  image_->check(session_.run(image_->disk().resize(size)), "resize");
  if (preallocation != blk::Preallocation::off && size > before)
    image_->check(session_.run(blk::preallocate(image_->disk().graph(), before, preallocation)),
                  "set space aside for");
  return true;
}

}  // namespace vireo::cli
