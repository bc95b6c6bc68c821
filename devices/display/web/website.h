// What the web port has for browsers: our page, and noVNC's files beneath one folder.
//
// Thread: any; immutable. A file is opened beneath the folder by the kernel (openat2), whatever its
// name says, and read anew for each request.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "vmm/base/fd.h"

namespace vireo::display {

struct WebFile {
  std::string_view type;  // MIME
  std::string content;
};

class Website {
 public:
  // Throws ConfigError when noVNC is not in the folder.
  explicit Website(const std::string& novnc);

  std::optional<WebFile> find(std::string_view path) const;

 private:
  UniqueFd novnc_;
};

}  // namespace vireo::display
