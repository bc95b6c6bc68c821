// Our page around noVNC: the screen, Ctrl-Alt-Del, the power button, how the connection is. Pure.
#pragma once

#include <optional>
#include <string_view>

namespace vireo::display {

struct PageFile {
  std::string_view name;  // "index.html"
  std::string_view content;
};

// "/" or "/vireo.js"; nothing when it is not the page's.
std::optional<PageFile> page_file(std::string_view path) noexcept;

}  // namespace vireo::display
