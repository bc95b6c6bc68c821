#include "vmm/boot/cpio.h"

#include <sys/stat.h>

#include <limits>
#include <string>

#include <fmt/format.h>

#include "vmm/base/error.h"

namespace vireo {

void Cpio::add_directory(std::string_view path, uint32_t mode) {
  add(path, {.mode = S_IFDIR | mode, .links = 2});
}

void Cpio::add_file(std::string_view path, std::span<const std::byte> content, uint32_t mode) {
  add(path, {.mode = S_IFREG | mode, .content = content});
}

void Cpio::add_character_device(std::string_view path, uint32_t major, uint32_t minor,
                                uint32_t mode) {
  add(path, {.mode = S_IFCHR | mode, .major = major, .minor = minor});
}

std::vector<std::byte> Cpio::finish() {
  add("TRAILER!!!", {});
  return archive_.take();
}

// Magic, inode, mode, owner, group, links, time, size, device of the file system (two), device
// (two), length of the name with its zero, checksum.
void Cpio::add(std::string_view path, const Entry& entry) {
  VMM_CHECK(entry.content.size() <= std::numeric_limits<uint32_t>::max(), "sizes have 32 bits");
  const std::string header = fmt::format(
      "070701{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
      next_inode_++, entry.mode, 0, 0, entry.links, 0, entry.content.size(), 0, 0, entry.major,
      entry.minor, path.size() + 1, 0);
  archive_.put(bytes_of_text(header));
  archive_.put(bytes_of_text(path));
  archive_.zeros(1);
  pad();
  archive_.put(entry.content);
  pad();
}

void Cpio::pad() {
  constexpr size_t kAlignment = 4;
  archive_.zeros((kAlignment - archive_.size() % kAlignment) % kAlignment);
}

}  // namespace vireo
