#include "blockdev/testing/image_store.h"

#include <algorithm>

namespace vireo::blk::testing {

void ImageStore::raw(const std::string& name, uint64_t size) {
  auto storage = std::make_shared<Storage>();
  storage->resize(size);
  files_[name] = std::move(storage);
}

void ImageStore::qcow2(const std::string& name, Qcow2CreateOptions options) {
  if (!options.backing_file.empty())
    options.backing_format = is_qcow2(options.backing_file) ? "qcow2" : "raw";
  files_[name] = world.create(std::move(options));
}

Task<std::unique_ptr<Node>> ImageStore::open_node(std::string name, Qcow2Options options) {
  auto file = std::make_unique<ScriptedMemory>(files_.at(name), shuffle_.get());
  if (!is_qcow2(name)) co_return std::make_unique<RawNode>(std::move(file));
  options.path = name;
  options.references = References::any;
  OpenReference opener = [this](ImageReference reference) {
    return open_reference(std::move(reference));
  };
  const Host host = world.host();
  co_return co_await open_qcow2(host, std::move(file), std::move(options), std::move(opener));
}

Task<std::unique_ptr<Node>> ImageStore::open_reference(ImageReference reference) {
  Qcow2Options options{.read_only = reference.read_only, .chain = reference.chain};
  return open_node(reference.location.name(), std::move(options));
}

std::unique_ptr<Disk> ImageStore::open(const std::string& name, Qcow2Options options) {
  return std::make_unique<Disk>(name, run(open_node(name, std::move(options))));
}

ImageStore::Bytes ImageStore::content(const std::string& name) {
  auto disk = open_read_only(name);
  Bytes bytes = world.read(disk->graph(), 0, disk->limits().size);
  close(std::move(disk));
  return bytes;
}

void ImageStore::check(const std::string& name, bool leaks) {
  INFO(name);
  auto disk = open_alone(name);
  const auto result = run(dynamic_cast<Qcow2&>(disk->graph()).check(qcow2::Repair::none));
  CHECK(result.errors == 0);
  CHECK(result.corruptions == 0);
  if (!leaks) CHECK(result.leaks == 0);
  close(std::move(disk));
}

std::error_code ImageStore::write(Disk& disk, uint64_t offset, Bytes bytes, WriteFlags flags) {
  IoVecs from{{bytes.data(), bytes.size()}};
  return run(disk.write(offset, std::move(from), flags));
}

std::error_code ImageStore::scribble_once(Disk& disk, std::mt19937_64& random) {
  const uint64_t size = disk.limits().size;
  uint64_t offset = random() % size;
  if (random() % 2 == 0) offset -= offset % 4096;
  uint64_t length = 1 + random() % std::min<uint64_t>(size - offset, 60'000);
  if (random() % 2 == 0 && length > 4096) length -= length % 4096;
  const std::byte value{static_cast<uint8_t>(1 + random() % 255)};
  auto* const image = dynamic_cast<Qcow2*>(&disk.graph());
  switch (random() % 8) {
    case 0:
      return run(disk.zero(offset, length, ZeroFlags{.may_unmap = true}));
    case 1:
      return run(disk.zero(offset, length));
    case 2:
      return run(disk.discard(offset, length));
    case 3:
      if (image != nullptr) {
        const uint64_t cluster = image->header().geometry().cluster_size();
        offset -= offset % cluster;
        length = std::min(cluster, size - offset);
        return write(disk, offset, Bytes(length, value), {.compressed = true});
      }
      [[fallthrough]];
    default:
      return write(disk, offset, Bytes(length, value));
  }
}

void ImageStore::scribble(const std::string& name, std::mt19937_64& random, unsigned requests) {
  auto disk = open(name);
  for (unsigned i = 0; i < requests; ++i) REQUIRE_FALSE(scribble_once(*disk, random));
  close(std::move(disk));
}

std::map<std::string, Storage> ImageStore::save() const {
  std::map<std::string, Storage> saved;
  for (const auto& [name, storage] : files_) saved[name] = *storage;
  return saved;
}

void ImageStore::restore(const std::map<std::string, Storage>& saved) {
  for (const auto& [name, storage] : saved) *files_.at(name) = storage;
}

}  // namespace vireo::blk::testing
