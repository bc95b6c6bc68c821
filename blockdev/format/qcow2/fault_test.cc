// Each request that an operation makes to a file of the image's (its own, its data file, the image
// below) fails once, in turn: with EIO, with half
// of it done, or with a full disk from there on. The operation says so; nothing that was flushed is
// lost, the image stays free of corruption (leaks are allowed) on disk and in memory, and when the
// host has recovered, so has the image.
#include "blockdev/filter/fault.h"

#include <set>
#include <string>

#include <catch2/catch.hpp>

#include "blockdev/testing/qcow2_fixture.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

using Bytes = std::vector<std::byte>;
using Operation = FaultRule::Operation;

constexpr uint64_t kDisk = 96 * 1024;

struct Shape {
  const char* name;
  Qcow2CreateOptions create;
  uint64_t backing_size = 0;
  bool fails_below = false;  // the faults are those of the backing image or data file
};
std::vector<Shape> shapes() {
  return {{"plain", {.size = kDisk, .cluster_size = 1024}},
          {"tiny clusters", {.size = kDisk, .cluster_size = 512, .refcount_bits = 64}},
          {"lazy", {.size = kDisk, .cluster_size = 1024, .lazy_refcounts = true}},
          {"version 2 over a backing image",
           {.size = kDisk, .cluster_size = 1024, .version = 2},
           kDisk / 2},
          {"subclusters over a backing image",
           {.size = 4 * kDisk, .cluster_size = 16384, .extended_l2 = true},
           kDisk},
          {"over a backing image that fails", {.size = kDisk, .cluster_size = 1024}, kDisk, true},
          {"with a data file", {.size = kDisk, .cluster_size = 1024, .data_file = "data.raw"}},
          {"with a data file that fails",
           {.size = kDisk, .cluster_size = 1024, .data_file = "data.raw"},
           0,
           true}};
}

// What fails and how; `skip` requests pass first.
struct Kind {
  const char* name;
  FaultRule rule;
};
std::vector<Kind> kinds() {
  const auto io = std::make_error_code(std::errc::io_error);
  const auto full = std::make_error_code(std::errc::no_space_on_device);
  return {{"EIO once", {.hits = 1, .error = io}},
          {"half a write, late",
           {.operation = Operation::write,
            .hits = 1,
            .error = io,
            .delay = std::chrono::nanoseconds(1),
            .torn = true}},
          {"full from here on", {.operation = Operation::resize, .error = full}},
          {"no writes from here on", {.operation = Operation::write, .error = full}}};
}

// The image's own file, and the other that some have: the image below, or the data file.
struct Files {
  std::shared_ptr<Storage> own, other;

  Files copy() const {
    return {std::make_shared<Storage>(*own), other ? std::make_shared<Storage>(*other) : nullptr};
  }
};

struct Opened {
  std::unique_ptr<Qcow2> image;
  FaultNode* faults = nullptr;
};

