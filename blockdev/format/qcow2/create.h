// A new, empty qcow2 image in a file node.
//
// Thread: the loop that the file belongs to. The options are those of 'qemu-img create -o'.
// Errors: ConfigError for options that contradict each other, std::system_error for the file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "blockdev/format/qcow2/on_disk.h"
#include "blockdev/host.h"
#include "blockdev/node.h"
#include "blockdev/preallocation.h"

namespace vireo::blk {

struct Qcow2CreateOptions {
  std::string path;  // for messages, and what data_file is relative to
  uint64_t size = 0;
  uint64_t cluster_size = 65536;
  uint32_t version = 3;  // compat=1.1; 2 is compat=0.10
  uint32_t refcount_bits = 16;
  bool lazy_refcounts = false;
  bool extended_l2 = false;
  qcow2::Compression compression = qcow2::Compression::zlib;
  Preallocation preallocation = Preallocation::off;
  std::string backing_file;  // as it is to be recorded
  std::string backing_format;
  std::string data_file;  // name to be recorded; the node must be given too
  bool data_file_raw = false;
  FileHints hints{};  // for who makes the file
  bool operator==(const Qcow2CreateOptions&) const = default;
};

// Throws ConfigError, without touching anything.
void check_create_options(const Qcow2CreateOptions& options);

// Bytes of the file once every cluster of the disk is allocated. Options are checked.
uint64_t full_file_size(const Qcow2CreateOptions& options);

// Overwrites `file` (and sizes `data`, if there is one) and closes both.
Task<void> create_qcow2(Host host, std::unique_ptr<Node> file, std::unique_ptr<Node> data,
                        Qcow2CreateOptions options, ProgressFunction progress = {});

}  // namespace vireo::blk
