// Everything a guest and the tools can ask of a qcow2 image, for fuzzers: whatever the image holds,
// each request ends, with or without an error, in bounded time and memory.
#pragma once

#include <memory>
#include <string>

#include "blockdev/format/qcow2/qcow2.h"
#include "blockdev/testing/scripted_memory.h"
#include "vmm/base/error.h"

namespace vireo::blk::testing {

// The host's disk is full when the image has grown by this much.
inline constexpr uint64_t kHostileGrowth = 256 * 1024;

inline Task<std::unique_ptr<Node>> no_other_file() {
  throw ConfigError("there are no other files");
  co_return nullptr;
}

inline Task<void> use_hostile(Qcow2& image) {
  const uint64_t size = image.limits().size;
  qcow2::Buffer buffer = qcow2::Buffer::zeros(16 * 1024);
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
  IoVecs cluster{{buffer.data(), std::min<uint64_t>(buffer.size(), 512)}};
  const bool small = image.limits().optimal_block == 512 && size >= 512;
  if (small) error = co_await image.write(0, std::move(cluster), WriteFlags{.compressed = true});
  error = co_await image.create_snapshot("fuzz");
  if (!image.snapshots().empty()) {
    std::string id = image.snapshots().front().id;
    error = co_await image.apply_snapshot(id);
    error = co_await image.delete_snapshot(id);
  }
  if (size < kHostileGrowth) error = co_await image.resize(size + 65536);
  error = co_await image.resize(std::min(size, image.limits().size) / 2);
}

inline Task<void> open_hostile(Host host, std::shared_ptr<Storage> storage, bool repair) {
  std::unique_ptr<Node> file = std::make_unique<ScriptedMemory>(storage);
  Qcow2Options options{.path = "fuzz", .no_backing = true, .for_repair = repair};
  OpenReference none = [](const ImageReference&) { return no_other_file(); };
  try {
    const std::unique_ptr<Qcow2> image =
        co_await open_qcow2(host, std::move(file), std::move(options), std::move(none));
    if (repair) {
      const qcow2::CheckResult result = co_await image->check(qcow2::Repair::all);
      VMM_CHECK(result.corruptions >= result.corruptions_fixed, "only what was found is repaired");
    }
    co_await use_hostile(*image);
    [[maybe_unused]] const std::error_code error = co_await image->close();
  } catch (const ConfigError&) {
  } catch (const std::system_error&) {
  }
}

// Opened as a guest's disk and for repair.
inline void try_hostile(const std::vector<std::byte>& bytes) {
  EventLoop loop;
  WorkerPool pool(1);
  const uint64_t most = bytes.size() + kHostileGrowth;
  for (const bool repair : {false, true}) {
    auto storage = std::make_shared<Storage>();
    storage->bytes = bytes;
    storage->limits.size = bytes.size();
    storage->fault = [most](Storage::Op op, uint64_t, uint64_t length) {
      const bool grows = op == Storage::Op::resize && length > most;
      return grows ? std::make_error_code(std::errc::no_space_on_device) : std::error_code{};
    };
    block_on(loop, open_hostile(Host{.loop = loop, .pool = pool}, storage, repair));
  }
}

}  // namespace vireo::blk::testing
