#include "devices/net/slirp_library.h"

#include "vmm/base/shared_library.h"

namespace vireo::dev {

SlirpLibrary::SlirpLibrary(MessageHandler handler) {
  const SharedLibrary library("libslirp.so.0", "libslirp0", "user mode networks need");
  library.find("slirp_new", make);
  library.find("slirp_cleanup", cleanup);
  library.find("slirp_pollfds_fill", pollfds_fill);
  library.find("slirp_pollfds_poll", pollfds_poll);
  library.find("slirp_input", input);
  library.find("slirp_add_hostxfwd", add_hostxfwd);
  library.find("slirp_add_exec", add_exec);
  library.find("slirp_add_unix", add_unix);
  library.find("slirp_connection_info", connection_info);
  // glib comes with libslirp, and is found through it.
  library.find("g_free", free);
  unsigned (*set_handler)(const char*, int, MessageHandler, void*) = nullptr;
  library.find("g_log_set_handler", set_handler);
  constexpr int kAllLevels = -1;
  static const unsigned once = set_handler("Slirp", kAllLevels, handler, nullptr);
  static_cast<void>(once);
}

}  // namespace vireo::dev
