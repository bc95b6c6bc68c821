// Random operations on a qcow2 image, compared with a byte array that does the same; many at a
// time, completing in any order.
#pragma once

#include <map>
#include <random>

#include "blockdev/testing/qcow2_fixture.h"

namespace vireo::blk::testing {

struct ModelOptions {
  Qcow2CreateOptions create;
  uint64_t backing_size = 0;
  bool external_data = false;
  bool snapshots = true;
  bool resizes = true;
  uint64_t metadata_cache = 0;
  uint32_t block = 1;  // of the image file
};

class Qcow2Model {
 public:
  Qcow2Model(ModelOptions options, uint64_t seed)
      : options_(std::move(options)), random_(seed), shuffle_(world_.loop, seed) {
    if (options_.external_data) data_ = std::make_shared<Storage>();
    if (options_.backing_size > 0) {
      backing_ = std::make_shared<Storage>();
      backing_->resize(options_.backing_size);
      for (uint64_t i = 0; i < options_.backing_size; i += 512)
        std::fill_n(backing_->bytes.begin() + static_cast<ptrdiff_t>(i), 512, value());
      options_.create.backing_file = "base.raw";
      options_.create.backing_format = "raw";
    }
    storage_ = world_.create(options_.create, data_);
    storage_->limits.block = options_.block;
    storage_->limits.buffer_alignment = options_.block;
    model_.resize(options_.create.size);
    for (uint64_t i = 0; i < std::min(options_.backing_size, options_.create.size); ++i)
      model_[i] = backing_->bytes[i];
    open();
  }

  void step() {
    switch (random_() % 24) {
      case 0:
        REQUIRE_FALSE(run(image_->flush()));
        return;
      case 1:
        reopen();
        return;
      case 2:
      case 3:
        if (options_.snapshots) snapshot();
        return;
      case 4:
        if (options_.resizes) resize();
        return;
      case 5:
        discard();
        return;
      case 6:
        compare();
        return;
      default:
        batch(1 + random_() % 12);
    }
  }
  void compare() {
    const auto bytes = world_.read(*image_, 0, model_.size());
    for (size_t i = 0; i < model_.size(); ++i) {
      if (bytes[i] == model_[i]) continue;
      FAIL("byte " << i << " is " << int(bytes[i]) << " and should be " << int(model_[i]));
    }
  }
  void reopen() {
    close();
    open();
    compare();
  }
  void close() { REQUIRE_FALSE(run(image_->close())); }
  void open() {
    std::unique_ptr<Node> other;
    if (data_) other = std::make_unique<ScriptedMemory>(data_, &shuffle_);
    if (backing_) other = std::make_unique<ScriptedMemory>(backing_, &shuffle_);
    image_ = world_.open(storage_, {.metadata_cache = options_.metadata_cache}, std::move(other),
                         &shuffle_);
  }
  void check() {
    const qcow2::CheckResult result = run(image_->check(qcow2::Repair::none));
    CHECK(result.errors == 0);
    CHECK(result.corruptions == 0);
    CHECK(result.leaks == 0);
  }
  const std::vector<std::byte>& model() const { return model_; }
  std::shared_ptr<Storage> storage() { return storage_; }
  std::shared_ptr<Storage> backing() { return backing_; }
  std::shared_ptr<Storage> data() { return data_; }

