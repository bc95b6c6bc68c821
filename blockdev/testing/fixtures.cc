#include "blockdev/testing/fixtures.h"

#include <stdlib.h>

#include <fstream>
#include <iterator>

#include <fmt/core.h>

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
  std::vector<uint64_t> words(size / 8 + 1);
  uint64_t state = (seed + 1) * uint64_t{0x9e3779b97f4a7c15};
  for (uint64_t& word : words) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    word = state | 0x0101010101010101;
  }
  const auto* bytes = reinterpret_cast<const std::byte*>(words.data());
  return {bytes, bytes + size};
}

std::vector<std::byte> zeros(size_t size) {
  return std::vector<std::byte>(size);
}

}  // namespace vireo::blk::testing

std::string Catch::StringMaker<std::vector<std::byte>>::convert(
    const std::vector<std::byte>& bytes) {
  constexpr size_t kMostTold = 16;
  std::string text = fmt::format("{} bytes:", bytes.size());
  for (size_t i = 0; i < std::min(bytes.size(), kMostTold); ++i)
    text += fmt::format(" {:02x}", static_cast<unsigned>(bytes[i]));
  return text + (bytes.size() > kMostTold ? " ..." : "");
}
