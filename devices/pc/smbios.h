// What a machine tells of its make, as `vireo run --smbios` and descriptions in JSON tell it, with
// QEMU's names. Plain values; any thread. Errors: ConfigError.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "devices/pc/keys.h"
#include "vmm/boot/smbios.h"

namespace vireo::pc {

// "6ba7b810-9dad-11d1-80b4-00c04fd430c8". Throws ConfigError.
SmbiosInfo::Uuid parse_uuid(std::string_view text);
// Empty for all zeros.
std::string to_string(const SmbiosInfo::Uuid& uuid);

// Of one type of structure: 0 to 3, or 11.
Keys smbios_keys(SmbiosInfo& info, uint8_t type);
// The type that the pairs name, whose keys they are.
uint8_t smbios_type(std::string_view of, const std::vector<Pair>& pairs);
// Makes what is said of that type, by its number's text, what it is by default.
void clear_smbios(SmbiosInfo& info, std::string_view type);
// An object for each type of which something was said.
std::vector<Json> smbios_json(const SmbiosInfo& info);
std::string smbios_help();
std::vector<Keys::Description> all_smbios_keys();  // of all types

}  // namespace vireo::pc
