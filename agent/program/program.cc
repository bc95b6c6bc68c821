#include "agent/program/program.h"

// image.S
extern "C" const std::byte vireo_agent_begin[], vireo_agent_end[];

namespace vireo::agent {

std::span<const std::byte> program() noexcept {
  return {vireo_agent_begin, vireo_agent_end};
}

}  // namespace vireo::agent
