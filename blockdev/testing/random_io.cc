#include "blockdev/testing/random_io.h"

#include <algorithm>
#include <cstring>

#include <catch2/catch.hpp>
#include <fmt/core.h>

namespace vireo::blk::testing {

namespace {

using Bytes = std::vector<std::byte>;

std::ptrdiff_t at(uint64_t offset) {
  return static_cast<std::ptrdiff_t>(offset);
}

Task<void> join(Scope& scope) {
  co_await scope.join();
}

}  // namespace

void Model::resize(uint64_t size) {
  value_.resize(size);
  other_.resize(size);
  wild_.resize(size);
}

void Model::set(uint64_t offset, const Bytes& bytes) {
  std::copy(bytes.begin(), bytes.end(), value_.begin() + at(offset));
  std::copy(bytes.begin(), bytes.end(), other_.begin() + at(offset));
  std::fill_n(wild_.begin() + at(offset), bytes.size(), std::byte{0});
}

void Model::maybe_set(uint64_t offset, const Bytes& bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const size_t place = offset + i;
    if (value_[place] != other_[place] && !may_be(place, bytes[i])) wild_[place] = std::byte{1};
    if (value_[place] == other_[place]) other_[place] = bytes[i];
  }
}

bool Model::may_be(uint64_t place, std::byte value) const noexcept {
  return wild_[place] != std::byte{0} || value == value_[place] || value == other_[place];
}

// The frequent case, without a look at each byte.
bool Model::is_certainly(uint64_t offset, const Bytes& bytes) const noexcept {
  const size_t n = bytes.size();
  return n == 0 || (std::memcmp(&value_[offset], bytes.data(), n) == 0 &&
                    std::memcmp(&other_[offset], bytes.data(), n) == 0 &&
                    std::memchr(&wild_[offset], 1, n) == nullptr);
}

bool Model::may_be(uint64_t offset, const Bytes& bytes) const noexcept {
  if (is_certainly(offset, bytes)) return true;
  for (size_t i = 0; i < bytes.size(); ++i)
    if (!may_be(offset + i, bytes[i])) return false;
  return true;
}

std::optional<uint64_t> Model::settle(uint64_t offset, const Bytes& read) {
  if (is_certainly(offset, read)) return std::nullopt;
  for (size_t i = 0; i < read.size(); ++i) {
    const size_t place = offset + i;
    if (!may_be(place, read[i])) return place;
    value_[place] = other_[place] = read[i];
    wild_[place] = std::byte{0};
  }
  return std::nullopt;
}

struct RandomIo::Request {
  Kind kind;
  uint64_t offset;
  uint64_t length;
  uint32_t seed = 0;  // of the pattern written
  bool fua = false;
  bool may_unmap = false;
  Buffer buffer;
  std::error_code error{};
  Extent extent{};

  Bytes content() const { return kind == Kind::write ? pattern(length, seed) : zeros(length); }
};

RandomIo::RandomIo(TestHost& host, std::unique_ptr<Disk> disk, RandomIoOptions options)
    : host_(host),
      disk_(std::move(disk)),
      options_(options),
      first_size_(disk_->limits().size),
      model_(first_size_),
      random_(options.seed) {
  if (options_.resize) add_step(10, "resize", [](RandomIo& self) { self.change_size(); });
}

RandomIo::~RandomIo() {
  if (disk_) (void)host_.wait(disk_->close());
}

uint64_t RandomIo::random(uint64_t below) {
  return random_() % below;
}

void RandomIo::add_step(unsigned per_mille, std::string name, Step step) {
  steps_.push_back({per_mille, std::move(name), std::move(step)});
}

void RandomIo::on_reopen(Reopen reopen) {
  add_step(5, "reopen", [reopen = std::move(reopen)](RandomIo& self) {
    self.disk_ = reopen(std::move(self.disk_));
    REQUIRE(self.disk_->limits().size == self.model_.size());
  });
}

void RandomIo::run() {
  for (round_ = 1; round_ <= options_.rounds; ++round_) {
    round();
    extra_steps();
    if (round_ % options_.check_every == 0) compare_all();
  }
  compare_all();
}

void RandomIo::extra_steps() {
  for (const ExtraStep& step : steps_) {
    if (random(1000) >= step.per_mille) continue;
    note(0, model_.size(), step.name);
    step.step(*this);
  }
}

void RandomIo::round() {
  std::vector<Request> requests = make_requests();
  Scope scope;
  for (Request& request : requests) scope.spawn(perform(request));
  host_.wait(join(scope));
  for (Request& request : requests) settle(request);
}

// Ranges of their own: the disk is cut at random places near each other, so that neighbours meet
// inside blocks and clusters.
std::vector<RandomIo::Request> RandomIo::make_requests() {
  const uint64_t size = model_.size();
  const size_t count = 1 + random(options_.most_at_once);
  const uint64_t start = random(size);
  std::vector<uint64_t> cuts;
  for (size_t i = 0; i <= count; ++i)
    cuts.push_back(std::min(size, start + random(count * options_.most_bytes / 2)));
  std::sort(cuts.begin(), cuts.end());
  const uint64_t unit = random(2) == 0 ? 1 : uint64_t{512} << random(8);
  for (uint64_t& cut : cuts) cut = cut / unit * unit;
  std::vector<Request> requests;
  for (size_t i = 0; i < count; ++i)
    requests.push_back(make_request(cuts[i], std::min(cuts[i + 1], cuts[i] + options_.most_bytes)));
  std::shuffle(requests.begin(), requests.end(), random_);
  return requests;
}

