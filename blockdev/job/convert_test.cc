// Converting: what is copied and what is left out, failures and stops at every step.
#include "blockdev/job/convert.h"

#include <set>

#include <catch2/catch.hpp>

#include "blockdev/protocol/memory.h"
#include "blockdev/testing/image_store.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

constexpr uint64_t kMiB = 1024 * 1024;
using Bytes = std::vector<std::byte>;

// Data with holes and zeros of several sizes in it.
Bytes mixed(uint64_t size) {
  Bytes bytes = pattern(size, 5);
  const auto clear = [&](uint64_t offset, uint64_t length) {
    if (offset >= size) return;
    const auto from = bytes.begin() + static_cast<ptrdiff_t>(offset);
    std::fill_n(from, std::min(length, size - offset), std::byte{0});
  };
  clear(0, 4096);
  clear(20'000, 70'000);
  clear(kMiB - 4096, 8192);
  clear(2 * kMiB, kMiB);
  return bytes;
}

std::unique_ptr<Disk> memory_disk(TestHost& host, const Bytes& bytes) {
  auto disk = std::make_unique<Disk>("memory", std::make_unique<MemoryNode>(bytes.size()));
  REQUIRE_FALSE(write_bytes(host, *disk, 0, bytes));
  return disk;
}

struct Lab {
  TestHost host;
  std::vector<std::unique_ptr<Disk>> disks;

  Disk& add(const Bytes& bytes) { return *disks.emplace_back(memory_disk(host, bytes)); }
  ~Lab() {
    for (auto& disk : disks) CHECK_FALSE(host.wait(disk->close()));
  }
  JobResult convert_to(Disk& target, Source source, ConvertOptions options = {},
                       JobControl control = {}) {
    return host.wait(convert(std::move(source), target, options, std::move(control)));
  }
};

}  // namespace

TEST_CASE("a convert copies all that is not zeros, and reports how far it is") {
  Lab lab;
  const Bytes bytes = mixed(5 * kMiB + 512);
  Disk& source = lab.add(bytes);
  Disk& target = lab.add(zeros(bytes.size()));
  const uint64_t written = target.counters().bytes_written;
  uint64_t last = 0;
  JobControl control{.progress = [&](uint64_t done, uint64_t total) {
    CHECK(done >= last);
    CHECK(total == bytes.size());
    last = done;
    return true;
  }};
  const JobResult result =
      lab.convert_to(target, Source(source), {.target_is_zero = true}, std::move(control));
  REQUIRE_FALSE(result.error);
  CHECK(last == bytes.size());
  CHECK(read_bytes(lab.host, target, 0, bytes.size()) == bytes);
  CHECK(target.counters().bytes_written - written < bytes.size() - kMiB);
  CHECK(target.counters().zeroes == 0);
}

TEST_CASE("a convert makes zeros where the target holds something else") {
  Lab lab;
  const Bytes bytes = mixed(4 * kMiB);
  Disk& source = lab.add(bytes);
  Disk& target = lab.add(pattern(5 * kMiB, 9));
  REQUIRE_FALSE(lab.convert_to(target, Source(source)).error);
  CHECK(read_bytes(lab.host, target, 0, bytes.size()) == bytes);
  const Bytes rest = pattern(5 * kMiB, 9);
  CHECK(read_bytes(lab.host, target, bytes.size(), kMiB) ==
        Bytes(rest.begin() + static_cast<ptrdiff_t>(bytes.size()), rest.end()));
}

TEST_CASE("without sparseness a convert writes every byte") {
  Lab lab;
  const Bytes bytes = mixed(3 * kMiB);
  Disk& source = lab.add(bytes);
  Disk& target = lab.add(zeros(bytes.size()));
  const uint64_t written = target.counters().bytes_written;
  const ConvertOptions options{.sparse = 0, .target_is_zero = true};
  REQUIRE_FALSE(lab.convert_to(target, Source(source), options).error);
  CHECK(target.counters().bytes_written - written == bytes.size());
  CHECK(read_bytes(lab.host, target, 0, bytes.size()) == bytes);
}