// An image with flushed content, and the same again for every fault.
class Bench {
 public:
  explicit Bench(const Shape& shape) : shape_(shape) {
    if (shape_.backing_size > 0) {
      start_.other = std::make_shared<Storage>();
      start_.other->resize(shape_.backing_size);
      std::fill(start_.other->bytes.begin(), start_.other->bytes.end(), std::byte{0xbb});
      shape_.create.backing_file = "base.raw";
      shape_.create.backing_format = "raw";
    }
    if (has_data_file()) start_.other = std::make_shared<Storage>();
    start_.own = world.create(shape_.create, has_data_file() ? start_.other : nullptr);
    prepare();
  }
  Opened open(const Files& files, FaultRule rule, bool read_only = false) {
    auto own = std::make_unique<FaultNode>(world.loop, std::make_unique<ScriptedMemory>(files.own));
    Opened opened{nullptr, own.get()};
    Qcow2Options options{.path = "test.qcow2", .read_only = read_only, .metadata_cache = 4096};
    options.references = References::any;
    const auto other = std::make_shared<std::unique_ptr<Node>>();
    if (files.other) {
      auto faults =
          std::make_unique<FaultNode>(world.loop, std::make_unique<ScriptedMemory>(files.other));
      if (shape_.fails_below) opened.faults = faults.get();
      *other = std::move(faults);
    }
    opened.image = wait(open_qcow2(world.host(), std::move(own), std::move(options),
                                   [other](const ImageReference&) { return World::give(other); }));
    if (rule.error) opened.faults->add(rule);
    return opened;
  }
  Files fresh() const { return start_.copy(); }
  // The file whose requests fail.
  Storage& failing(const Files& files) const {
    return shape_.fails_below ? *files.other : *files.own;
  }
  bool has_data_file() const { return !shape_.create.data_file.empty(); }
  Bytes content(Node& image) { return world.read(image, 0, image.limits().size); }
  template <class T>
  T wait(Task<T> task) {
    return block_on(world.loop, std::move(task));
  }
  const Bytes& before() const { return before_; }
  const Shape& shape() const { return shape_; }
  void check_clean(Qcow2& image) {
    const qcow2::CheckResult check = wait(image.check(qcow2::Repair::none));
    REQUIRE(check.errors == 0);
    REQUIRE(check.corruptions == 0);
  }

  World world;

 private:
  void prepare() {
    const uint64_t cluster = shape_.create.cluster_size;
    Opened opened = open(start_, {});
    Qcow2& image = *opened.image;
    REQUIRE_FALSE(world.fill(image, 0, 5 * cluster + 100, 1));
    if (!has_data_file()) REQUIRE_FALSE(wait(image.create_snapshot("first")));
    REQUIRE_FALSE(world.fill(image, 2 * cluster, 2 * cluster, 2));
    if (!has_data_file()) REQUIRE_FALSE(wait(image.create_snapshot("second")));
    REQUIRE_FALSE(world.fill(image, 3 * cluster, 4 * cluster, 3));
    qcow2::Buffer packed = qcow2::Buffer::zeros(cluster);
    const WriteFlags compressed{.compressed = true};
    if (!has_data_file())
      REQUIRE_FALSE(wait(image.write(8 * cluster, {packed.vector()}, compressed)));
    REQUIRE_FALSE(wait(image.flush()));
    before_ = content(image);
    REQUIRE_FALSE(wait(image.close()));
  }

  Shape shape_;
  Files start_;
  Bytes before_;
};

// One thing that may be asked of an image: how, and what may have changed afterwards.
struct Action {
  const char* name;
  std::function<std::error_code(Bench&, Qcow2&)> run;
  uint64_t first = 0, end = 0;  // the clusters of the disk that it changes
  bool whole = false;           // the disk may become another one as a whole
};

std::error_code fill(Bench& bench, Qcow2& image, uint64_t offset, uint64_t length, uint8_t value) {
  const std::error_code error = bench.world.fill(image, offset, length, value);
  if (error) return error;
  return bench.wait(image.flush());
}

