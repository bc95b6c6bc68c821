// A whole image of arbitrary bytes, opened for writing: everything a guest and the tools can ask of
// it ends, with or without an error, without touching what it must not.
#include "blockdev/format/qcow2.h"
#include "blockdev/testing/scripted_memory.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

constexpr uint64_t kMaxFile = 64 * 1024 * 1024;

Task<std::unique_ptr<Node>> nothing() {
  throw ConfigError("there are no other files");
  co_return nullptr;
}

std::error_code full_disk(Storage::Op op, uint64_t offset, uint64_t length) {
  const bool grows = op == Storage::Op::resize && std::max(offset, length) > kMaxFile;
  return grows ? std::make_error_code(std::errc::no_space_on_device) : std::error_code{};
}

Task<void> use(Qcow2& image) {
  const uint64_t size = image.limits().size;
  qcow2::Buffer buffer = qcow2::Buffer::zeros(256 * 1024);
  std::error_code error;
  for (const uint64_t at : {uint64_t{0}, size / 3, size / 2, size - size / 5}) {
    const uint64_t length = std::min<uint64_t>(buffer.size(), size - std::min(at, size));
    if (length == 0) continue;
    IoVecs into{{buffer.data(), length}}, from = into;
    error = co_await image.read(at, std::move(into));
    [[maybe_unused]] const Extent extent = co_await image.extent(at, length);
    error = co_await image.write(at, std::move(from), WriteFlags{});
    const uint64_t part = std::max<uint64_t>(1, length / 2);
    error = co_await image.zero(at, part, ZeroFlags{.may_unmap = true});
    error = co_await image.discard(at, part);
    error = co_await image.flush();
  }
  error = co_await image.create_snapshot("fuzz");
  if (!image.snapshots().empty()) {
    std::string id = image.snapshots().front().id;
    error = co_await image.apply_snapshot(id);
    error = co_await image.delete_snapshot(id);
  }
  if (size < kMaxFile) error = co_await image.resize(size + 65536);
  error = co_await image.resize(std::min(size, image.limits().size) / 2);
}

Task<void> run(Host host, std::shared_ptr<Storage> storage, bool repair) {
  std::unique_ptr<Node> file = std::make_unique<ScriptedMemory>(storage);
  Qcow2Options options{.path = "fuzz", .no_backing = true, .for_repair = repair};
  OpenReference none = [](const ImageReference&) { return nothing(); };
  try {
    const std::unique_ptr<Qcow2> image =
        co_await open_qcow2(host, std::move(file), std::move(options), std::move(none));
    if (repair) {
      const qcow2::CheckResult result = co_await image->check(qcow2::Repair::all);
      VMM_CHECK(result.corruptions >= result.corruptions_fixed, "only what was found is repaired");
    }
    co_await use(*image);
    [[maybe_unused]] const std::error_code error = co_await image->close();
  } catch (const ConfigError&) {
  } catch (const std::system_error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  EventLoop loop;
  WorkerPool pool(1);
  for (const bool repair : {false, true}) {
    auto storage = std::make_shared<Storage>();
    storage->resize(size);
    if (size > 0) std::memcpy(storage->bytes.data(), data, size);
    storage->fault = full_disk;
    block_on(loop, run(Host{.loop = loop, .pool = pool}, storage, repair));
  }
  return 0;
}