TEST_CASE("zeros shorter than the sparse size are written") {
  Lab lab;
  Bytes bytes = pattern(kMiB, 3);
  std::fill_n(bytes.begin() + 8192, 4096, std::byte{0});
  Disk& source = lab.add(bytes);
  const auto [sparse, saved] = GENERATE(table<uint64_t, uint64_t>({{4096, 4096}, {65536, 0}}));
  Disk& target = lab.add(zeros(bytes.size()));
  const uint64_t written = target.counters().bytes_written;
  const ConvertOptions options{.sparse = sparse, .target_is_zero = true};
  REQUIRE_FALSE(lab.convert_to(target, Source(source), options).error);
  CHECK(bytes.size() - (target.counters().bytes_written - written) == saved);
  CHECK(read_bytes(lab.host, target, 0, bytes.size()) == bytes);
}

TEST_CASE("several disks become one, each rounded up to sectors") {
  Lab lab;
  const Bytes one = pattern(kMiB + 100, 1), two = pattern(700, 2), three = mixed(2 * kMiB);
  Source source(lab.add(one));
  source.add(lab.add(two));
  source.add(lab.add(three));
  Bytes all;
  for (const Bytes* bytes : {&one, &two, &three}) {
    all.insert(all.end(), bytes->begin(), bytes->end());
    all.resize((all.size() + 511) / 512 * 512);
  }
  REQUIRE(source.size() == all.size());
  Disk& target = lab.add(zeros(all.size()));
  REQUIRE_FALSE(lab.convert_to(target, source, {.target_is_zero = true}).error);
  CHECK(read_bytes(lab.host, target, 0, all.size()) == all);
}

TEST_CASE("a part of a disk, beyond whose end there are zeros") {
  Lab lab;
  const Bytes bytes = mixed(2 * kMiB);
  Disk& disk = lab.add(bytes);
  Disk& target = lab.add(pattern(kMiB, 8));
  REQUIRE_FALSE(lab.convert_to(target, Source(disk, kMiB + 5000, kMiB)).error);
  Bytes expected(bytes.begin() + static_cast<ptrdiff_t>(kMiB) + 5000, bytes.end());
  expected.resize(kMiB);
  CHECK(read_bytes(lab.host, target, 0, kMiB) == expected);
}

TEST_CASE("a target that is too small is refused before anything is written") {
  Lab lab;
  Disk& source = lab.add(pattern(2 * kMiB, 1));
  const Bytes before = pattern(kMiB, 2);
  Disk& target = lab.add(before);
  const JobResult result = lab.convert_to(target, Source(source));
  CHECK(result.error == std::errc::no_space_on_device);
  CHECK(result.side == JobResult::Side::target);
  CHECK(read_bytes(lab.host, target, 0, kMiB) == before);
}

namespace {

struct Images {
  ImageStore store;
  Bytes bytes;

  explicit Images(uint64_t size = 3 * kMiB) : bytes(mixed(size)) {
    store.qcow2("base.qcow2", {.size = size, .cluster_size = 4096});
    store.qcow2("source.qcow2", {.size = size, .backing_file = "base.qcow2"});
    auto base = store.open("base.qcow2"), top = store.open("source.qcow2");
    const auto half = bytes.begin() + static_cast<ptrdiff_t>(size / 2);
    REQUIRE_FALSE(store.write(*base, 0, {bytes.begin(), half}));
    REQUIRE_FALSE(store.write(*top, size / 2, {half, bytes.end()}));
    store.close(std::move(base));
    store.close(std::move(top));
  }
  JobResult convert_to(const std::string& name, ConvertOptions options = {},
                       JobControl control = {}) {
    auto source = store.open_read_only("source.qcow2"), target = store.open(name);
    const JobResult result =
        store.run(convert(Source(*source), *target, options, std::move(control)));
    CHECK(source->in_flight() + target->in_flight() == 0);
    [[maybe_unused]] const std::error_code ignored = store.run(target->close());
    store.close(std::move(source));
    return result;
  }
};

}  // namespace

