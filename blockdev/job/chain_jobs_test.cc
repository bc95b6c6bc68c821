// Jobs over chains of images: random chains against arrays of bytes, failures and stops at every
// step.
#include <functional>

#include <catch2/catch.hpp>

#include "blockdev/job/commit.h"
#include "blockdev/job/compare.h"
#include "blockdev/job/rebase.h"
#include "blockdev/testing/image_store.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

using Bytes = std::vector<std::byte>;
using Names = std::vector<std::string>;

Names without(Names names, const std::string& name) {
  std::erase(names, name);
  return names;
}

// A chain "top.qcow2" over "mid.qcow2" over "base.*", scribbled on, of random sizes and shapes.
struct Chain {
  ImageStore store;
  std::mt19937_64 random;
  Names names;  // the outermost first

  explicit Chain(uint64_t seed, size_t length = 3) : random(seed) {
    if (random() % 2 == 0)
      add_raw("base.raw");
    else
      add("base.qcow2", "");
    if (length > 2) add("mid.qcow2", names.front());
    add("top.qcow2", names.front());
  }
  void add_raw(const std::string& name) {
    store.raw(name, 512 * (1 + random() % 800));
    store.scribble(name, random, 6);
    names.insert(names.begin(), name);
  }
  void add(const std::string& name, const std::string& backing) {
    const uint64_t clusters[] = {1024, 4096, 16384, 65536};
    Qcow2CreateOptions options{.size = 512 * (1 + random() % 800),
                               .cluster_size = clusters[random() % 4],
                               .backing_file = backing};
    if (random() % 4 == 0) options.version = 2;
    options.extended_l2 = options.version == 3 && options.cluster_size >= 16384 && random() % 2 > 0;
    store.qcow2(name, options);
    store.scribble(name, random, 8);
    names.insert(names.begin(), name);
  }
  uint64_t pick(uint64_t below) { return random() % below; }

  // Commits what lies above `base` and, if told so, empties the top.
  JobResult commit_to(const std::string& base, bool clear, JobControl control = {}) {
    std::vector<std::unique_ptr<Disk>> layers;
    std::vector<Disk*> disks;
    for (const std::string& name : names) {
      if (name == base) break;
      layers.push_back(store.open_alone(name, !layers.empty() || !clear));
      disks.push_back(layers.back().get());
    }
    auto below = store.open(base);
    JobResult result = store.run(commit(Layers(disks), *below, std::move(control)));
    const std::error_code closed = store.run(below->close());
    if (!result.error && closed) result = {closed, JobResult::Side::target};
    if (clear && !result.error)
      result.error = store.run(dynamic_cast<Qcow2&>(layers.front()->graph()).clear());
    for (auto& layer : layers) {
      [[maybe_unused]] const std::error_code ignored = store.run(layer->close());
    }
    return result;
  }
  // Lays the top over `base` ("": nothing).
  JobResult rebase_to(const std::string& base, bool use_between, JobControl control = {}) {
    std::vector<std::unique_ptr<Disk>> between;
    std::vector<Disk*> disks;
    for (size_t i = 1; use_between && i < names.size() && names[i] != base; ++i) {
      between.push_back(store.open_alone(names[i]));
      disks.push_back(between.back().get());
    }
    auto top = store.open("top.qcow2");
    auto& image = dynamic_cast<Qcow2&>(top->graph());
    RebaseOptions options{.between = Layers(disks)};
    std::unique_ptr<Disk> below;
    if (!base.empty()) below = store.open_read_only(base);
    if (below) options.backing.add(*below);
    JobResult result = store.run(rebase(*top, std::move(options), std::move(control)));
    const bool raw = base.ends_with(".raw");
    if (!result.error)
      result.error = store.run(image.set_backing(base, base.empty() ? "" : raw ? "raw" : "qcow2"));
    if (below) between.push_back(std::move(below));
    between.push_back(std::move(top));
    for (auto& disk : between) {
      [[maybe_unused]] const std::error_code ignored = store.run(disk->close());
    }
    return result;
  }
};

Bytes resized(Bytes bytes, uint64_t size) {
  bytes.resize(std::max<uint64_t>(bytes.size(), size));
  return bytes;
}

