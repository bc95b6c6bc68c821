// Unpacks the payload of a bzImage, and files that are packed in the same ways.
//
// Thread: any; pure. What is unpacked is hostile: the output of a payload is bounded by the size
// that the kernel's build appends to it, and that by kMaxUnpacked; that of a file by its caller.
// Sizes in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace vireo {

// Zeroed pages of their own, given back to the system with the object: what passes through here is
// tens of megabytes, and the process is to stay small.
class Pages {
 public:
  explicit Pages(size_t size);  // throws std::system_error
  Pages(Pages&& other) noexcept;
  Pages& operator=(Pages&& other) noexcept;
  ~Pages();

  std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  void shrink(size_t size) noexcept { size_ = size; }  // of bytes(); at most what it was

 private:
  std::byte* data_;
  size_t size_;
  size_t mapped_;
};

inline constexpr uint64_t kMaxUnpacked = 1024ull * 1024 * 1024;

// The packed data itself ends before the 4 bytes with the unpacked size, or (gzip) contains them.
// Nothing when the form is not one of gzip, xz, LZMA, zstd, LZ4 (legacy frame) and bzip2, or uses
// something our library lacks: the guest may still be able to unpack it. Throws ConfigError, naming
// `name`, when the data is corrupt.
std::optional<Pages> unpack_kernel(std::span<const std::byte> payload, const std::string& name);

// A whole file of one of these forms; of any other, its bytes as they are. Throws ConfigError,
// naming `name`, when it is corrupt, uses something our library lacks, or has more than `most`
// bytes.
Pages unpack_file(std::span<const std::byte> file, size_t most, const std::string& name);

}  // namespace vireo
