// QEMU's words for what the block layer says about an image, for scripts that compare them. What
// has no counterpart keeps our words.
//
// One thread.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <vector>

namespace vireo::cli {

// Why an image cannot be opened or made, as it stands behind "Could not open 'PATH': ".
std::string qemu_reason(const std::exception& error);

// The same for an image that cannot be made, behind "PATH: ".
std::string qemu_create_reason(const std::exception& error);

// The same for the text of an error: `text` may hold the names of images and advice.
std::string qemu_words(const std::string& text);

// What a check finds or repairs, from the lines that the block layer logs about it. QEMU tells of
// all counts that are wrong before it tells of those that it mends.
class QemuFindings {
 public:
  using Print = std::function<void(const std::string& line)>;
  explicit QemuFindings(Print print) : print_(std::move(print)) {}

  void add(const std::string& text);
  void flush();  // no more counts come

 private:
  Print print_;
  std::vector<std::string> repairs_;
};

}  // namespace vireo::cli
