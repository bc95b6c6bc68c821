// As what the command was called. A link to it that is called qemu-img or qemu-io takes the place
// of QEMU's program in scripts: messages, exit statuses and what holds by default are then QEMU's.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vireo::cli {

enum class Dialect : uint8_t { vireo, qemu_img, qemu_io };

// `program`: argv[0], a path or a name.
Dialect dialect_of(std::string_view program) noexcept;

// Of this process, from the name it was started by.
Dialect dialect() noexcept;
bool speaks_qemu() noexcept;

// What error messages begin with: "vireo", "qemu-img", "qemu-io".
const char* program_name() noexcept;

// An error as one line on standard error.
void complain(const std::string& text);

// The one or the other text, as QEMU's words are asked for or not.
inline std::string worded(std::string_view ours, std::string_view qemus) {
  return std::string(speaks_qemu() ? qemus : ours);
}

}  // namespace vireo::cli
