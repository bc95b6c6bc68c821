// QEMU's words for what the block layer says about an image, for scripts that compare them. What
// has no counterpart keeps our words.
//
// Pure; any thread.
#pragma once

#include <exception>
#include <string>

namespace vireo::cli {

// Why an image cannot be opened or made, as it stands behind "Could not open 'PATH': ".
std::string qemu_reason(const std::exception& error);

// The same for an image that cannot be made, behind "PATH: ".
std::string qemu_create_reason(const std::exception& error);

// The same for the text of an error: `text` may hold the names of images and advice.
std::string qemu_words(const std::string& text);

// What a check finds or repairs, from the line that the block layer logs about it.
std::string qemu_finding(const std::string& text);

}  // namespace vireo::cli
