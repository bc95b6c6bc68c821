#include "blockdev/testing/fixtures.h"

#include <stdlib.h>

#include <fstream>
#include <iterator>

#include "vmm/base/error.h"

namespace vireo::blk::testing {

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "vireo-block-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw_errno("cannot make a temporary directory");
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::file(const std::string& name, uint64_t size) const {
  std::ofstream(path(name)).flush();
  std::filesystem::resize_file(path(name), size);
  return path(name);
}

std::vector<std::byte> file_content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

std::vector<std::byte> pattern(size_t size, uint32_t seed) {
  std::vector<std::byte> bytes(size);
  uint32_t state = seed * 2654435761u + 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>((state >> 24) | 1);
  }
  return bytes;
}

std::vector<std::byte> zeros(size_t size) {
  return std::vector<std::byte>(size);
}

}  // namespace vireo::blk::testing
