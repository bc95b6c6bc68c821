#include "blockdev/protocol/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <filesystem>

#include <catch2/catch.hpp>

#include "blockdev/format/raw.h"
#include "blockdev/testing/node_contract.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;
using Catch::Matchers::Contains;

namespace {

std::unique_ptr<FileNode> open_now(TestHost& host, const std::string& path, OpenOptions options) {
  FileEngines engines{host.host()};
  return host.wait(open_file(engines, {path}, options));
}

std::string refusal(TestHost& host, const std::string& path, OpenOptions options = {}) {
  try {
    open_now(host, path, options);
  } catch (const std::exception& error) {
    return describe(error);
  }
  return "";
}

// Not every file system has O_DIRECT; where a test's directory lacks it there is nothing to test.
bool has_direct_io(const TempDir& dir) {
  const std::string path = dir.file("probe", 4096);
  const UniqueFd fd{::open(path.c_str(), O_RDWR | O_DIRECT)};
  return static_cast<bool>(fd);
}

// Answers each operation as the script says; what the script does not name is done in full.
class ScriptedEngine final : public IoEngine {
 public:
  explicit ScriptedEngine(EventLoop& loop) : loop_(loop) {}
  std::deque<int64_t> script;  // the most bytes to move, or -errno
  std::vector<IoOp::Kind> seen;

  void submit(IoOp& op) override {
    seen.push_back(op.kind);
    const int64_t most = script.empty() ? INT64_MAX : script.front();
    if (!script.empty()) script.pop_front();
    op.result = most < 0 ? most : move(op, static_cast<uint64_t>(most));
    loop_.post([&op] { op.waiter.resume(); });
  }

 private:
  static int64_t move(const IoOp& op, uint64_t most) {
    if (op.kind == IoOp::Kind::fdatasync) return 0;
    const IoVecs all(op.vectors.begin(), op.vectors.end());
    const IoVecs part = slice(all, 0, std::min(most, total_length(all)));
    const auto offset = static_cast<off_t>(op.offset);
    const int count = static_cast<int>(part.size());
    return op.kind == IoOp::Kind::read ? ::preadv(op.fd, part.data(), count, offset)
                                       : ::pwritev(op.fd, part.data(), count, offset);
  }

  EventLoop& loop_;
};

// A node over a scripted engine and a real file of 64 KiB.
struct Scripted {
  explicit Scripted(CacheMode cache = CacheMode::writeback, uint32_t block = 1)
      : engine(std::make_shared<ScriptedEngine>(host.loop)),
        path(dir.file("disk", 65536)),
        node(host.host(), engine, open(block), cache) {}

  OpenFile open(uint32_t block) const {
    return OpenFile{.fd = UniqueFd{::open(path.c_str(), O_RDWR | O_CLOEXEC)},
                    .limits = {.size = 65536, .block = block}};
  }

  TempDir dir;
  TestHost host;
  std::shared_ptr<ScriptedEngine> engine;
  std::string path;
  FileNode node;
};

}  // namespace

TEST_CASE("files keep the node contract in every cache mode") {
  const CacheMode cache =
      GENERATE(CacheMode::writeback, CacheMode::none, CacheMode::writethrough, CacheMode::unsafe);
  CAPTURE(static_cast<int>(cache));
  const TempDir dir;
  if (cache == CacheMode::none && !has_direct_io(dir)) return;
  const std::string path = dir.file("disk", kContractSize);
  check_node_contract([&](TestHost& host) { return open_now(host, path, {.cache = cache}); });
}

TEST_CASE("a file that cannot be opened is refused with a sentence that says why and what to do") {
  TestHost host;
  const TempDir dir;
  REQUIRE_THAT(refusal(host, dir.path("none")), Contains("none' does not exist"));
  REQUIRE_THAT(refusal(host, dir.path("")), Contains("is a directory"));
  const std::string file = dir.file("disk", 4096);
  REQUIRE_THAT(refusal(host, file + "/deeper"), Contains("does not exist"));
  const std::string fifo = dir.path("fifo");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  REQUIRE_THAT(refusal(host, fifo), Contains("neither a regular file nor a block device"));
  REQUIRE_THAT(refusal(host, "/dev/null"), Contains("neither a regular file nor a block device"));
  if (::geteuid() == 0) return;  // root may do anything
  REQUIRE(::chmod(file.c_str(), 0400) == 0);
  REQUIRE_THAT(refusal(host, file), Contains("no permission to read and write"));
  REQUIRE(refusal(host, file, {.read_only = true}).empty());
}

