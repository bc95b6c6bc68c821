#include "blockdev/probe.h"

#include <array>
#include <cstdint>
#include <string_view>

#include "blockdev/format/qcow2/on_disk.h"
#include "vmm/base/bytes.h"

namespace vireo::blk {

namespace {

using namespace std::string_view_literals;

struct Signature {
  size_t offset;
  std::string_view bytes;
  const char* format;
};
constexpr std::array kSignatures{
    Signature{0, "KDMV"sv, "vmdk"},
    Signature{0, "COWD"sv, "vmdk"},
    Signature{0, "# Disk DescriptorFile"sv, "vmdk"},
    Signature{64, "\x7f\x10\xda\xbe"sv, "vdi"},
    Signature{0, "conectix"sv, "vpc"},
    Signature{0, "vhdxfile"sv, "vhdx"},
    Signature{0, "QED\0"sv, "qed"},
    Signature{0, "LUKS\xba\xbe"sv, "luks"},
    Signature{0, "WithoutFreeSpace"sv, "parallels"},
    Signature{0, "WithouFreSpacExt"sv, "parallels"},
    Signature{0, "Bochs Virtual HD Image"sv, "bochs"},
};

std::string_view text_of(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The version decides between the format and its predecessor, which has little else in common.
const char* qcow_format(std::span<const std::byte> start) noexcept {
  ByteReader reader(start);
  if (reader.get<be32>() != qcow2::kMagic) return nullptr;
  const uint32_t version = reader.get<be32>();
  if (!reader.ok()) return nullptr;
  return version == 1 ? "qcow" : "qcow2";
}

}  // namespace

std::string probe_format(std::span<const std::byte> start) {
  const std::string_view text = text_of(start);
  if (const char* const format = qcow_format(start)) return format;
  for (const Signature& signature : kSignatures)
    if (text.size() > signature.offset &&
        text.substr(signature.offset).starts_with(signature.bytes))
      return signature.format;
  return "raw";
}

}  // namespace vireo::blk
