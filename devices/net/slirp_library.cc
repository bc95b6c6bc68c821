#include "devices/net/slirp_library.h"

#include <dlfcn.h>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

constexpr const char* kLibrary = "libslirp.so.0";

void* load() {
  void* const library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw ConfigError(fmt::format("user mode networks need {} (Debian: package libslirp0): {}",
                                  kLibrary, ::dlerror()));
  return library;
}

template <class Function>
void find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(::dlsym(library, name));
  if (function == nullptr)
    throw ConfigError(fmt::format("{} has no {}: it is too old", kLibrary, name));
}

}  // namespace

SlirpLibrary::SlirpLibrary() {
  void* const library = load();
  find(library, "slirp_new", make);
  find(library, "slirp_cleanup", cleanup);
  find(library, "slirp_pollfds_fill", pollfds_fill);
  find(library, "slirp_pollfds_poll", pollfds_poll);
  find(library, "slirp_input", input);
  find(library, "slirp_add_hostfwd", add_hostfwd);
  find(library, "slirp_add_exec", add_exec);
  find(library, "slirp_add_unix", add_unix);
}

}  // namespace vireo::dev
