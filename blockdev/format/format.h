// The formats of images: what they are called and what they can do. A further format is one more
// row in format.cc.
//
// Plain values; any thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "blockdev/create.h"
#include "blockdev/format/image.h"
#include "blockdev/format/image_keys.h"

namespace vireo::blk {

struct Capabilities {
  bool backing = false;      // lies over another image
  bool bitmaps = false;      // keeps persistent dirty bitmaps
  bool compression = false;  // stores clusters compressed
};

struct Format {
  std::string_view name;
  std::span<const std::string_view> endings;  // of file names
  Capabilities can;
  ImageKeys (*keys)();
  CreateOptions (*create_options)(const KeyTexts& given);
  // What an image in these bytes says of itself; nothing that it names is opened.
  Task<ImageFacts> (*describe)(std::unique_ptr<Node> file, std::string path);
  // Of an image whose options can be changed: throws for what these do not mean; null: of no other.
  void (*check_changes)(const KeyTexts& given) = nullptr;
};

std::span<const Format> formats() noexcept;
const Format* find_format(
    std::string_view name) noexcept;  // null: none that can be opened and made

// What the ending of a name says; empty: nothing.
std::string format_by_name(std::string_view path);

// "raw or qcow2".
std::string format_names();
// Those that can do it.
std::string format_names(bool Capabilities::*what);

}  // namespace vireo::blk
