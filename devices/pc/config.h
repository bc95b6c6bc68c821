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
#include <vector>

#include "devices/pc/spec.h"

namespace vireo::pc {

inline constexpr uint32_t kConfigVersion = 1;

// `name` is the text's, for messages.
PcSpec parse_config(const std::string& name, std::string_view text);
// Throws std::system_error, too. At most 1 MiB is read.
PcSpec read_config(const std::string& path);
// An option of `vireo run`, and its value as it is written there.
struct Option {
  std::string name;  // a key of keys_of(PcSpec), or of one of part_kinds()
  std::string value;
};
// The description in the file, if one is named, as the options change it, in their order: a part
// with the name of one that is there takes its place. `dashes` stand before their names in
// messages: "--" where they are those of a command line. check() is the caller's.
PcSpec read_options(const std::string& config, const std::vector<Option>& options,
                    std::string_view dashes);
// What is not as it is by default, as parse_config() reads it; ends with a newline.
std::string config_text(const PcSpec& spec);

}  // namespace vireo::pc
