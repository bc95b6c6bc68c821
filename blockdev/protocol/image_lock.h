// Keeps two writers off one image, across processes: the byte-range protocol that QEMU uses
// (block/file-posix.c), so that a running QEMU and qemu-img take part in it.
//
// Four permissions matter: consistent read, write, write unchanged, resize (bits 0 to 3). Whoever
// uses permission i holds a shared lock of byte 100 + i; whoever does not let others use it holds a
// shared lock of byte 200 + i. The file may be opened when nobody else unshares what is used and
// nobody else uses what is unshared. The locks are open-file-description locks: they end with the
// last descriptor of the open file.
//
// Any thread. The calls do not wait for other lock holders.
#pragma once

#include <string>

namespace vireo::blk {

// Locks the file behind `fd` (open for reading, and for writing when `write` is set): writers are
// alone, readers share the file with readers. Throws ConfigError naming `path`.
void lock_image(int fd, const std::string& path, bool write);

}  // namespace vireo::blk
