// The files that an image names: its backing file and its external data file. Whoever made the
// image chose the names, so they are untrusted: here stands which of them may be opened, and
// location.h's Links says how.
//
// Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "blockdev/location.h"
#include "blockdev/node.h"
#include "blockdev/words.h"

namespace vireo::blk {

// What an image may name. A data file is written to, and lies beside its image in any case.
enum class References : uint8_t {
  none,    // the image opens no other file
  beside,  // only files in the image's own folder
  any,     // a backing file may lie anywhere
};
inline constexpr std::array kReferenceWords{Word<References>{"on", References::any},
                                            Word<References>{"beside", References::beside},
                                            Word<References>{"off", References::none}};
References parse_references(const std::string& word);  // throws ConfigError

// A file that an image names, and who asked for it.
struct ImageReference {
  Location location;   // relative paths are resolved against the image
  std::string format;  // "raw", "qcow2"
  bool read_only = true;
  bool is_data = false;            // an external data file, not a backing image
  std::vector<std::string> chain;  // the images above it, the outermost first
};
using OpenReference = std::function<Task<std::unique_ptr<Node>>(ImageReference)>;

// A name in an image is relative to the image's directory, not to where the program was started.
std::string resolve_reference(const std::string& image_path, const std::string& name);

// The name begins like "nbd:…" or "json:…": no file is meant. "file:" is taken for what it says.
bool names_protocol(const std::string& name);

// Both lie in one folder, whatever links lead to it.
bool lies_beside(const std::string& image_path, const std::string& path);

}  // namespace vireo::blk