// Runs `job` with the n-th operation on `victim` and all after it failing, for every n, and checks
// that `name` still shows `expected`.
void fail_everywhere(Chain& chain, const Names& victims, const std::string& name,
                     const Bytes& expected, const std::function<JobResult()>& job) {
  const auto saved = chain.store.save();
  for (const std::string& victim : victims) {
    for (uint64_t skip = 0;; skip += 1 + skip / 4) {
      chain.store.restore(saved);
      uint64_t left = skip;
      bool hit = false;
      chain.store.file(victim).fault = [&](Storage::Op op, uint64_t, uint64_t) {
        const bool writing = op != Storage::Op::read;
        if (left > 0) --left;
        hit = hit || left == 0;
        if (left > 0) return std::error_code{};
        return std::make_error_code(writing ? std::errc::no_space_on_device : std::errc::io_error);
      };
      JobResult result;
      try {
        result = job();
      } catch (const std::exception&) {
        result.error = std::make_error_code(std::errc::io_error);  // it could not be opened
      }
      chain.store.file(victim).fault = nullptr;
      INFO(victim << " fails after " << skip);
      REQUIRE(chain.store.content(name) == expected);
      if (victim.ends_with(".qcow2")) chain.store.check(victim, true);
      if (!hit) {
        REQUIRE_FALSE(result.error);
        break;
      }
    }
  }
  chain.store.restore(saved);
}

void stop_everywhere(Chain& chain, const std::string& name, const Bytes& expected,
                     const std::function<JobResult(JobControl)>& job) {
  for (int steps = 0;; ++steps) {
    int asked = 0;
    const auto progress = [&](uint64_t, uint64_t) { return asked++ < steps; };
    const JobResult result = job({.progress = progress, .in_flight = 2});
    REQUIRE(chain.store.content(name) == expected);
    if (!result.error) return;
    REQUIRE(result.error == std::errc::operation_canceled);
    REQUIRE(steps < 1000);
  }
}

}  // namespace

TEST_CASE("a commit changes what the base shows, and not what the overlay does") {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    Chain chain(seed);
    const std::string base = chain.names[1 + chain.pick(2)];
    const bool clear = base == chain.names[1];
    const Bytes expected = chain.store.content("top.qcow2");
    const Bytes before = chain.store.content(base);
    if (seed % 2 == 0) chain.store.shuffle(seed);
    REQUIRE_FALSE(chain.commit_to(base, clear).error);
    CHECK(chain.store.content("top.qcow2") == expected);
    // The base is never made smaller; what it has beyond the overlay's end stays.
    Bytes shown = resized(before, expected.size());
    std::copy(expected.begin(), expected.end(), shown.begin());
    REQUIRE(chain.store.content(base) == shown);
    for (const std::string& name : without(chain.names, "base.raw")) chain.store.check(name);
    if (!clear) continue;
    auto top = chain.store.open_alone("top.qcow2");
    CHECK(chain.store.world.read(top->graph(), 0, expected.size()) == zeros(expected.size()));
    CHECK_FALSE(chain.store.run(top->extent(0, expected.size())).allocated);
    chain.store.close(std::move(top));
  }
}

TEST_CASE("emptying an image leaves its snapshots what they are") {
  Chain chain(5, 2);
  const Bytes then = chain.store.content("top.qcow2");
  auto top = chain.store.open("top.qcow2");
  auto& image = dynamic_cast<Qcow2&>(top->graph());
  REQUIRE_FALSE(chain.store.run(image.create_snapshot("then")));
  chain.store.close(std::move(top));
  chain.store.scribble("top.qcow2", chain.random, 5);
  top = chain.store.open("top.qcow2");
  auto& again = dynamic_cast<Qcow2&>(top->graph());
  REQUIRE_FALSE(chain.store.run(again.clear()));
  Bytes below = chain.store.content(chain.names[1]);
  below.resize(then.size());
  CHECK(chain.store.world.read(top->graph(), 0, then.size()) == below);
  chain.store.close(std::move(top));
  chain.store.check("top.qcow2");
  top = chain.store.open("top.qcow2", {.read_only = true, .snapshot = "then"});
  CHECK(chain.store.world.read(top->graph(), 0, then.size()) == then);
  chain.store.close(std::move(top));
}

