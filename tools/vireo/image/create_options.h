// What a new image is to be like: -o of create, convert and measure, with qemu-img's names.
// Pure functions; any thread. Errors: ConfigError that names the option.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "blockdev/format/qcow2_create.h"
#include "tools/vireo/options.h"

namespace vireo::cli {

// -o KEY=VALUE[,…], repeatable.
void add_create_options(Options& command, std::vector<std::string>& texts);

// "-o help": the keys of the format are to be printed instead of anything else.
bool asks_for_help(const std::vector<std::string>& texts);
std::string create_options_help(const std::string& format);

struct CreateOptions {
  std::string format;
  std::optional<uint64_t> size;  // was among them
  blk::Qcow2CreateOptions image;
};
// `format` empty: by the ending of `path`, else raw. Values are looked at one by one; what does not
// go together is for blk::create_image to say.
CreateOptions parse_create_options(const std::string& path, const std::string& format,
                                   const std::vector<std::string>& texts);

blk::Preallocation parse_preallocation(const std::string& option, const std::string& word);

}  // namespace vireo::cli