TEST_CASE("reads beyond the end of a file give zeros") {
  TestHost host;
  const TempDir dir;
  const CacheMode cache = GENERATE(CacheMode::writeback, CacheMode::none);
  if (cache == CacheMode::none && !has_direct_io(dir)) return;
  const std::string path = dir.file("disk", 10000);  // no multiple of any block
  const auto node = open_now(host, path, {.cache = cache});
  REQUIRE_FALSE(write_bytes(host, *node, 4096, pattern(4096, 1)));
  REQUIRE(node->limits().size == 10000);
  std::vector<std::byte> expected = pattern(4096, 1);
  expected.resize(65536 - 4096);
  REQUIRE(read_bytes(host, *node, 4096, 65536 - 4096) == expected);
  REQUIRE(read_bytes(host, *node, 1048576, 4096) == zeros(4096));

  std::filesystem::resize_file(path, 5000);  // by somebody else
  expected = pattern(4096, 1);
  std::fill(expected.begin() + (5000 - 4096), expected.end(), std::byte{0});
  REQUIRE(read_bytes(host, *node, 4096, 4096) == expected);
}

TEST_CASE("writes and zeroing beyond the end of a file make it longer") {
  TestHost host;
  const TempDir dir;
  const std::string path = dir.file("disk", 8192);
  const auto node = open_now(host, path, {});
  REQUIRE_FALSE(write_bytes(host, *node, 16384, pattern(4096, 1)));
  REQUIRE(node->limits().size == 20480);
  REQUIRE_FALSE(host.wait(node->zero(32768, 4096, {.may_unmap = true})));
  REQUIRE(node->limits().size == 36864);
  REQUIRE(std::filesystem::file_size(path) == 36864);
}

TEST_CASE("discarding a file's range gives its space back") {
  TestHost host;
  const TempDir dir;
  const std::string path = dir.file("disk", 1048576);
  const auto node = open_now(host, path, {});
  REQUIRE_FALSE(write_bytes(host, *node, 0, pattern(1048576, 1)));
  REQUIRE_FALSE(host.wait(node->flush()));
  REQUIRE_FALSE(host.wait(node->discard(0, 1048576)));
  if (!node->limits().can_discard) return;  // the file system cannot
  struct ::stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  REQUIRE(status.st_blocks == 0);
  REQUIRE(status.st_size == 1048576);
  const Extent hole = host.wait(node->extent(0, 1048576));
  REQUIRE(hole.zero);
  REQUIRE(hole.allocated);
}

TEST_CASE("a run of data is one until it has a hole") {
  TestHost host;
  const TempDir dir;
  const auto node = open_now(host, dir.file("disk", 1048576), {});
  REQUIRE(node->limits().sparse);
  REQUIRE_FALSE(write_bytes(host, *node, 65536, pattern(262144, 1)));
  const auto extent = [&](uint64_t offset) { return host.wait(node->extent(offset, 131072)); };
  REQUIRE(extent(0).zero);
  REQUIRE(extent(0).length == 65536);
  REQUIRE(extent(65536).data);
  REQUIRE(extent(65536).length == 131072);
  REQUIRE(extent(69632).length == 131072);
  REQUIRE(extent(258048).length == 69632);
  REQUIRE(extent(327680).zero);
  SECTION("zeroed") {
    REQUIRE_FALSE(host.wait(node->zero(131072, 65536, {.may_unmap = true})));
    if (!node->limits().can_zero) return;
    REQUIRE(extent(131072).zero);
    REQUIRE(extent(131072).length == 65536);
  }
  SECTION("discarded") {
    REQUIRE_FALSE(host.wait(node->discard(131072, 65536)));
    if (!node->limits().can_discard) return;
    REQUIRE(extent(131072).zero);
  }
  SECTION("cut off") {
    REQUIRE_FALSE(host.wait(node->resize(131072)));
    REQUIRE_FALSE(host.wait(node->resize(1048576)));
    REQUIRE(extent(131072).zero);
  }
}

TEST_CASE("a read-only file is opened and limited as such") {
  TestHost host;
  const TempDir dir;
  const auto node = open_now(host, dir.file("disk", 4096), {.read_only = true});
  REQUIRE(node->limits().read_only);
  REQUIRE_FALSE(node->limits().can_discard);
  REQUIRE(read_bytes(host, *node, 0, 4096) == zeros(4096));
  REQUIRE_FALSE(host.wait(node->flush()));
}