TEST_CASE("a commit that fails or is stopped leaves the chain as it was") {
  const uint64_t seed = GENERATE(3u, 4u, 6u);
  Chain chain(seed);
  const std::string base = chain.names[1];
  const Bytes expected = chain.store.content("top.qcow2");
  fail_everywhere(chain, chain.names, "top.qcow2", expected,
                  [&] { return chain.commit_to(base, true); });
  stop_everywhere(chain, "top.qcow2", expected, [&](JobControl control) {
    return chain.commit_to(base, true, std::move(control));
  });
}

TEST_CASE("a rebase does not change what the overlay shows") {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    INFO("seed " << seed);
    Chain chain(seed);
    const Bytes expected = chain.store.content("top.qcow2");
    const Names chain_names = chain.names;
    chain.add_raw("other.raw");
    chain.names = chain_names;
    const Names targets{"", "other.raw", chain.names[1], chain.names[2]};
    const std::string base = targets[chain.pick(targets.size())];
    const bool in_chain = base == chain.names[1] || base == chain.names[2];
    if (seed % 2 == 0) chain.store.shuffle(seed);
    REQUIRE_FALSE(chain.rebase_to(base, in_chain && seed % 3 > 0).error);
    REQUIRE(chain.store.content("top.qcow2") == expected);
    chain.store.check("top.qcow2");
    auto top = chain.store.open_read_only("top.qcow2");
    CHECK(dynamic_cast<Qcow2&>(top->graph()).header().backing_file == base);
    chain.store.close(std::move(top));
  }
}

TEST_CASE("an image without a backing image can get one") {
  Chain chain(9, 2);
  REQUIRE_FALSE(chain.rebase_to("", false).error);
  const Bytes expected = chain.store.content("top.qcow2");
  chain.store.raw("full.raw", expected.size() + 5120);
  auto full = chain.store.open("full.raw");
  REQUIRE_FALSE(chain.store.write(*full, 0, Bytes(expected.size() + 5120, std::byte{7})));
  chain.store.close(std::move(full));
  REQUIRE_FALSE(chain.rebase_to("full.raw", false).error);
  CHECK(chain.store.content("top.qcow2") == expected);
}

TEST_CASE("rebasing within the chain copies only what lies between") {
  ImageStore store;
  constexpr uint64_t kSize = 4 * 1024 * 1024;
  store.raw("base.raw", kSize);
  auto base = store.open("base.raw");
  REQUIRE_FALSE(store.write(*base, 0, Bytes(kSize, std::byte{1})));
  store.close(std::move(base));
  store.qcow2("mid.qcow2", {.size = kSize, .backing_file = "base.raw"});
  auto mid = store.open("mid.qcow2");
  REQUIRE_FALSE(store.write(*mid, 65536, Bytes(65536, std::byte{2})));
  store.close(std::move(mid));
  store.qcow2("top.qcow2", {.size = kSize, .backing_file = "mid.qcow2"});
  const Bytes expected = store.content("top.qcow2");
  auto top = store.open("top.qcow2"), below = store.open_read_only("base.raw");
  auto between = store.open_alone("mid.qcow2");
  const RebaseOptions options{.backing = Source(*below), .between = Layers({between.get()})};
  REQUIRE_FALSE(store.run(rebase(*top, options, {})).error);
  CHECK(below->counters().bytes_read == 65536);
  CHECK(top->counters().bytes_written == 65536);
  for (auto* disk : {&top, &below, &between}) store.close(std::move(*disk));
}

TEST_CASE("zeros of an image that gets its first backing image are held without data") {
  ImageStore store;
  constexpr uint64_t kSize = 1024 * 1024;
  store.raw("base.raw", kSize);
  auto base = store.open("base.raw");
  REQUIRE_FALSE(store.write(*base, 0, Bytes(kSize, std::byte{1})));
  store.close(std::move(base));
  store.qcow2("top.qcow2", {.size = kSize});
  auto top = store.open("top.qcow2"), below = store.open_read_only("base.raw");
  const RebaseOptions options{.backing = Source(*below)};
  REQUIRE_FALSE(store.run(rebase(*top, options, {})).error);
  auto& image = dynamic_cast<Qcow2&>(top->graph());
  REQUIRE_FALSE(store.run(image.set_backing("base.raw", "raw")));
  store.close(std::move(top));
  store.close(std::move(below));
  CHECK(store.content("top.qcow2") == Bytes(kSize));
  CHECK(store.file("top.qcow2").bytes.size() < kSize);
}

