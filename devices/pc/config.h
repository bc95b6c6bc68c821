// Descriptions of machines as JSON (RFC 8259):
//
//   {"version": 1, "memory": "2G", "kernel": "vmlinuz", "disk": [{"path": "debian.qcow2"}]}
//
// The keys are the options of `vireo run`, and those of their values; what is not said is as it is
// by default. Values are texts as on the command line; true, false and numbers are taken, too.
// Any thread. Errors: ConfigError that names the text, and the key that is wrong or not known.
#pragma once

#include <string>
#include <string_view>

#include "devices/pc/spec.h"

namespace vireo::pc {

inline constexpr uint32_t kConfigVersion = 1;

// `name` is the text's, for messages.
PcSpec parse_config(const std::string& name, std::string_view text);
// Throws std::system_error, too. At most 1 MiB is read.
PcSpec read_config(const std::string& path);
// What is not as it is by default, as parse_config() reads it; ends with a newline.
std::string config_text(const PcSpec& spec);

}  // namespace vireo::pc
