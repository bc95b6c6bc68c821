// The modules of a Linux kernel: where they lie on the host, and the files to load for some of
// them.
//
// Thread: any; reads files, which are the user's. Errors: ConfigError and std::system_error.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/boot/unpack.h"

namespace vireo {

struct KernelModules {
  std::filesystem::path directory{};                     // empty: there are none for this kernel
  std::map<std::string, std::filesystem::path> files{};  // by name, with "_" for "-"
  std::set<std::string> built_in{};
};

// Those of the build tree whose arch/x86/boot the kernel lies in, or of lib/modules/RELEASE beside
// the kernel, or in the host's root (kmod's modules.dep(5)).
KernelModules find_modules(const std::filesystem::path& kernel, const std::string& release);

// Whether it is there, in whichever form. Without any modules, all are taken to be built in.
bool has_module(const KernelModules& modules, std::string_view name);

// The named modules and all that they need (the "depends" of their .modinfo), unpacked, each after
// what it needs; what is built in is left out.
std::vector<Pages> load_modules(const KernelModules& modules,
                                std::span<const std::string_view> names);

}  // namespace vireo
