// The leaf under every image on this host: a regular file or a block device.
//
// cache=none opens with O_DIRECT and works in the file system's direct-I/O granularity; the other
// modes go through the page cache and take any offset (of a device: whole sectors). What a request
// asks beyond the end of a regular file is not an error here: reads give zeros there (also when
// somebody truncated the file), writes and zero() make the file longer and limits().size with it;
// formats that allocate at the end rely on it. Writing a part of the last block under cache=none
// therefore rounds the file's length up to the block.
//
// A flush that fails under the page cache stays failed: the kernel has dropped what it could not
// write, so a later success would be a lie.
//
// Thread: the graph's loop. Owns the descriptor and with it the image lock.
// Errors: opening throws ConfigError or std::system_error; the data path returns errno values, a
// write that moves nothing is ENOSPC.
#pragma once

#include <cstdint>
#include <memory>

#include "blockdev/engine/threads.h"
#include "blockdev/host.h"
#include "blockdev/location.h"
#include "blockdev/node.h"
#include "vmm/base/fd.h"

namespace vireo::blk {

// The engines that the files of one graph share; each is made when the first file needs it.
class FileEngines {
 public:
  explicit FileEngines(Host host) : host_(std::move(host)) {}
  const Host& host() const noexcept { return host_; }
  // The one that suits an open file. Throws ConfigError for what does not go together.
  std::shared_ptr<IoEngine> engine(int fd, CacheMode cache, AioMode aio = AioMode::automatic);

 private:
  std::shared_ptr<IoEngine> threads(std::shared_ptr<IoEngine>& engine, ThreadEngine::Files files);

  Host host_;
  std::shared_ptr<IoEngine> native_;
  std::shared_ptr<IoEngine> direct_;
  std::shared_ptr<IoEngine> buffered_;
  std::shared_ptr<IoEngine> memory_;
};

// An open file and what was found out about it.
struct OpenFile {
  UniqueFd fd;
  Limits limits;
  bool is_device = false;
};

class FileNode final : public Node {
 public:
  FileNode(Host host, std::shared_ptr<IoEngine> engine, OpenFile file, CacheMode cache);

  const Limits& limits() const noexcept override { return limits_; }
  Task<std::error_code> read(uint64_t offset, IoVecs into) override;
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags) override;
  Task<std::error_code> flush() override;
  Task<std::error_code> discard(uint64_t offset, uint64_t length) override;
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags) override;
  Task<std::error_code> resize(uint64_t size) override;
  Task<Extent> extent(uint64_t offset, uint64_t length) override;

 private:
  struct File;
  void changed_up_to(uint64_t end) noexcept;
  File file() const noexcept;

  Host host_;
  std::shared_ptr<IoEngine> engine_;
  UniqueFd fd_;
  Limits limits_;
  const bool is_device_;
  const bool ignores_flushes_;
  const bool uses_page_cache_;
  const bool writes_through_;
  uint64_t changes_ = 1;  // completed ones; the first flush always takes place
  uint64_t flushed_ = 0;  // the value of changes_ that is on stable storage
  std::error_code lost_;  // set when the page cache lost data
  // The last run of data that was found. To look for its end may cost the host a walk through all
  // of the file's pages (tmpfs), and jobs ask for every piece. Punched from outside, it is read for
  // nothing.
  uint64_t data_begin_ = 0, data_end_ = 0;
};

// Opens a file for a graph; `engines` is used only until the task has finished.
Task<std::unique_ptr<FileNode>> open_file(FileEngines& engines, FileLocation file,
                                          OpenOptions options);

}  // namespace vireo::blk
