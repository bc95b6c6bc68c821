// The signals of writes that cannot be: to a pipe or socket without a reader (SIGPIPE), and beyond
// the limit of a file's size (SIGXFSZ).
#pragma once

namespace vireo::cli {

// From here on they are errors of the write. They are blocked rather than ignored, because programs
// that are started inherit what is ignored; those of guestfwd= are started with no signal blocked.
// Thread: the main one, before any other is made (they inherit the mask).
void turn_write_signals_into_errors();

}  // namespace vireo::cli
