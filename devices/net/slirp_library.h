// libslirp, loaded when the first user mode network is made and not before: it brings three more
// libraries along, which every start of a machine without one would pay for.
//
// Thread: any; immutable after construction. The library stays loaded (it keeps state of its own).
#pragma once

#include <slirp/libslirp.h>

namespace vireo::dev {

class SlirpLibrary {
 public:
  // Messages of libslirp's go to glib, which has one handler for all of the process: it is called
  // on the thread that is inside of libslirp. The levels are glib's.
  using MessageHandler = void (*)(const char* domain, int level, const char* text, void* none);

  // Throws ConfigError when it is not installed. All objects have the same handler.
  explicit SlirpLibrary(MessageHandler handler);

  decltype(&::slirp_new) make;
  decltype(&::slirp_cleanup) cleanup;
  decltype(&::slirp_pollfds_fill) pollfds_fill;
  decltype(&::slirp_pollfds_poll) pollfds_poll;
  decltype(&::slirp_input) input;
  decltype(&::slirp_add_hostxfwd) add_hostxfwd;
  decltype(&::slirp_add_exec) add_exec;
  decltype(&::slirp_add_unix) add_unix;
  decltype(&::slirp_connection_info) connection_info;
  void (*free)(void*);  // of what connection_info() gives
};

}  // namespace vireo::dev