TEST_CASE("chains of qcow2 become one image of any kind") {
  Images images;
  const auto seed = GENERATE(0u, 1u, 2u);
  if (seed > 0) images.store.shuffle(seed);
  Qcow2CreateOptions create{.size = images.bytes.size()};
  ConvertOptions options{.target_is_zero = true};
  SECTION("small clusters") {
    create.cluster_size = 512;
  }
  SECTION("subclusters") {
    create.extended_l2 = true;
  }
  SECTION("version 2") {
    create.version = 2;
  }
  SECTION("compressed") {
    options.compressed = create.cluster_size;
  }
  SECTION("compressed with zstd, large clusters") {
    create.compression = qcow2::Compression::zstd;
    options.compressed = create.cluster_size = 2 * kMiB;
  }
  SECTION("compressed with subclusters") {
    create.extended_l2 = true;
    options.compressed = create.cluster_size;
  }
  SECTION("in any order") {
    options.any_order = true;
  }
  images.store.qcow2("target.qcow2", create);
  REQUIRE_FALSE(images.convert_to("target.qcow2", options).error);
  CHECK(images.store.content("target.qcow2") == images.bytes);
  images.store.check("target.qcow2");
  if (have_qemu()) {
    const TempDir dir;
    const CommandResult check = qemu_check(images.store.file("target.qcow2"), dir);
    INFO(check.output);
    CHECK(check.status == 0);
  }
}

TEST_CASE("compressing makes an image smaller than its data") {
  Images images;
  images.store.qcow2("target.qcow2", {.size = images.bytes.size()});
  Bytes text(images.bytes.size(), std::byte{'x'});
  auto top = images.store.open("source.qcow2");
  REQUIRE_FALSE(images.store.write(*top, 0, text));
  images.store.close(std::move(top));
  REQUIRE_FALSE(images.convert_to("target.qcow2", {.compressed = 65536}).error);
  CHECK(images.store.content("target.qcow2") == text);
  CHECK(images.store.file("target.qcow2").bytes.size() <= 6 * 65536);
}

TEST_CASE("over a backing image only what the source itself holds is written") {
  Images images;
  images.store.qcow2("target.qcow2", {.size = images.bytes.size(), .backing_file = "base.qcow2"});
  REQUIRE_FALSE(images.convert_to("target.qcow2", {.only_allocated = true}).error);
  CHECK(images.store.content("target.qcow2") == images.bytes);
  auto alone = images.store.open_alone("target.qcow2");
  const Extent first = images.store.run(alone->extent(0, kMiB));
  CHECK_FALSE(first.allocated);
  CHECK(first.length == kMiB);
  images.store.close(std::move(alone));
}

TEST_CASE("an internal snapshot can be converted") {
  Images images;
  auto top = images.store.open("source.qcow2");
  auto& image = dynamic_cast<Qcow2&>(top->graph());
  REQUIRE_FALSE(images.store.run(image.create_snapshot("then")));
  REQUIRE_FALSE(images.store.write(*top, 1000, Bytes(kMiB, std::byte{1})));
  REQUIRE_FALSE(images.store.run(top->resize(images.bytes.size() + kMiB)));
  images.store.close(std::move(top));
  auto source = images.store.open("source.qcow2", {.read_only = true, .snapshot = "then"});
  REQUIRE(source->limits().size == images.bytes.size());
  images.store.raw("target", images.bytes.size());
  auto target = images.store.open("target");
  REQUIRE_FALSE(images.store.run(convert(Source(*source), *target, {}, {})).error);
  images.store.close(std::move(source));
  images.store.close(std::move(target));
  CHECK(images.store.content("target") == images.bytes);
  CHECK_THROWS_AS(images.store.open("source.qcow2", {.read_only = true, .snapshot = "never"}),
                  ConfigError);
}

TEST_CASE("pieces are written in order unless any order will do") {
  Images images;
  images.store.raw("target", images.bytes.size());
  images.store.shuffle(11);
  std::vector<uint64_t> offsets;
  images.store.file("target").fault = [&](Storage::Op op, uint64_t offset, uint64_t) {
    if (op == Storage::Op::write) offsets.push_back(offset / kConvertChunk);
    return std::error_code{};
  };
  // The write that began first need not be the first to be done: only its request was made first.
  REQUIRE_FALSE(images.convert_to("target", {.target_is_zero = true}, {.in_flight = 2}).error);
  CHECK(std::set<uint64_t>(offsets.begin(), offsets.end()) == std::set<uint64_t>{0, 1});
}

