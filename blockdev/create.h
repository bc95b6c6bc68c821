// New images, and their space: what 'vireo image create' does, for any program.
//
// Thread: the image's loop. create_image() throws ConfigError or std::system_error that names the
// image.
#pragma once

#include <variant>

#include "blockdev/format/qcow2/create.h"
#include "blockdev/format/raw_create.h"
#include "blockdev/host.h"
#include "blockdev/location.h"

namespace vireo::blk {

// What a new image is to be like, in the words of its format.
using CreateOptions = std::variant<RawCreateOptions, Qcow2CreateOptions>;

// What all formats have.
void set_size(CreateOptions& options, uint64_t size);

// Throws what create_image() would say about the options, without touching anything.
void check_create(const Location& location, CreateOptions options);

// What the file of such an image comes to. The options are checked.
struct FilePlan {
  uint64_t full = 0;     // bytes once all of the disk is allocated
  uint64_t unit = 0;     // bytes that are allocated at a time, when they are needed; 0: all at once
  bool bitmaps = false;  // it can have some on top
};
FilePlan plan_file(const CreateOptions& options);

// Makes what is at `location`, and for an image that has one its data file, or empties those that
// are there, unless somebody has them in use. Sizes are rounded up to sectors of 512 bytes. The
// backing file is recorded, not looked at. After an error the files are there, incomplete. The
// options' own paths do not count.
Task<void> create_image(Host host, Location location, CreateOptions options,
                        ProgressFunction progress = {});

// Sets aside what `how` says from `start` to the end of a disk, which keeps its content. Raw images
// have no metadata to set aside (ENOTSUP).
Task<std::error_code> preallocate(Node& image, uint64_t start, Preallocation how,
                                  ProgressFunction progress = {});

}  // namespace vireo::blk
