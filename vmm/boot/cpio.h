// An initramfs: files as Linux unpacks them before anything is mounted (Documentation/driver-api/
// early-userspace/buffer-format.rst, "newc").
//
// Thread: any. Owns what was added, as one archive. The owner of all is root, times are 0, so that
// the same content gives the same bytes. A directory comes before what is in it: that is the
// caller's.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vmm/base/bytes.h"

namespace vireo {

class Cpio {
 public:
  // Paths without a leading slash; modes are permissions.
  void add_directory(std::string_view path, uint32_t mode = 0755);
  void add_file(std::string_view path, std::span<const std::byte> content, uint32_t mode = 0644);
  void add_character_device(std::string_view path, uint32_t major, uint32_t minor,
                            uint32_t mode = 0600);
  // The whole archive; nothing can be added after.
  std::vector<std::byte> finish();

 private:
  struct Entry {
    uint32_t mode = 0;  // with the type
    uint32_t links = 1;
    uint32_t major = 0, minor = 0;  // of a device
    std::span<const std::byte> content{};
  };
  void add(std::string_view path, const Entry& entry);
  void pad();

  ByteWriter archive_;
  uint32_t next_inode_ = 1;
};

}  // namespace vireo
