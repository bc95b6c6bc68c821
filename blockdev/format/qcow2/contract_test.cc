// qcow2 images of all shapes keep what every node keeps, and stand the requests that every stack of
// nodes stands.
#include <catch2/catch.hpp>

#include "blockdev/format/qcow2/create.h"
#include "blockdev/format/qcow2/qcow2.h"
#include "blockdev/testing/node_contract.h"
#include "blockdev/testing/random_io.h"
#include "blockdev/testing/scripted_memory.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

using File = std::shared_ptr<Storage>;

struct Shape {
  const char* name;
  Qcow2CreateOptions create;
  uint32_t block = 1;  // of the file
};

std::vector<Shape> shapes() {
  using qcow2::Compression;
  return {{"one-bit refcounts", {.cluster_size = 512, .refcount_bits = 1}},
          {"64-bit refcounts", {.cluster_size = 1024, .refcount_bits = 64}, 512},
          {"lazy refcounts", {.cluster_size = 4096, .lazy_refcounts = true}, 4096},
          {"version 2", {.cluster_size = 4096, .version = 2}},
          {"subclusters", {.cluster_size = 65536, .extended_l2 = true}, 512},
          {"large clusters", {.cluster_size = 2 * 1024 * 1024, .refcount_bits = 8}},
          {"external data", {.cluster_size = 65536, .data_file = "data.raw"}},
          {"zstd", {.cluster_size = 65536, .refcount_bits = 2, .compression = Compression::zstd}}};
}

Task<std::unique_ptr<Node>> hand_over(std::shared_ptr<std::unique_ptr<Node>> node) {
  co_return std::move(*node);
}

File make_file(uint32_t block) {
  auto file = std::make_shared<Storage>();
  file->limits.block = block;
  file->limits.buffer_alignment = block;
  return file;
}

// Images on top of each other; closing one keeps what it holds.
class Chain {
 public:
  explicit Chain(Shape shape) : shape_(std::move(shape)) {}

  void push(TestHost& host) {
    Qcow2CreateOptions options = shape_.create;
    options.path = "image.qcow2";
    options.size = kContractSize;
    if (!files_.empty()) {
      options.backing_file = "below.qcow2";
      options.backing_format = "qcow2";
    }
    std::unique_ptr<Node> data;
    if (!options.data_file.empty()) {
      data_ = make_file(1);
      data = std::make_unique<ScriptedMemory>(data_);
    }
    files_.push_back(make_file(shape_.block));
    auto file = std::make_unique<ScriptedMemory>(files_.back());
    host.wait(create_qcow2(host.host(), std::move(file), std::move(data), options));
  }
  std::unique_ptr<Node> open(TestHost& host) { return open_level(host, files_.size() - 1, false); }
  size_t depth() const { return files_.size(); }

 private:
  std::unique_ptr<Node> open_level(TestHost& host, size_t level, bool read_only) {
    const auto other = std::make_shared<std::unique_ptr<Node>>();
    if (level > 0) *other = open_level(host, level - 1, true);
    if (data_) *other = std::make_unique<ScriptedMemory>(data_);
    Qcow2Options options{
        .path = "image.qcow2", .read_only = read_only, .references = References::any};
    options.path += std::to_string(level);
    auto file = std::make_unique<ScriptedMemory>(files_[level]);
    return host.wait(open_qcow2(host.host(), std::move(file), std::move(options),
                                [other](const ImageReference&) { return hand_over(other); }));
  }

  Shape shape_;
  std::vector<File> files_;
  File data_;
};

}  // namespace

TEST_CASE("qcow2 images keep the node contract") {
  const Shape shape = GENERATE(from_range(shapes()));
  CAPTURE(shape.name);
  const size_t depth = shape.create.version == 2 || shape.create.extended_l2 ? 3 : 1;
  check_node_contract([&](TestHost& host) {
    Chain chain(shape);
    while (chain.depth() < depth) chain.push(host);
    return chain.open(host);
  });
}

// Each time the disk is opened anew it gets another layer, up to three.
TEST_CASE("qcow2 images and chains of them stand random requests") {
  TestHost host;
  const Shape shape = GENERATE(from_range(shapes()));
  CAPTURE(shape.name);
  const bool layers = shape.create.data_file.empty() && shape.create.cluster_size < 1024 * 1024;
  Chain chain(shape);
  chain.push(host);
  const auto open = [&] { return std::make_unique<Disk>("vda", chain.open(host)); };
  RandomIo io(host, open(), {.seed = 4, .rounds = 40, .check_every = 20});
  io.on_reopen([&](std::unique_ptr<Disk> disk) {
    REQUIRE_FALSE(host.wait(disk->close()));
    disk.reset();
    if (layers && chain.depth() < 3) chain.push(host);
    return open();
  });
  io.run();
}