std::vector<Action> actions(uint64_t cluster) {
  const auto flushed = [](Bench& bench, Qcow2& image, std::error_code error) {
    return error ? error : bench.wait(image.flush());
  };
  return {
      {"overwrite", [=](Bench& b, Qcow2& i) { return fill(b, i, 4 * cluster, cluster, 7); }, 4, 5},
      {"write to what a snapshot has",
       [=](Bench& b, Qcow2& i) { return fill(b, i, cluster / 2, cluster, 7); }, 0, 2},
      {"write to new clusters",
       [=](Bench& b, Qcow2& i) { return fill(b, i, 10 * cluster + 9, 5 * cluster, 7); }, 10, 16},
      {"write far away", [=](Bench& b, Qcow2& i) { return fill(b, i, 20 * cluster, 700, 7); }, 20,
       22},
      {"write compressed",
       [=](Bench& b, Qcow2& i) {
         qcow2::Buffer packed = qcow2::Buffer::zeros(cluster);
         const WriteFlags compressed{.compressed = true};
         return flushed(b, i, b.wait(i.write(9 * cluster, {packed.vector()}, compressed)));
       },
       9, 10},
      {"zero",
       [=](Bench& b, Qcow2& i) {
         return flushed(b, i, b.wait(i.zero(cluster / 2, 5 * cluster, {.may_unmap = false})));
       },
       0, 6},
      {"zero and unmap",
       [=](Bench& b, Qcow2& i) {
         return flushed(b, i, b.wait(i.zero(3 * cluster, 6 * cluster, {.may_unmap = true})));
       },
       3, 9},
      {"discard",
       [=](Bench& b, Qcow2& i) {
         return flushed(b, i, b.wait(i.discard(2 * cluster, 7 * cluster)));
       },
       2, 9},
      {"take a snapshot", [](Bench& b, Qcow2& i) { return b.wait(i.create_snapshot("third")); }, 0,
       0},
      {"return to a snapshot", [](Bench& b, Qcow2& i) { return b.wait(i.apply_snapshot("first")); },
       0, 0, true},
      {"delete a snapshot", [](Bench& b, Qcow2& i) { return b.wait(i.delete_snapshot("second")); },
       0, 0},
      {"grow", [](Bench& b, Qcow2& i) { return b.wait(i.resize(i.limits().size * 3 + 512)); }, 0, 0,
       true},
      {"shrink", [](Bench& b, Qcow2& i) { return b.wait(i.resize(i.limits().size / 32)); }, 0, 0,
       true},
      {"allocate in advance",
       [](Bench& b, Qcow2& i) { return b.wait(i.preallocate(0, Preallocation::full, {})); }, 0, 0},
      {"check and repair",
       [](Bench& b, Qcow2& i) {
         const qcow2::CheckResult result = b.wait(i.check(qcow2::Repair::all));
         return result.errors > 0 ? qcow2::io_error() : std::error_code{};
       },
       0, 0},
      {"close after a write",
       [=](Bench& b, Qcow2& i) {
         const std::error_code error = b.world.fill(i, 11 * cluster, 2 * cluster, 7);
         const std::error_code last = b.wait(i.close());
         return error ? error : last;
       },
       11, 13},
  };
}

bool is_refused_anyway(const Shape& shape, const Action& action) {
  const std::string name = action.name;
  const std::set<std::string> not_with_data_file = {"take a snapshot", "return to a snapshot",
                                                    "delete a snapshot", "write compressed"};
  if (!shape.create.data_file.empty() && not_with_data_file.count(name) > 0) return true;
  if (shape.create.version == 2 && (name == "grow" || name == "shrink")) return true;
  // Refused for images over others, unless they have subclusters.
  return name == "allocate in advance" && shape.backing_size > 0;
}

// The disk is as before outside of what the action changes, and as wanted where it did its work.
void compare(Bench& bench, const Bytes& now, const Action& action, bool done, const Bytes& after) {
  if (action.whole) {
    REQUIRE((now == after || (!done && now == bench.before())));
    return;
  }
  const uint64_t cluster = bench.shape().create.cluster_size;
  REQUIRE(now.size() == bench.before().size());
  for (size_t i = 0; i < now.size(); ++i) {
    const bool inside = i >= action.first * cluster && i < action.end * cluster;
    const bool good = now[i] == after[i] || (!done && now[i] == bench.before()[i]);
    if (!good && !(inside && !done)) FAIL("byte " << i << " is " << int(now[i]));
  }
}

struct Expected {
  Bytes after;
  uint64_t requests = 0;
};
Expected undisturbed(Bench& bench, const Action& action) {
  const Files files = bench.fresh();
  Opened opened = bench.open(files, {});
  bench.failing(files).operations = 0;
  REQUIRE_FALSE(action.run(bench, *opened.image));
  const uint64_t requests = bench.failing(files).operations;
  Opened again = bench.open(files, {}, true);
  return {bench.content(*again.image), requests};
}

