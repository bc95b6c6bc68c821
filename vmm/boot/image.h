// The bytes of a kernel or initrd, read at random, wherever they lie.
//
// Thread: control. A file that changes while it is read gives wrong bytes or a ConfigError, never
// anything worse: nothing is mapped. Offsets and sizes in bytes.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "vmm/base/bytes.h"
#include "vmm/base/fd.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

class Image {
 public:
  // `name` is for messages: "kernel '/boot/vmlinuz'".
  Image(std::string name, uint64_t size) : name_(std::move(name)), size_(size) {}
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  virtual ~Image() = default;

  const std::string& name() const noexcept { return name_; }
  uint64_t size() const noexcept { return size_; }
  bool contains(uint64_t offset, uint64_t length) const noexcept {
    return offset <= size_ && length <= size_ - offset;
  }

  // Throws ConfigError when [offset, offset + into.size()) is not in the image or cannot be read.
  void read(uint64_t offset, std::span<std::byte> into) const;
  template <Wire T>
  T read(uint64_t offset) const {
    T value;
    read(offset, writable_bytes_of(value));
    return value;
  }
  // As read(), into memory that is all zero: long runs of zeros may be left out.
  void load(uint64_t offset, std::span<std::byte> into) const;

  // "kernel 'x' is corrupt: <why>", to be thrown as it is.
  [[noreturn]] void corrupt(std::string_view why) const;

 protected:
  virtual void do_read(uint64_t offset, std::span<std::byte> into) const = 0;
  virtual void do_load(uint64_t offset, std::span<std::byte> into) const { do_read(offset, into); }

 private:
  std::string name_;
  uint64_t size_;
};

class FileImage : public Image {
 public:
  // Throws ConfigError when the path is not a readable, regular, non-empty file; `role` is
  // "kernel".
  FileImage(std::string_view role, const std::filesystem::path& path);
  // The first `size` bytes of an open file.
  FileImage(std::string name, UniqueFd fd, uint64_t size);

  const struct stat& status() const noexcept { return opened_.status; }

 private:
  struct Opened {
    UniqueFd fd;
    struct stat status;
  };
  FileImage(std::string name, Opened opened);
  static Opened open(const std::string& name, const std::filesystem::path& path);
  void do_read(uint64_t offset, std::span<std::byte> into) const override;
  void do_load(uint64_t offset, std::span<std::byte> into) const override;
  uint64_t next(int whence, uint64_t offset, uint64_t end) const;

  Opened opened_;
};

class MemoryImage : public Image {  // borrows the bytes
 public:
  MemoryImage(std::string name, std::span<const std::byte> bytes)
      : Image(std::move(name), bytes.size()), bytes_(bytes) {}

 private:
  void do_read(uint64_t offset, std::span<std::byte> into) const override;
  void do_load(uint64_t offset, std::span<std::byte> into) const override;

  std::span<const std::byte> bytes_;
};

// Image::load() into guest RAM that is all zero; [address, address + length) must be RAM of one
// region.
void load_into(GuestMemory& memory, uint64_t address, const Image& image, uint64_t offset,
               uint64_t length);

}  // namespace vireo