TEST_CASE("what cannot be read becomes zeros where that is asked for, and nothing else does") {
  constexpr uint64_t kBad = kMiB + 5 * 512, kBadLength = 3 * 512;
  ImageStore store;
  Bytes bytes = pattern(3 * kMiB + 512, 4);
  store.raw("source", bytes.size());
  store.raw("target", bytes.size());
  auto source = store.open("source"), target = store.open("target");
  REQUIRE_FALSE(store.write(*source, 0, bytes));
  store.file("source").fault = [](Storage::Op op, uint64_t offset, uint64_t length) {
    const bool hit = offset < kBad + kBadLength && kBad < offset + length;
    return std::make_error_code(op == Storage::Op::read && hit ? std::errc::io_error : std::errc{});
  };
  std::set<uint64_t> lost;
  ConvertOptions options;
  options.salvage = [&](uint64_t offset, std::error_code error) {
    CHECK(error == std::errc::io_error);
    lost.insert(offset);
  };
  REQUIRE_FALSE(store.run(convert(Source(*source), *target, options, {})).error);
  store.close(std::move(source));
  store.close(std::move(target));
  CHECK(lost == std::set<uint64_t>{kBad, kBad + 512, kBad + 1024});
  const auto bad = bytes.begin() + static_cast<ptrdiff_t>(kBad);
  std::fill_n(bad, kBadLength, std::byte{0});
  CHECK(store.content("target") == bytes);
}

TEST_CASE("a convert that fails says where, and leaves the source as it was") {
  Images images;
  const bool compressed = GENERATE(false, true);
  const auto op = GENERATE(Storage::Op::read, Storage::Op::write, Storage::Op::resize);
  const auto code = op == Storage::Op::read ? std::errc::io_error : std::errc::no_space_on_device;
  const std::string victim = op == Storage::Op::read ? "base.qcow2" : "target.qcow2";
  images.store.qcow2("target.qcow2", {.size = images.bytes.size(), .cluster_size = 4096});
  const auto saved = images.store.save();
  size_t failures = 0;
  for (uint64_t skip = 0;; skip += compressed && op == Storage::Op::write ? 13 : 1) {
    images.store.restore(saved);
    uint64_t left = skip;
    bool hit = false;
    images.store.file(victim).fault = [&](Storage::Op now, uint64_t, uint64_t) {
      if (now != op || left > 0) {
        if (now == op) --left;
        return std::error_code{};
      }
      hit = true;  // from now on: the disk is full, or broken

      return std::make_error_code(code);
    };
    JobResult result;
    try {
      result = images.convert_to("target.qcow2", {.compressed = compressed ? 4096u : 0u});
    } catch (const std::exception&) {  // opening failed
      continue;
    }
    images.store.file(victim).fault = nullptr;
    CHECK(images.store.content("source.qcow2") == images.bytes);
    if (!hit) {
      CHECK_FALSE(result.error);
      break;
    }
    if (!result.error) continue;  // the failure hit the closing
    ++failures;
    CHECK(result.error == code);
    CHECK((result.side == JobResult::Side::source) == (op == Storage::Op::read));
    CHECK(result.offset < images.bytes.size());
    images.store.check("target.qcow2", true);
  }
  CHECK(failures > 0);
}

TEST_CASE("a convert can be stopped at every step") {
  Images images;
  images.store.shuffle(3);
  images.store.raw("target", images.bytes.size());
  for (int steps = 0;; ++steps) {
    int asked = 0;
    JobControl control{.progress = [&](uint64_t, uint64_t) { return asked++ < steps; },
                       .in_flight = 3};
    const JobResult result = images.convert_to("target", {}, std::move(control));
    CHECK(images.store.content("source.qcow2") == images.bytes);
    if (!result.error) break;
    CHECK(result.error == std::errc::operation_canceled);
    REQUIRE(steps < 100);
  }
  CHECK(images.store.content("target") == images.bytes);
}
