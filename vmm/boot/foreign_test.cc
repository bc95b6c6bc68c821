#include "vmm/boot/foreign.h"

#include <catch2/catch.hpp>

#include "vmm/boot/testing/packers.h"

namespace vireo {
namespace {

using Catch::Contains;
using testing::Bytes;

std::string described(const Bytes& bytes) {
  return describe_foreign(MemoryImage("k", bytes));
}

Bytes with_text(size_t offset, std::string_view text) {
  Bytes bytes(offset + text.size() + 100);
  const auto from = bytes_of_text(text);
  std::copy(from.begin(), from.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset));
  return bytes;
}

}  // namespace

TEST_CASE("packed files are named by what packed them") {
  const Bytes content = testing::pattern(5000);
  CHECK_THAT(described(testing::pack_gzip(content)), Contains("gzip") && Contains("gunzip"));
  CHECK_THAT(described(testing::pack_xz(content)), Contains("unxz"));
  CHECK_THAT(described(testing::pack_zstd(content)), Contains("unzstd"));
  CHECK_THAT(described(testing::pack_lz4(content)), Contains("unlz4"));
}

TEST_CASE("kernels of other machines and programs for firmware are named") {
  Bytes arm64 = with_text(0, "MZ");
  const Bytes mark = with_text(56, "ARM\x64");
  arm64.resize(56);
  arm64.insert(arm64.end(), mark.begin() + 56, mark.end());
  CHECK_THAT(described(arm64), Contains("arm64"));
  CHECK_THAT(described(with_text(0, "MZ")), Contains("EFI"));
  CHECK_THAT(described(with_text(4, "zimg")), Contains("zboot"));
  CHECK_THAT(described(with_text(510, "\x55\xaa")), Contains("16-bit") && Contains("firmware"));
  CHECK_THAT(described(with_text(0, std::string_view("\x0b\x01\x64\x00", 4))), Contains("a.out"));
  CHECK_THAT(described(with_text(0, "070701")), Contains("--initrd"));
  CHECK(elf_machine_name(183) == "AArch64");
  CHECK(elf_machine_name(62).empty());
}

TEST_CASE("what is not known, or too short to tell, has no name") {
  CHECK(described(Bytes(1)).empty());
  CHECK(described(testing::pattern(10'000)).empty());
  CHECK(described({}).empty());
}

}  // namespace vireo
