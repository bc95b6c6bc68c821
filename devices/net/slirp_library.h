// libslirp, loaded when the first user mode network is made and not before: it brings three more
// libraries along, which every start of a machine without one would pay for.
//
// Thread: any; immutable after construction. The library stays loaded (it keeps state of its own).
#pragma once

#include <slirp/libslirp.h>

namespace vireo::dev {

class SlirpLibrary {
 public:
  // Throws ConfigError when it is not installed.
  SlirpLibrary();

  decltype(&::slirp_new) make;
  decltype(&::slirp_cleanup) cleanup;
  decltype(&::slirp_pollfds_fill) pollfds_fill;
  decltype(&::slirp_pollfds_poll) pollfds_poll;
  decltype(&::slirp_input) input;
  decltype(&::slirp_add_hostfwd) add_hostfwd;
  decltype(&::slirp_add_exec) add_exec;
  decltype(&::slirp_add_unix) add_unix;
};

}  // namespace vireo::dev
