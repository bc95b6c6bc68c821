// What a crash leaves: the log of everything that was written is cut at every point, and between
// two flushes of the file any part of the writes may be missing. What is left must be free of
// corruption and hold everything that the guest had flushed. A crash inside an operation on the
// whole image (snapshots, resizing) leaves it as before or as after, never between.
#include <map>

#include <catch2/catch.hpp>

#include "blockdev/testing/qcow2_fixture.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

using Log = std::vector<Storage::Write>;
using Bytes = std::vector<std::byte>;

// A moment at which a guest's flush had completed.
struct Checkpoint {
  size_t position = 0;  // in the log
  Bytes content;        // what is safe, except where later requests, up to the next one, change it
  std::vector<std::pair<uint64_t, uint64_t>> touched;  // offset and length of those
  bool operation = false;  // what follows is an operation on the whole image
};

void apply(Storage& storage, const Storage::Write& write) {
  if (write.kind == Storage::Write::Kind::flush) return;
  if (write.kind == Storage::Write::Kind::resize) return storage.resize(write.offset);
  if (write.offset + write.bytes.size() > storage.bytes.size())
    storage.resize(write.offset + write.bytes.size());
  std::copy(write.bytes.begin(), write.bytes.end(),
            storage.bytes.begin() + static_cast<ptrdiff_t>(write.offset));
}

class CrashRun {
 public:
  CrashRun(Qcow2CreateOptions options, uint64_t backing_size, uint64_t seed)
      : options_(std::move(options)), random_(seed), shuffle_(world_.loop, seed) {
    if (backing_size > 0) {
      backing_ = std::make_shared<Storage>();
      backing_->resize(backing_size);
      for (std::byte& byte : backing_->bytes) byte = std::byte(1 + random_() % 255);
      options_.backing_file = "base.raw";
      options_.backing_format = "raw";
    }
    storage_ = world_.create(options_);
    start_ = *storage_;
    storage_->log_writes = true;
    model_.resize(options_.size);
    if (backing_)
      std::copy_n(backing_->bytes.begin(), std::min(backing_size, options_.size), model_.begin());
  }

  void record(int rounds, bool operations) {
    auto image = open(storage_, &shuffle_);
    checkpoint();
    for (int i = 0; i < rounds; ++i) {
      batch(*image);
      if (random_() % 3 == 0) batch(*image);
      REQUIRE_FALSE(block_on(world_.loop, image->flush()));
      checkpoint();
      if (!operations) continue;
      checkpoints_.back().operation = true;
      operation(*image, i);
      checkpoint();
    }
    REQUIRE_FALSE(block_on(world_.loop, image->close()));
    checkpoint();
  }

  // Every cut takes minutes; without VIREO_TEST_THOROUGH it is about a hundred of them.
  static size_t stride(size_t writes) {
    if (thorough()) return 1;
    return 1 + writes / 100;
  }
  void replay() {
    const Log& log = storage_->log;
    Storage safe = start_;  // up to the last flush of the file
    size_t next = 0, at = 0;
    for (size_t cut = 0; cut <= log.size(); ++cut) {
      if (cut > 0 && log[cut - 1].kind == Storage::Write::Kind::flush)
        for (; next < cut; ++next) apply(safe, log[next]);
      while (at + 1 < checkpoints_.size() && checkpoints_[at + 1].position <= cut) ++at;
      if (cut % stride(log.size()) != 0) continue;
      Storage all = safe, some = safe;
      for (size_t i = next; i < cut; ++i) {
        apply(all, log[i]);
        if (random_() % 2 == 0) apply(some, log[i]);
      }
      INFO("the log is cut after " << cut << " of " << log.size() << " writes");
      examine(all, at);
      if (cut > next && random_() % 2 == 0) examine(some, at);
    }
  }