RandomIo::Request RandomIo::make_request(uint64_t begin, uint64_t end) {
  constexpr Kind kKinds[] = {Kind::write, Kind::write,   Kind::write, Kind::read,  Kind::read,
                             Kind::zero,  Kind::discard, Kind::flush, Kind::extent};
  Request request{.kind = kKinds[random(std::size(kKinds))],
                  .offset = begin,
                  .length = end - begin,
                  .seed = static_cast<uint32_t>(random(1u << 30)),
                  .fua = random(8) == 0,
                  .may_unmap = random(2) == 0,
                  .buffer = Buffer{std::max<size_t>(end - begin, 1), 4096}};
  if (request.kind == Kind::write) {
    const Bytes bytes = request.content();
    std::copy(bytes.begin(), bytes.end(), request.buffer.data());
  }
  return request;
}

Task<void> RandomIo::perform(Request& request) {
  IoVecs vectors = request.buffer.vectors(0, request.length);
  switch (request.kind) {
    case Kind::read:
      request.error = co_await disk_->read(request.offset, std::move(vectors));
      break;
    case Kind::write: {
      const WriteFlags flags{.fua = request.fua};
      request.error = co_await disk_->write(request.offset, std::move(vectors), flags);
      break;
    }
    case Kind::zero: {
      const ZeroFlags flags{.may_unmap = request.may_unmap};
      request.error = co_await disk_->zero(request.offset, request.length, flags);
      break;
    }
    case Kind::discard:
      request.error = co_await disk_->discard(request.offset, request.length);
      break;
    case Kind::flush:
      request.error = co_await disk_->flush();
      break;
    case Kind::extent:
      request.extent = co_await disk_->extent(request.offset, request.length);
      break;
  }
}

void RandomIo::settle(const Request& request) {
  static constexpr const char* kNames[] = {"read", "write", "zero", "discard", "flush", "extent"};
  note(request.offset, request.length,
       fmt::format("{}: {}", kNames[static_cast<size_t>(request.kind)],
                   request.error ? request.error.message() : "ok"));
  if (request.error && !options_.may_fail) fail(request.offset, request.error.message());
  const std::byte* bytes = request.buffer.data();
  if (request.kind == Kind::extent)
    settle_extent(request);
  else if (request.kind == Kind::read && !request.error)
    compare(request.offset, Bytes(bytes, bytes + request.length));
  else if (request.kind != Kind::read && request.kind != Kind::flush)
    settle_change(request);
}

void RandomIo::settle_change(const Request& request) {
  const Bytes content = request.content();
  if (!request.error && request.kind != Kind::discard) return model_.set(request.offset, content);
  model_.maybe_set(request.offset, content);
  read_back(request.offset, request.length);
}

void RandomIo::settle_extent(const Request& request) {
  const Extent& found = request.extent;
  if (request.length == 0) return;
  if (found.length == 0 || found.length > request.length)
    fail(request.offset, fmt::format("an extent of {} bytes", found.length));
  if (found.zero && !model_.may_be(request.offset, zeros(found.length)))
    fail(request.offset, fmt::format("an extent calls {} bytes zeros", found.length));
}

void RandomIo::read_back(uint64_t offset, uint64_t length) {
  const Buffer buffer{std::max<size_t>(length, 1), 4096};
  const std::error_code error = host_.wait(disk_->read(offset, buffer.vectors(0, length)));
  if (!error) return compare(offset, Bytes(buffer.data(), buffer.data() + length));
  if (!options_.may_fail) fail(offset, error.message());
}

void RandomIo::compare_all() {
  constexpr uint64_t kPiece = 1024 * 1024;
  for (uint64_t offset = 0; offset < model_.size(); offset += kPiece)
    read_back(offset, std::min(kPiece, model_.size() - offset));
}

void RandomIo::compare(uint64_t offset, const Bytes& read) {
  if (const std::optional<uint64_t> place = model_.settle(offset, read))
    fail(*place, fmt::format("reads as {:#04x}", static_cast<int>(read[*place - offset])));
}

void RandomIo::change_size() {
  const uint64_t least = first_size_ / 2;
  const uint64_t size = (least + random(first_size_ * 2 - least)) / 512 * 512;
  const std::error_code error = host_.wait(disk_->resize(size));
  if (error && !options_.may_fail) fail(0, "resize: " + error.message());
  note(0, std::max(size, model_.size()), fmt::format("resize to {}: {}", size, error.message()));
  model_.resize(disk_->limits().size);
}

void RandomIo::note(uint64_t offset, uint64_t length, const std::string& what) {
  events_.push_back({offset, length, fmt::format("round {} {}", round_, what)});
}

void RandomIo::fail(uint64_t offset, const std::string& what) {
  constexpr size_t kMostTold = 30;
  std::string story;
  size_t told = 0;
  for (auto event = events_.rbegin(); event != events_.rend() && told < kMostTold; ++event) {
    if (offset < event->offset || offset - event->offset >= event->length) continue;
    story = fmt::format("  {} {}+{}\n", event->text, event->offset, event->length) + story;
    ++told;
  }
  FAIL(fmt::format("seed {}, round {}, byte {}: {}\n{}", options_.seed, round_, offset, what,
                   story));
  std::abort();  // FAIL throws
}

}  // namespace vireo::blk::testing
