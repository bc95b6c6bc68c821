// What every driver of the block layer is given: its surroundings and the cache mode. Value types.
#pragma once

#include <cstdint>
#include <string>

#include "vmm/base/event_loop.h"
#include "vmm/base/log.h"
#include "vmm/base/worker_pool.h"

namespace vireo::blk {

// QEMU's meaning of the words: writeback = host page cache, flushes honoured; none = O_DIRECT,
// flushes honoured; writethrough = every write is flushed; unsafe = flushes ignored.
enum class CacheMode : uint8_t { writeback, none, writethrough, unsafe };
CacheMode parse_cache_mode(const std::string& word);  // throws ConfigError

// What a graph needs of its surroundings; all outlive it.
struct Host {
  EventLoop& loop;
  WorkerPool& pool;
  Logger log{};
};

}  // namespace vireo::blk
