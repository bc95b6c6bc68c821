// New images in files, and their space: what 'vireo image create' does, for any program.
//
// Thread: the image's loop. create_image() throws ConfigError or std::system_error that names the
// image.
#pragma once

#include <string>

#include "blockdev/format/qcow2_create.h"
#include "blockdev/host.h"

namespace vireo::blk {

// The formats that images can be made in.
bool can_create(const std::string& format) noexcept;

// Throws what create_image() would say about the options, without touching anything.
void check_create(const std::string& format, const Qcow2CreateOptions& options);

// Makes the file `options.path`, and for qcow2 its data file, or empties those that are there,
// unless somebody has them in use. Raw images take size and preallocation (not: metadata) of the
// options and refuse the rest; sizes are rounded up to sectors of 512 bytes. The backing file is
// recorded, not looked at. After an error the files are there, incomplete.
Task<void> create_image(Host host, std::string format, Qcow2CreateOptions options,
                        ProgressFunction progress = {});

// Sets aside what `how` says from `start` to the end of a disk, which keeps its content. Raw images
// have no metadata to set aside (ENOTSUP).
Task<std::error_code> preallocate(Node& image, uint64_t start, Preallocation how,
                                  ProgressFunction progress = {});

}  // namespace vireo::blk