// Returns whether the fault was reached.
bool try_fault(Bench& bench, const Action& action, const FaultRule& rule,
               const Expected& expected) {
  const Files files = bench.fresh();
  Opened opened = bench.open(files, rule);
  const std::error_code error = action.run(bench, *opened.image);
  if (opened.faults->faults() == 0) return false;
  opened.faults->clear();
  CAPTURE(error.message());

  // As it is on disk, if we were to end here. Lazy refcounts are counted when it is opened.
  const Files crashed = files.copy();
  Opened read = bench.open(crashed, {}, !bench.shape().create.lazy_refcounts);
  bench.check_clean(*read.image);
  compare(bench, bench.content(*read.image), action, !error, expected.after);

  // As it goes on.
  const Bytes now = bench.content(*opened.image);
  compare(bench, now, action, !error, expected.after);
  const bool closed = std::string(action.name) == "close after a write";
  if (!closed) (void)bench.world.fill(*opened.image, 0, 10, 9);
  const std::error_code last = bench.wait(opened.image->close());
  Opened reopened = bench.open(files, {}, !bench.shape().create.lazy_refcounts);
  bench.check_clean(*reopened.image);
  if (last) return true;
  Bytes later = bench.content(*reopened.image);
  if (!closed) std::copy_n(now.begin(), 10, later.begin());
  REQUIRE(later == now);
  return true;
}

// Every request in turn takes minutes; without VIREO_TEST_THOROUGH each kind of fault takes its own
// share of them.
uint64_t stride(uint64_t requests) {
  return thorough() ? 1 : requests < 5 ? 1 : 10;
}

}  // namespace

TEST_CASE("whatever fails under a qcow2 image is said and loses nothing") {
  const Shape shape = GENERATE(from_range(shapes()));
  CAPTURE(shape.name);
  Bench bench(shape);
  size_t tried = 0;
  for (const Action& action : actions(shape.create.cluster_size)) {
    if (is_refused_anyway(shape, action)) continue;
    CAPTURE(action.name);
    const Expected expected = undisturbed(bench, action);
    for (const Kind& kind : kinds()) {
      CAPTURE(kind.name);
      FaultRule rule = kind.rule;
      const uint64_t step = stride(expected.requests);
      for (uint64_t skip = tried % step; skip < expected.requests; skip += step) {
        rule.skip = skip;
        CAPTURE(skip);
        if (!try_fault(bench, action, rule, expected)) break;
        ++tried;
      }
    }
  }
  REQUIRE(tried > 2);
}

TEST_CASE("an image whose creation failed is none, or whole") {
  World world;
  const Preallocation how = GENERATE(Preallocation::off, Preallocation::full);
  const auto create = [&](std::shared_ptr<Storage> storage, FaultRule rule) {
    auto memory = std::make_unique<ScriptedMemory>(std::move(storage));
    auto node = std::make_unique<FaultNode>(world.loop, std::move(memory));
    if (rule.error) node->add(rule);
    const Qcow2CreateOptions options{
        .path = "test.qcow2", .size = kDisk, .cluster_size = 4096, .preallocation = how};
    block_on(world.loop, create_qcow2(world.host(), std::move(node), nullptr, options));
  };
  const auto good = std::make_shared<Storage>();
  create(good, {});
  for (const Kind& kind : kinds()) {
    for (uint64_t skip = 0; skip < good->operations; ++skip) {
      CAPTURE(kind.name, skip);
      const auto storage = std::make_shared<Storage>();
      FaultRule rule = kind.rule;
      rule.skip = skip;
      bool failed = false;
      try {
        create(storage, rule);
      } catch (const std::system_error&) {
        failed = true;
      }
      std::unique_ptr<Qcow2> image;
      try {
        image = world.open(storage, {.read_only = true});
      } catch (const std::exception&) {
      }
      REQUIRE((image != nullptr || failed));
      if (!image) continue;
      const qcow2::CheckResult check = block_on(world.loop, image->check(qcow2::Repair::none));
      REQUIRE((check.errors == 0 && check.corruptions == 0));
      REQUIRE(world.read(*image, 0, kDisk) == zeros(kDisk));
    }
  }
}
