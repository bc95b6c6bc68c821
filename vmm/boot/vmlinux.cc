#include "vmm/boot/vmlinux.h"

#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/boot/kernel_cache.h"
#include "vmm/boot/sha256.h"

namespace vireo {
namespace {

std::optional<Vmlinux> parsed(std::unique_ptr<Image> image, std::optional<Pages> pages) {
  if (!is_elf(*image)) return std::nullopt;
  Vmlinux kernel{.pages = std::move(pages), .image = std::move(image)};
  kernel.elf = parse_elf(*kernel.image);
  const auto entry = kernel.elf.physical_entry();
  if (!kernel.elf.is_64bit || !entry) return std::nullopt;
  kernel.entry = *entry;
  return kernel;
}

// An entry of the cache that does not parse is as good as none: it will be replaced.
std::optional<Vmlinux> from_cache(const FileImage& file, std::optional<KernelCache::Entry> entry) {
  if (!entry) return std::nullopt;
  try {
    return parsed(std::make_unique<FileImage>(file.name(), std::move(entry->fd), entry->size), {});
  } catch (const ConfigError&) {
    return std::nullopt;
  }
}

}  // namespace

std::optional<Vmlinux> extract_vmlinux(const FileImage& file, const BzImage& bzimage,
                                       const std::filesystem::path& cache_path, const Logger& log) {
  if (!bzimage.payload || bzimage.payload->length > kMaxUnpacked) return std::nullopt;
  const KernelCache cache(cache_path);
  if (auto kernel = from_cache(file, cache.find_file(file.status()))) return kernel;

  const Pages payload(bzimage.payload->length);
  file.read(bzimage.payload->offset, payload.bytes());
  const std::string hash = cache ? sha256_hex(payload.bytes()) : std::string();
  if (auto kernel = from_cache(file, cache.find_payload(hash, file.status()))) return kernel;

  auto pages = unpack_kernel(payload.bytes(), file.name());
  if (!pages) {
    log.info("boot",
             fmt::format("{} is packed in a way unknown here: the guest unpacks it", file.name()));
    return std::nullopt;
  }
  const std::span<const std::byte> unpacked = pages->bytes();
  auto kernel = parsed(std::make_unique<MemoryImage>(file.name(), unpacked), std::move(pages));
  if (kernel) cache.store(hash, file.status(), unpacked);
  return kernel;
}

}  // namespace vireo
