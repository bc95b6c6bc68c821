// What a new image is to be like: -o of create, convert and measure, with qemu-img's names.
// Pure functions; any thread. Errors: ConfigError that names the option.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "blockdev/format/qcow2_create.h"
#include "tools/vireo/image/host_file.h"
#include "tools/vireo/image/image_name.h"
#include "tools/vireo/options.h"

namespace vireo::cli {

// -o KEY=VALUE[,…], repeatable.
void add_create_options(Options& command, std::vector<std::string>& texts);

// What all of them say together: "lazy_refcounts" stands for "lazy_refcounts=on".
ImageOptions read_options(const std::vector<std::string>& texts);

// "-o help": the keys of the format are to be printed instead of anything else.
bool asks_for_help(const std::vector<std::string>& texts);
std::string create_options_help(const std::string& format);

struct CreateOptions {
  std::string name;  // as the user wrote it
  std::string format;
  ImageOptions given{};            // as they were written; a key alone stands for "on"
  std::optional<uint64_t> size{};  // was among them
  HostFileOptions file{};
  blk::Qcow2CreateOptions image{};
};
// `format` empty: by the ending of `path`, else raw. Values are looked at one by one; what does not
// go together is for blk::create_image to say.
CreateOptions parse_create_options(const std::string& path, const std::string& format,
                                   const std::vector<std::string>& texts);

// "0.10" is version 2 of qcow2, "1.1" version 3.
uint32_t parse_compat(const std::string& word);

// The two halves of it, for a caller that adds to `given`: the keys, and what they say.
CreateOptions read_create_options(const std::string& path, const std::string& format,
                                  const std::vector<std::string>& texts);
void set_values(CreateOptions& options);

// "Formatting 'x', fmt=qcow2 …": what is about to be made, in QEMU's words.
std::string plan_line(const CreateOptions& options);

blk::Preallocation parse_preallocation(const std::string& option, const std::string& word);

}  // namespace vireo::cli