 private:
  std::unique_ptr<Qcow2> open(std::shared_ptr<Storage> storage, Shuffle* shuffle,
                              bool read_only = false) {
    std::unique_ptr<Node> base;
    if (backing_) base = std::make_unique<ScriptedMemory>(backing_);
    return world_.open(std::move(storage), {.read_only = read_only, .metadata_cache = 64 * 1024},
                       std::move(base), shuffle);
  }
  // Every one of them in turn; the disk grows and shrinks where that is possible.
  void operation(Qcow2& image, int number) {
    const std::string name = "s" + std::to_string(number);
    std::error_code error;
    switch (number % 5) {
      case 0:
      case 1:
        error = block_on(world_.loop, image.create_snapshot(name));
        snapshots_[name] = model_;
        break;
      case 2:
        error = block_on(world_.loop, image.apply_snapshot("s0"));
        model_ = snapshots_["s0"];
        break;
      case 3:
        error = block_on(world_.loop, image.delete_snapshot("s1"));
        break;
      default:
        resize(image, model_.size() * 5 / 3);
        checkpoint();
        checkpoints_.back().operation = true;
        resize(image, model_.size() / 2);
    }
    INFO("operation " << number);
    REQUIRE_FALSE(error);
  }
  void resize(Qcow2& image, uint64_t size) {
    if (options_.version < 3) return;
    size -= size % 512;
    REQUIRE_FALSE(block_on(world_.loop, image.resize(size)));
    model_.resize(size);
  }
  void checkpoint() { checkpoints_.push_back({storage_->log.size(), model_, {}}); }
  void batch(Qcow2& image) {
    std::vector<std::unique_ptr<qcow2::Buffer>> buffers;
    qcow2::Gather gather(64);
    block_on(world_.loop, spawn(image, gather, buffers));
    REQUIRE_FALSE(block_on(world_.loop, gather.done()));
  }
  Task<int> spawn(Qcow2& image, qcow2::Gather& gather,
                  std::vector<std::unique_ptr<qcow2::Buffer>>& buffers) {
    const size_t count = 1 + random_() % 8;
    const uint64_t part = model_.size() / count;
    for (size_t i = 0; i < count; ++i) {  // each in its own part: they share clusters, not bytes
      const uint64_t offset = i * part + random_() % part;
      const uint64_t most = std::min(part - offset % part, 4 * options_.cluster_size);
      Task<std::error_code> task = request(image, offset, 1 + random_() % most, buffers);
      co_await gather.add(std::move(task));
    }
    co_return 0;
  }
  Task<std::error_code> request(Qcow2& image, uint64_t offset, uint64_t length,
                                std::vector<std::unique_ptr<qcow2::Buffer>>& buffers) {
    checkpoints_.back().touched.emplace_back(offset, length);
    const auto at = model_.begin() + static_cast<ptrdiff_t>(offset);
    if (random_() % 4 == 0) {
      std::fill_n(at, length, std::byte{0});
      const ZeroFlags flags{.may_unmap = random_() % 2 == 0};
      return image.zero(offset, length, flags);
    }
    const std::byte fill{static_cast<uint8_t>(1 + random_() % 255)};
    std::fill_n(at, length, fill);
    buffers.push_back(std::make_unique<qcow2::Buffer>(length));
    std::fill_n(buffers.back()->data(), length, fill);
    return image.write(offset, {buffers.back()->vector()}, {});
  }
  static bool holds(Bytes now, const Checkpoint& safe) {
    for (const auto& [offset, length] : safe.touched) {
      if (offset + length > now.size() || offset + length > safe.content.size()) return false;
      std::memcpy(now.data() + offset, safe.content.data() + offset, length);
    }
    return now == safe.content;
  }
  void examine(const Storage& crashed, size_t at) {
    auto storage = std::make_shared<Storage>(crashed);
    storage->log_writes = false;
    const bool lazy = options_.lazy_refcounts;
    auto image = open(storage, nullptr, !lazy);  // opening for writing repairs what was not closed
    const qcow2::CheckResult check = block_on(world_.loop, image->check(qcow2::Repair::none));
    CHECK(check.errors == 0);
    REQUIRE(check.corruptions == 0);
    const Bytes now = world_.read(*image, 0, image->limits().size);
    const Checkpoint& safe = checkpoints_[at];
    REQUIRE((holds(now, safe) || (safe.operation && now == checkpoints_[at + 1].content)));
    const auto listed = image->snapshots();
    REQUIRE_FALSE(block_on(world_.loop, image->close()));
    const unsigned one_in = safe.operation ? 50 : 200;
    if (random_() % one_in == 0) ask_qemu(*storage);
    if (!listed.empty() && random_() % 24 == 0)
      look_into(storage, listed[random_() % listed.size()].name);
  }
  void ask_qemu(const Storage& storage) {
    if (!have_qemu()) return;
    const TempDir dir;
    if (backing_) backing_->save(dir.path("base.raw"));
    const CommandResult qemu = qemu_check(storage, dir);
    INFO(qemu.output);
    REQUIRE((qemu.status == 0 || qemu.status == 3));
  }
  void look_into(std::shared_ptr<Storage> storage, const std::string& snapshot) {
    auto image = open(std::move(storage), nullptr);
    REQUIRE_FALSE(block_on(world_.loop, image->apply_snapshot(snapshot)));
    REQUIRE(world_.read(*image, 0, image->limits().size) == snapshots_[snapshot]);
    const qcow2::CheckResult check = block_on(world_.loop, image->check(qcow2::Repair::none));
    REQUIRE((check.errors == 0 && check.corruptions == 0));
    REQUIRE_FALSE(block_on(world_.loop, image->close()));
  }

