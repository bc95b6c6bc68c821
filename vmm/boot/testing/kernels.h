// Small made-up kernels and a directory that goes away, for the tests of the loader.
#pragma once

#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "vmm/base/bytes.h"
#include "vmm/boot/bzimage.h"
#include "vmm/memory/layout.h"

namespace vireo::testing {

using Bytes = std::vector<std::byte>;

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "vireo-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path write(const std::string& name, std::span<const std::byte> bytes) const {
    std::error_code ignored;
    std::filesystem::remove(path_ / name, ignored);  // truncating makes ext4 flush on close
    std::ofstream out(path_ / name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

template <Wire T>
void poke(Bytes& bytes, size_t offset, const T& value) {
  if (bytes.size() < offset + sizeof value) bytes.resize(offset + sizeof value);
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}
template <Wire T>
T peek(std::span<const std::byte> bytes, size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

inline Bytes pattern(size_t size, uint32_t seed = 1) {
  Bytes bytes(size);
  for (auto& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<std::byte>(seed >> 28);  // packs well
  }
  return bytes;
}

struct TestSegment {
  uint64_t address = 16 * MiB;
  uint64_t virtual_address = 0xffffffff81000000;
  Bytes content = pattern(3000);
  uint64_t memory_size = 8192;
};

struct TestElf {
  bool is_64bit = true;
  uint64_t entry = 16 * MiB + 0x40;
  std::vector<TestSegment> segments{TestSegment{}};
  Bytes notes{};
};

inline void add_note(Bytes& notes, std::string_view owner, uint32_t type,
                     std::span<const std::byte> description) {
  ByteWriter out;
  out.put(le32(static_cast<uint32_t>(owner.size() + 1)));
  out.put(le32(static_cast<uint32_t>(description.size())));
  out.put(le32(type));
  out.put(bytes_of_text(owner));
  out.zeros(1);
  out.zeros((4 - out.size() % 4) % 4);
  out.put(description);
  out.zeros((4 - out.size() % 4) % 4);
  notes.insert(notes.end(), out.bytes().begin(), out.bytes().end());
}
inline Bytes linux_note() {
  Bytes notes;
  add_note(notes, "Xen", 6, bytes_of_text("linux"));
  return notes;
}
inline Bytes pvh_note(uint32_t entry) {
  Bytes notes;
  add_note(notes, "Xen", 18, bytes_of(le32(entry)));
  return notes;
}

// The program headers begin at 64 (ELF64) or 52; segments at 4096.
inline Bytes make_elf(const TestElf& elf) {
  const bool wide = elf.is_64bit;
  const size_t headers = wide ? 64 : 52, header_size = wide ? 56 : 32;
  Bytes out(4096);
  const auto word = [&](size_t at64, size_t at32, uint64_t value) {
    if (wide)
      poke(out, at64, le64(value));
    else
      poke(out, at32, le32(static_cast<uint32_t>(value)));
  };
  poke(out, 0, be32(0x7f454c46));
  poke(out, 4, std::array<uint8_t, 3>{static_cast<uint8_t>(wide ? 2 : 1), 1, 1});
  poke(out, 16, le16(2));
  poke(out, 18, le16(wide ? 62 : 3));
  poke(out, 20, le32(1));
  word(24, 24, elf.entry);
  word(32, 28, headers);
  poke(out, wide ? 54 : 42, le16(static_cast<uint16_t>(header_size)));
  poke(out, wide ? 56 : 44, le16(static_cast<uint16_t>(elf.segments.size() + 1)));

  size_t at = headers;
  const auto header = [&](uint32_t type, const TestSegment& segment) {
    const size_t offset = (out.size() + 15) / 16 * 16;
    out.resize(offset);
    out.insert(out.end(), segment.content.begin(), segment.content.end());
    poke(out, at, le32(type));
    word(at + 8, at + 4, offset);
    word(at + 16, at + 8, segment.virtual_address);
    word(at + 24, at + 12, segment.address);
    word(at + 32, at + 16, segment.content.size());
    word(at + 40, at + 20, segment.memory_size);
    word(at + 48, at + 28, 4);
    at += header_size;
  };
  for (const TestSegment& segment : elf.segments) header(1, segment);
  header(4, {.address = 0, .virtual_address = 0, .content = elf.notes, .memory_size = 0});
  return out;
}

struct TestBzImage {
  Bytes payload{};  // packed
  Bytes code = pattern(4096, 7);
  uint16_t version = 0x20f;
  uint16_t extended_load_flags = 1;
};
inline constexpr size_t kTestSetup = 1024;  // one setup sector and the boot sector

inline Bytes make_bzimage(const TestBzImage& image) {
  Bytes code = image.code;
  const size_t payload = code.size();
  code.insert(code.end(), image.payload.begin(), image.payload.end());
  code.resize((code.size() + 15) / 16 * 16);
  Bytes out(kTestSetup);
  poke(out, 0x1f1, uint8_t{1});
  poke(out, 0x1f4, le32(static_cast<uint32_t>(code.size() / 16)));
  poke(out, 0x1fe, le16(0xaa55));
  poke(out, 0x200, le16(0x6aeb));
  poke(out, 0x202, le32(0x53726448));
  poke(out, 0x206, le16(image.version));
  poke(out, 0x211, uint8_t{1});
  poke(out, 0x22c, le32(0x7fffffff));
  poke(out, 0x230, le32(2 * MiB));
  poke(out, 0x234, uint8_t{1});
  poke(out, 0x236, le16(image.extended_load_flags));
  poke(out, 0x238, le32(2047));
  poke(out, 0x248, le32(static_cast<uint32_t>(payload)));
  poke(out, 0x24c, le32(static_cast<uint32_t>(image.payload.size())));
  poke(out, 0x258, le64(16 * MiB));
  poke(out, 0x260, le32(MiB));
  out.insert(out.end(), code.begin(), code.end());
  return out;
}

}  // namespace vireo::testing
