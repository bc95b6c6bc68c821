// A new raw image in a file node: the disk's bytes and nothing else.
//
// Thread: the loop that the file belongs to. Errors: ConfigError for options that contradict each
// other, std::system_error for the file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "blockdev/format/image_keys.h"
#include "blockdev/host.h"
#include "blockdev/node.h"

namespace vireo::blk {

struct RawCreateOptions {
  std::string path;                                  // for messages
  uint64_t size = 0;                                 // rounded up to sectors of 512 bytes
  Preallocation preallocation = Preallocation::off;  // not metadata: there is none
  FileHints hints{};                                 // for who makes the file
  bool operator==(const RawCreateOptions&) const = default;
};

ImageKeys raw_keys();
RawCreateOptions parse_raw_create(const KeyTexts& given);

// Throws ConfigError, without touching anything.
void check_create_options(const RawCreateOptions& options);

// Bytes of the file.
uint64_t raw_file_size(const RawCreateOptions& options) noexcept;

// Overwrites `file` and closes it.
Task<void> create_raw(std::unique_ptr<Node> file, RawCreateOptions options,
                      ProgressFunction progress = {});

// Sets aside what `how` says, falloc or full, from `start` to the end of a disk of plain bytes,
// which keeps its content.
Task<std::error_code> preallocate_raw(Node& image, uint64_t start, Preallocation how,
                                      ProgressFunction progress = {});

}  // namespace vireo::blk
