// Numbers as people write them: sizes, counts, owners. Errors: ConfigError that names the option
// (or whatever `option` says) and what is expected. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace vireo {

// "512M", "4G", "1048576", "1.5G", "0x200": bytes, with the suffixes k, M, G, T, P, E in powers of
// 1024, and b.
uint64_t parse_size(std::string_view option, std::string_view text);
// The shortest that parse_size() reads as this.
std::string size_text(uint64_t bytes);

// "1000:100": a user and a group by their numbers.
std::pair<uint32_t, uint32_t> parse_owner(std::string_view option, std::string_view text);

// A decimal number from `least` to `most`.
uint64_t parse_number(std::string_view option, std::string_view text, uint64_t least,
                      uint64_t most);

}  // namespace vireo
