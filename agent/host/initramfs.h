// The initramfs that brings the agent up as the first process of a machine (agent/guest/init.h):
// the agent, and the modules that it loads.
//
// Thread: any; reads files. Errors: ConfigError and std::system_error.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vireo::agent {

// What the agent itself cannot do without: its port, and its root.
inline constexpr std::string_view kModules[] = {"virtio_mmio", "virtio_console", "9p",
                                                "9pnet_virtio", "overlay"};

struct Initramfs {
  std::vector<std::byte> archive{};
  bool has_modules = false;  // false: none were found, and all must be built into the kernel
};

// For this kernel, with `modules` and what those need. `agent` is the program.
Initramfs make_initramfs(const std::filesystem::path& kernel,
                         std::span<const std::string_view> modules,
                         std::span<const std::byte> agent);

}  // namespace vireo::agent
