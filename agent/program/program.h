// The agent as a program, ready to be given to a guest: a static x86-64 ELF file. Any thread.
#pragma once

#include <cstddef>
#include <span>

namespace vireo::agent {

std::span<const std::byte> program() noexcept;

}  // namespace vireo::agent
