// What a machine's firmware tells of its make and its parts, as dmidecode and /sys/class/dmi/id in
// the guest show it (SMBIOS 2.8, DMTF DSP0134).
//
// Thread: control. Values; sizes in bytes. Errors: ConfigError.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vireo/units.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

// Empty texts are told as not specified. None has a NUL.
struct SmbiosInfo {
  struct Bios {
    std::string vendor = "Vireo", version{}, date{};  // MM/DD/YYYY
    bool operator==(const Bios&) const = default;
  };
  struct System {
    std::string manufacturer = "Vireo", product = "PC", version{}, serial{}, sku{}, family{};
    bool operator==(const System&) const = default;
  };
  struct Board {  // left out when all is empty
    std::string manufacturer{}, product{}, version{}, serial{}, asset{}, location{};
    bool operator==(const Board&) const = default;
  };
  struct Chassis {
    std::string manufacturer = "Vireo", version{}, serial{}, asset{}, sku{};
    bool operator==(const Chassis&) const = default;
  };
  using Uuid = std::array<uint8_t, 16>;  // in the order of its text; all zeros: there is none

  Uuid uuid{};
  Bios bios{};
  System system{};
  Board board{};
  Chassis chassis{};
  std::vector<std::string> oem_strings{};  // not empty; at most 255
  bool operator==(const SmbiosInfo&) const = default;
};

struct SmbiosTables {
  std::vector<std::byte> anchor;  // with checksums for an address of the tables of 0
  std::vector<std::byte> tables;
};

// Throws when the texts are too many for kMostOfSmbios bytes.
inline constexpr size_t kMostOfSmbios = 48 * KiB;
SmbiosTables make_smbios_tables(const SmbiosInfo& info, const GuestMemory& memory, uint32_t vcpus);
// Writes them to layout::kSmbios, where kernels look for the anchor (5.2.1).
void write_smbios_tables(GuestMemory& memory, SmbiosTables tables);

}  // namespace vireo
