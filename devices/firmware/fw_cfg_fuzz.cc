// Accesses to the registers of fw_cfg, and DMA blocks in the guest's memory. Each 24 bytes are one
// step: how wide, which register, what is written, and the DMA block that lies at kAccess then.
// Holds: nothing is read beyond an item or written beyond RAM, and a DMA whose block is in RAM
// ends.
#include <algorithm>
#include <cstdint>
#include <span>

#include "devices/firmware/fw_cfg.h"
#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

using namespace vireo;
using vireo::dev::FwCfgChip;
using vireo::dev::FwCfgItems;

namespace {

constexpr uint64_t kAccess = 0x1000, kBlock = 16;

FwCfgItems items() {
  FwCfgItems all;
  all.add_file("etc/one", FwCfgItems::Bytes(100, std::byte{1}));
  all.add_file("etc/none", {});
  all.add_writable("etc/put", 3, [](std::span<const std::byte> bytes) {
    VMM_CHECK(bytes.size() == 3, "it is written as a whole");
    return bytes[0] != std::byte{0};
  });
  return all;
}

void step(FwCfgChip& chip, const FwCfgItems& all, GuestMemory& memory,
          std::span<const std::byte> input) {
  const auto how = std::to_integer<unsigned>(input[0]);
  const size_t width = size_t{1} << (how & 3);
  const uint64_t offset = std::to_integer<unsigned>(input[1]) % FwCfgChip::kPorts;
  if (offset + width > FwCfgChip::kPorts) return;
  if ((how & 4) != 0) return chip.read(all, offset, *memory.range(0, width));
  const bool starts = offset == FwCfgChip::kDmaLow && width == 4 && (how & 8) != 0;
  if (!starts) return chip.write(all, offset, input.subspan(2, std::min<size_t>(width, 6)));
  VMM_CHECK(memory.write(kAccess, input.subspan(8, kBlock)), "it is RAM");
  chip.write(all, FwCfgChip::kDmaHigh, bytes_of(be32(0)));
  chip.write(all, FwCfgChip::kDmaLow, bytes_of(be32(kAccess)));
  const uint32_t control = *memory.read<be32>(kAccess);
  VMM_CHECK(control == 0 || control == 1, "a DMA ends, well or with an error");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kStep = 24;
  static GuestMemory memory({.size = 2 * MiB});
  static const FwCfgItems kItems = items();
  FwCfgChip chip(memory, {});
  const auto input = std::as_bytes(std::span(data, size));
  for (size_t at = 0; at + kStep <= size; at += kStep)
    step(chip, kItems, memory, input.subspan(at, kStep));
  return 0;
}
