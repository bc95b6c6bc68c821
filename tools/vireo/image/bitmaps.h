// What the commands that work on persistent dirty bitmaps share: their errors as sentences, and the
// bitmaps of a copy.
//
// Thread: the session's. Errors: ConfigError and std::system_error naming the bitmap and the image.
#pragma once

#include <string>
#include <system_error>

#include "tools/vireo/image/open.h"

namespace vireo::cli {

// A cluster, from 4 to 64 KiB.
uint64_t default_granularity(const blk::ImageFacts& image);

// Throws when the image has no such bitmap.
void check_bitmap(const blk::WithBitmaps& image, const std::string& name, const std::string& path);
// `action`: "add", "clear", …
void check_bitmap_change(std::error_code error, const std::string& action, const std::string& name,
                         const std::string& path);

// --bitmaps of convert. Before anything is copied: throws for a bitmap whose bits mean nothing,
// unless such are to be skipped.
void check_copied_bitmaps(Image& source, bool skip_broken);
void copy_bitmaps(Session& session, Image& source, Image& target);

}  // namespace vireo::cli
