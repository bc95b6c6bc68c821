#include "agent/host/initramfs.h"

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/boot/bzimage.h"
#include "vmm/boot/cpio.h"
#include "vmm/boot/image.h"
#include "vmm/boot/modules.h"

namespace vireo::agent {

namespace {

std::string release_of(const std::filesystem::path& kernel) {
  const FileImage image("kernel", kernel);
  const auto bzimage = parse_bzimage(image);
  if (!bzimage)
    throw ConfigError(fmt::format("{} is no bzImage, whose header tells which modules are its own",
                                  image.name()));
  return bzimage->release;
}

void check(const KernelModules& modules, std::span<const std::string_view> names,
           const std::filesystem::path& kernel) {
  for (const std::string_view name : names)
    if (!has_module(modules, name))
      throw ConfigError(
          fmt::format("kernel '{}' has no '{}', neither built in nor in '{}': take another kernel",
                      kernel.string(), name, modules.directory.string()));
}

}  // namespace

Initramfs make_initramfs(const std::filesystem::path& kernel,
                         std::span<const std::string_view> modules,
                         std::span<const std::byte> agent) {
  const KernelModules known = find_modules(kernel, release_of(kernel));
  check(known, modules, kernel);
  Cpio cpio;
  for (const char* directory : {"dev", "proc", "sys", "run", "modules"})
    cpio.add_directory(directory);
  cpio.add_character_device("dev/console", 5, 1);
  cpio.add_file("init", agent, 0755);
  size_t number = 0;
  for (const Pages& module : load_modules(known, modules))
    cpio.add_file(fmt::format("modules/{:03}.ko", number++), module.bytes());
  return {cpio.finish(), !known.directory.empty()};
}

}  // namespace vireo::agent
