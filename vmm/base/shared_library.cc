#include "vmm/base/shared_library.h"

#include <dlfcn.h>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo {

SharedLibrary::SharedLibrary(const std::string& name, const std::string& package,
                             const std::string& purpose)
    : name_(name), library_(::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (library_ == nullptr)
    throw ConfigError(
        fmt::format("{} {} (Debian: package {}): {}", purpose, name, package, ::dlerror()));
}

void* SharedLibrary::symbol(const char* name) const {
  void* const found = ::dlsym(library_, name);
  if (found == nullptr) throw ConfigError(fmt::format("{} has no {}: it is too old", name_, name));
  return found;
}

}  // namespace vireo