TEST_CASE("a rebase that fails or is stopped leaves the overlay as it was") {
  const uint64_t seed = GENERATE(2u, 7u);
  Chain chain(seed);
  const Bytes expected = chain.store.content("top.qcow2");
  const Names chain_names = chain.names;
  chain.add_raw("other.raw");
  chain.names = chain_names;
  const std::string base = GENERATE("", "other.raw");
  Names victims{"top.qcow2", chain.names.back()};
  if (!base.empty()) victims.push_back(base);
  fail_everywhere(chain, victims, "top.qcow2", expected,
                  [&] { return chain.rebase_to(base, false); });
  stop_everywhere(chain, "top.qcow2", expected, [&](JobControl control) {
    return chain.rebase_to(base, false, std::move(control));
  });
}

namespace {

struct Pair {
  ImageStore store;
  Pair() {
    store.raw("one.raw", 3'000'320);
    store.qcow2("two.qcow2", {.size = 3'000'320});
    change("one.raw", 70'000, 1'500'000);
    change("two.qcow2", 70'000, 1'500'000);
  }
  void change(const std::string& name, uint64_t offset, uint64_t length, uint8_t value = 7) {
    auto disk = store.open(name);
    REQUIRE_FALSE(store.write(*disk, offset, Bytes(length, std::byte{value})));
    store.close(std::move(disk));
  }
  Comparison compare_all(bool strict = false, JobControl control = {}) {
    auto one = store.open_read_only("one.raw"), two = store.open_read_only("two.qcow2");
    const Source first(*one), second(*two);
    const Comparison result = store.run(compare(first, second, strict, std::move(control)));
    store.close(std::move(one));
    store.close(std::move(two));
    return result;
  }
};

}  // namespace

TEST_CASE("compare finds the first sector that differs") {
  Pair pair;
  CHECK(pair.compare_all().verdict == Comparison::Verdict::same);
  pair.change("one.raw", 2'900'001, 1);
  CHECK(pair.compare_all().offset == 2'900'001 / 512 * 512);
  pair.change("two.qcow2", 1'400'000, 700'000, 8);
  const uint64_t seed = GENERATE(0u, 1u, 2u, 3u);
  if (seed > 0) pair.store.shuffle(seed);
  const Comparison result = pair.compare_all();
  CHECK(result.verdict == Comparison::Verdict::content_differs);
  CHECK(result.offset == 1'400'000 / 512 * 512);
}

TEST_CASE("compare takes the end of the shorter disk for zeros") {
  Pair pair;
  auto one = pair.store.open("one.raw");
  REQUIRE_FALSE(pair.store.run(one->resize(5'000'192)));
  pair.store.close(std::move(one));
  CHECK(pair.compare_all().verdict == Comparison::Verdict::same);
  pair.change("one.raw", 4'999'999, 1);
  CHECK(pair.compare_all().offset == 4'999'999 / 512 * 512);
}

TEST_CASE("a strict compare looks at what is allocated") {
  Pair pair;
  const Comparison result = pair.compare_all(true);
  CHECK(result.verdict == Comparison::Verdict::allocation_differs);
  CHECK(result.offset == 0);
}

TEST_CASE("a compare that cannot read says where") {
  Pair pair;
  pair.store.file("one.raw").fault = [](Storage::Op op, uint64_t offset, uint64_t length) {
    const bool bad = op == Storage::Op::read && offset + length > 1'200'000;
    return bad ? std::make_error_code(std::errc::io_error) : std::error_code{};
  };
  const Comparison result = pair.compare_all();
  CHECK(result.failure.error == std::errc::io_error);
  CHECK(result.failure.side == JobResult::Side::source);
  CHECK(result.failure.offset <= 1'200'000);
  int asked = 0;
  const auto progress = [&](uint64_t, uint64_t) { return ++asked < 2; };
  CHECK(pair.compare_all(false, {.progress = progress}).failure.error ==
        std::errc::operation_canceled);
}
