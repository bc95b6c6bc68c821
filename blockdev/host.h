// What every driver of the block layer is given: its surroundings and the modes of its files. Value
// types.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "blockdev/protocol/file_hints.h"
#include "blockdev/words.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/log.h"
#include "vmm/base/worker_pool.h"

namespace vireo::blk {

// QEMU's meaning of the words: writeback = host page cache, flushes honoured; none = O_DIRECT,
// flushes honoured; writethrough = every write is flushed; directsync = that and O_DIRECT; unsafe =
// flushes ignored.
enum class CacheMode : uint8_t { writeback, none, writethrough, directsync, unsafe };
// O_DIRECT: the host's page cache is left out.
constexpr bool is_direct(CacheMode cache) noexcept {
  return cache == CacheMode::none || cache == CacheMode::directsync;
}
inline constexpr std::array kCacheWords{Word<CacheMode>{"writeback", CacheMode::writeback},
                                        Word<CacheMode>{"none", CacheMode::none},
                                        Word<CacheMode>{"writethrough", CacheMode::writethrough},
                                        Word<CacheMode>{"directsync", CacheMode::directsync},
                                        Word<CacheMode>{"unsafe", CacheMode::unsafe}};
CacheMode parse_cache_mode(const std::string& word);  // throws ConfigError

// Who moves the bytes of files: the kernel's asynchronous I/O (which needs cache=none), or blocking
// calls on the worker pool. automatic: the former where it works.
enum class AioMode : uint8_t { automatic, native, threads };
inline constexpr std::array kAioWords{Word<AioMode>{"native", AioMode::native},
                                      Word<AioMode>{"threads", AioMode::threads}};
AioMode parse_aio_mode(const std::string& word);  // throws ConfigError

// How the bytes of an image are opened.
struct OpenOptions {
  CacheMode cache = CacheMode::writeback;
  AioMode aio = AioMode::automatic;
  bool read_only = false;
  bool create = false;  // makes what is not there; what is there stays as it is
  bool lock = true;     // refuses what another process or machine writes
  FileHints hints{};    // of `create`
};

// What a graph needs of its surroundings; all outlive it.
struct Host {
  EventLoop& loop;
  WorkerPool& pool;
  Logger log{};
};

// Told how far a long job is, in units of the job's own; false asks it to end at the next step,
// with the error operation_canceled. Called on the job's loop; may be empty.
using ProgressFunction = std::function<bool(uint64_t done, uint64_t total)>;

}  // namespace vireo::blk
