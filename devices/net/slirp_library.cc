#include "devices/net/slirp_library.h"

#include "vmm/base/shared_library.h"

namespace vireo::dev {

SlirpLibrary::SlirpLibrary() {
  const SharedLibrary library("libslirp.so.0", "libslirp0", "user mode networks need");
  library.find("slirp_new", make);
  library.find("slirp_cleanup", cleanup);
  library.find("slirp_pollfds_fill", pollfds_fill);
  library.find("slirp_pollfds_poll", pollfds_poll);
  library.find("slirp_input", input);
  library.find("slirp_add_hostfwd", add_hostfwd);
  library.find("slirp_add_exec", add_exec);
  library.find("slirp_add_unix", add_unix);
}

}  // namespace vireo::dev