TEST_CASE("short transfers are continued where they stopped") {
  Scripted disk;
  disk.engine->script = {1000, 1, 7000, -EINTR, 5};
  REQUIRE_FALSE(write_bytes(disk.host, disk.node, 4096, pattern(20000, 1)));
  REQUIRE(disk.engine->seen.size() == 6);
  disk.engine->script = {3, -EINTR, 4096, 1};
  REQUIRE(read_bytes(disk.host, disk.node, 4096, 20000) == pattern(20000, 1));
}

TEST_CASE("scattered short transfers find their place in the list") {
  Scripted disk;
  std::vector<std::byte> bytes = pattern(3000, 1);
  IoVecs vectors{{bytes.data(), 1000}, {bytes.data() + 1000, 500}, {bytes.data() + 1500, 1500}};
  disk.engine->script = {1000, 499, 1, 1499};
  REQUIRE_FALSE(disk.host.wait(disk.node.write(10, vectors, {})));
  REQUIRE(read_bytes(disk.host, disk.node, 10, 3000) == pattern(3000, 1));
}

TEST_CASE("a write that moves nothing is a full disk, a read that moves nothing the end") {
  Scripted disk;
  disk.engine->script = {100, 0};
  REQUIRE(write_bytes(disk.host, disk.node, 0, pattern(4096, 1)) == std::errc::no_space_on_device);
  disk.engine->script = {100, 0};
  std::vector<std::byte> expected = pattern(4096, 1);
  std::fill(expected.begin() + 100, expected.end(), std::byte{0});
  REQUIRE(read_bytes(disk.host, disk.node, 0, 4096) == expected);
}

TEST_CASE("direct reads end where they stop inside a block") {
  Scripted disk(CacheMode::none, 512);
  disk.engine->script = {512 + 100};
  REQUIRE(read_bytes(disk.host, disk.node, 0, 4096) == zeros(4096));
  REQUIRE(disk.engine->seen.size() == 1);
  disk.engine->script = {512};
  REQUIRE(read_bytes(disk.host, disk.node, 0, 4096) == zeros(4096));
  REQUIRE(disk.engine->seen.size() == 3);
}

TEST_CASE("errors of transfers come back as they are") {
  Scripted disk;
  disk.engine->script = {-EIO};
  REQUIRE(write_bytes(disk.host, disk.node, 0, pattern(512, 1)) == std::errc::io_error);
  disk.engine->script = {100, -ENOSPC};
  REQUIRE(write_bytes(disk.host, disk.node, 0, pattern(512, 1)) == std::errc::no_space_on_device);
}

TEST_CASE("a flush without changes since the last one costs nothing") {
  Scripted disk;
  REQUIRE_FALSE(disk.host.wait(disk.node.flush()));  // nobody knows what was before us
  REQUIRE_FALSE(disk.host.wait(disk.node.flush()));
  REQUIRE(disk.engine->seen == std::vector{IoOp::Kind::fdatasync});
  REQUIRE_FALSE(write_bytes(disk.host, disk.node, 0, pattern(512, 1)));
  REQUIRE_FALSE(disk.host.wait(disk.node.flush()));
  REQUIRE(disk.engine->seen.size() == 3);
}

TEST_CASE("a failed flush of the page cache stays failed, a direct one may be tried again") {
  const bool direct = GENERATE(false, true);
  Scripted disk(direct ? CacheMode::none : CacheMode::writeback, direct ? 512 : 1);
  disk.engine->script = {-ENOSPC};
  REQUIRE(disk.host.wait(disk.node.flush()) == std::errc::no_space_on_device);
  const std::error_code again = disk.host.wait(disk.node.flush());
  // Room alone does not bring back what the kernel has dropped.
  REQUIRE(again == (direct ? std::error_code{} : std::make_error_code(std::errc::io_error)));
}

TEST_CASE("cache=unsafe never flushes") {
  Scripted disk(CacheMode::unsafe);
  REQUIRE_FALSE(write_bytes(disk.host, disk.node, 0, pattern(512, 1), {.fua = true}));
  REQUIRE_FALSE(disk.host.wait(disk.node.flush()));
  REQUIRE(disk.engine->seen == std::vector{IoOp::Kind::write});
}