  Qcow2CreateOptions options_;
  World world_;
  std::mt19937_64 random_;
  Shuffle shuffle_;
  std::shared_ptr<Storage> storage_, backing_;
  Storage start_;
  Bytes model_;
  std::vector<Checkpoint> checkpoints_;
  std::map<std::string, Bytes> snapshots_;  // all that there ever were
};

}  // namespace

TEST_CASE("a crash leaves no corruption and all that was flushed") {
  const uint64_t seed = 11;
  Qcow2CreateOptions options{.size = 200 * 1024, .cluster_size = 1024};
  uint64_t backing = 0;
  int rounds = 6;
  SECTION("plain") {}
  SECTION("tiny clusters, wide refcounts: the refcount table grows") {
    options.size = 100 * 1024;
    options.cluster_size = 512;
    options.refcount_bits = 64;
    rounds = 3;
  }
  SECTION("over a backing image") {
    backing = 150 * 1024;
  }
  SECTION("version 2") {
    options.version = 2;
  }
  SECTION("subclusters over a backing image") {
    options.cluster_size = 16384;
    options.size = 400 * 1024;
    options.extended_l2 = true;
    backing = 300 * 1024;
  }
  SECTION("lazy refcounts") {
    options.lazy_refcounts = true;
  }
  CrashRun run(options, backing, seed);
  run.record(rounds, false);
  run.replay();
}

TEST_CASE("a crash inside a snapshot or resize operation leaves the image before or after it") {
  Qcow2CreateOptions options{.size = 40 * 1024, .cluster_size = 1024};
  uint64_t backing = 0;
  SECTION("version 3") {}
  SECTION("version 2 has no dirty bit to help") {
    options.version = 2;
  }
  SECTION("tiny clusters, wide refcounts: the refcount table grows") {
    options.size = 24 * 1024;
    options.cluster_size = 512;
    options.refcount_bits = 64;
  }
  SECTION("subclusters over a backing image") {
    options.cluster_size = 16384;
    options.size = 300 * 1024;
    options.extended_l2 = true;
    backing = 200 * 1024;
  }
  SECTION("lazy refcounts") {
    options.lazy_refcounts = true;
  }
  CrashRun run(options, backing, 12);
  run.record(5, true);
  run.replay();
}
