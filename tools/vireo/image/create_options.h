// What a new image is to be like: -o of create, convert and measure, with qemu-img's names.
// Pure functions; any thread. Errors: ConfigError that names the option.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "blockdev/format/format.h"
#include "tools/vireo/image/image_name.h"
#include "tools/vireo/options.h"
#include "vmm/base/error.h"

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
  blk::Location location;
  const blk::Format* format = nullptr;
  blk::KeyTexts given{};  // as they were written; a key alone stands for "on"

  std::string path() const { return location.name(); }
  std::optional<std::string> find(const std::string& key) const;
  std::string get(const std::string& key) const { return find(key).value_or(""); }
  std::optional<uint64_t> size() const;  // of the disk, if that is given
  // The data file that is made with the image; empty: none.
  std::string data_file() const;
  // What all that is given says. What does not go together is for blk::check_create to say.
  blk::CreateOptions values() const;
};
// `format` empty: by the ending of `path`, else raw. Throws for a key that the format does not
// have.
CreateOptions read_create_options(const std::string& path, const std::string& format,
                                  const std::vector<std::string>& texts);
// -b and -F, which say the same as keys in -o. Throws for a format that lies over nothing.
void give_backing(CreateOptions& options, const std::string& file, const std::string& format);

// What `parse` throws names an option of -o.
template <class Function>
auto in_options(Function parse) {
  try {
    return parse();
  } catch (const ConfigError& error) {
    throw ConfigError(std::string("-o: ") + error.what());
  }
}

// "Formatting 'x', fmt=qcow2 …": what is about to be made, in QEMU's words.
std::string plan_line(const CreateOptions& options);

}  // namespace vireo::cli
