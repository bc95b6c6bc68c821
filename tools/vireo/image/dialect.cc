#include "tools/vireo/image/dialect.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "tools/vireo/image/format.h"

namespace vireo::cli {

Dialect dialect_of(std::string_view program) noexcept {
  const std::string_view name = program.substr(program.rfind('/') + 1);
  if (name == "qemu-img") return Dialect::qemu_img;
  return name == "qemu-io" ? Dialect::qemu_io : Dialect::vireo;
}

Dialect dialect() noexcept {
  return dialect_of(::program_invocation_name);
}

bool speaks_qemu() noexcept {
  return dialect() != Dialect::vireo;
}

const char* program_name() noexcept {
  switch (dialect()) {
    case Dialect::qemu_img:
      return "qemu-img";
    case Dialect::qemu_io:
      return "qemu-io";
    case Dialect::vireo:
      break;
  }
  return "vireo";
}

void complain(const std::string& text) {
  std::string lines;
  for (size_t at = 0; at <= text.size();) {  // some of QEMU's have two
    const size_t end = std::min(text.find('\n', at), text.size());
    lines += printable(text.substr(at, end - at)) + "\n";
    at = end + 1;
  }
  std::fprintf(stderr, "%s: %s", program_name(), lines.c_str());
}

}  // namespace vireo::cli