 private:
  struct Range {
    uint64_t offset, length;
  };
  std::byte value() { return std::byte(1 + random_() % 255); }
  template <class T>
  T run(Task<T> task) {
    return block_on(world_.loop, std::move(task));
  }
  uint64_t unit() const { return std::max<uint64_t>(options_.block, 1); }
  Range range() {
    const uint64_t size = model_.size() / unit();
    if (size == 0) return {0, 0};
    const uint64_t cluster = std::max<uint64_t>(1, options_.create.cluster_size / unit());
    const uint64_t max = random_() % 3 == 0 ? cluster * 5 : cluster / 2 + 1;
    uint64_t offset = random_() % size;
    if (random_() % 4 == 0) offset -= offset % cluster;
    uint64_t length = 1 + random_() % max;
    if (random_() % 4 == 0) length = cluster * (1 + random_() % 3);
    return {offset * unit(), std::min(length, size - offset) * unit()};
  }
  // Requests side by side on ranges that do not overlap, though they share clusters.
  void batch(size_t count) {
    std::vector<Range> taken;
    std::vector<std::unique_ptr<qcow2::Buffer>> buffers;
    qcow2::Gather gather(64);
    run(spawn(gather, taken, buffers, count));
    REQUIRE_FALSE(run(gather.done()));
    for (const auto& expected : expected_reads_)
      REQUIRE(std::equal(expected.second.begin(), expected.second.end(), expected.first->data()));
    expected_reads_.clear();
  }
  Task<int> spawn(qcow2::Gather& gather, std::vector<Range>& taken,
                  std::vector<std::unique_ptr<qcow2::Buffer>>& buffers, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const Range r = range();
      const bool clash = std::any_of(taken.begin(), taken.end(), [&](const Range& t) {
        return r.offset < t.offset + t.length && t.offset < r.offset + r.length;
      });
      if (clash || r.length == 0) continue;
      taken.push_back(r);
      Task<std::error_code> task = request(r, buffers);
      co_await gather.add(std::move(task));
    }
    co_return 0;
  }
  Task<std::error_code> request(Range r, std::vector<std::unique_ptr<qcow2::Buffer>>& buffers) {
    const auto at = model_.begin() + static_cast<ptrdiff_t>(r.offset);
    buffers.push_back(std::make_unique<qcow2::Buffer>(r.length));
    qcow2::Buffer& buffer = *buffers.back();
    IoVecs vectors{buffer.vector()};
    const uint64_t half = r.length / 2 - r.length / 2 % unit();
    if (random_() % 3 == 0 && half > 0 && half < r.length)
      vectors = {{buffer.data(), half}, {buffer.data() + half, r.length - half}};
    switch (random_() % 8) {
      case 0: {
        std::fill_n(at, r.length, std::byte{0});
        const ZeroFlags flags{.may_unmap = random_() % 2 == 0};
        return image_->zero(r.offset, r.length, flags);
      }
      case 1:
      case 2:
        expected_reads_.push_back({&buffer, {at, at + static_cast<ptrdiff_t>(r.length)}});
        return image_->read(r.offset, std::move(vectors));
      case 3:
        if (!data_ && r.offset % options_.create.cluster_size == 0 &&
            r.length >= options_.create.cluster_size) {
          r.length -= r.length % options_.create.cluster_size;
          std::fill_n(buffer.data(), r.length, value());
          copy(buffer, r);
          return image_->write(r.offset, {{buffer.data(), r.length}},
                               WriteFlags{.compressed = true});
        }
        [[fallthrough]];
      default: {
        const bool noise = random_() % 2 == 0;
        const std::byte fill = value();
        for (std::byte& byte : buffer.bytes()) byte = noise ? value() : fill;
        copy(buffer, r);
        const WriteFlags flags{.fua = random_() % 16 == 0};
        return image_->write(r.offset, std::move(vectors), flags);
      }
    }
  }
  void copy(qcow2::Buffer& buffer, Range r) {
    std::copy_n(buffer.data(), r.length, model_.begin() + static_cast<ptrdiff_t>(r.offset));
  }
  // A hint: every byte is what it was, or zero.
  void discard() {
    const Range r = range();
    if (r.length == 0) return;
    REQUIRE_FALSE(run(image_->discard(r.offset, r.length)));
    const auto now = world_.read(*image_, r.offset, r.length);
    for (uint64_t i = 0; i < r.length; ++i) {
      if (now[i] != model_[r.offset + i]) REQUIRE(now[i] == std::byte{0});
      model_[r.offset + i] = now[i];
    }
  }
  void snapshot() {
    const auto pick = [&] {
      auto at = snapshots_.begin();
      std::advance(at, static_cast<ptrdiff_t>(random_() % snapshots_.size()));
      return at;
    };
    switch (random_() % 3) {
      case 0: {
        if (snapshots_.size() > 4) return;
        const std::string name = "s" + std::to_string(next_snapshot_++);
        REQUIRE_FALSE(run(image_->create_snapshot(name)));
        snapshots_[name] = model_;
        return;
      }
      case 1: {
        if (snapshots_.empty()) return;
        const auto at = pick();
        REQUIRE_FALSE(run(image_->apply_snapshot(at->first)));
        model_ = at->second;
        return;
      }
      default: {
        if (snapshots_.empty()) return;
        const auto at = pick();
        REQUIRE_FALSE(run(image_->delete_snapshot(at->first)));
        snapshots_.erase(at);
      }
    }
  }
  void resize() {
    if (options_.create.version < 3 && !snapshots_.empty()) return;
    uint64_t size = options_.create.size / 2 + random_() % options_.create.size;
    size -= size % 512;
    REQUIRE_FALSE(run(image_->resize(size)));
    model_.resize(size);
  }

  ModelOptions options_;
  World world_;
  std::mt19937_64 random_;
  Shuffle shuffle_;
  std::shared_ptr<Storage> storage_, backing_, data_;
  std::unique_ptr<Qcow2> image_;
  std::vector<std::byte> model_;
  std::map<std::string, std::vector<std::byte>> snapshots_;
  std::vector<std::pair<qcow2::Buffer*, std::vector<std::byte>>> expected_reads_;
  uint64_t next_snapshot_ = 1;
};

}  // namespace vireo::blk::testing
