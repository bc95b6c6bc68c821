#include "tools/vireo/disk_option.h"

#include <array>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "devices/virtio/blk.h"
#include "tools/vireo/parse.h"
#include "tools/vireo/rate_option.h"
#include "vmm/base/error.h"

namespace vireo::cli {

const char* const kDiskHelp =
    R"(What --disk SPEC is made of; a bare path works, a comma in a value is written twice:
  path=FILE          the image, or a block device
  format=F           raw or qcow2; needed unless the name ends in .raw, .img or .qcow2: it is never
                     guessed from the content, which is the guest's to write
  readonly=on        the guest cannot write
  backing=off        do not open the backing files that a qcow2 image names; backing=beside: only
                     those in the image's own folder, for images that one has not made oneself
  data-file=FILE     the data file of a qcow2 image that has one: the name in the image counts only
                     when the file lies beside it
  snapshot=on        throw all writes away at the end
  cache=MODE         writeback: the host's page cache; none: O_DIRECT; writethrough: every write is
                     flushed; unsafe: flushes are ignored
  aio=HOW            native: the kernel's asynchronous I/O, the default with cache=none and only
                     there; threads: blocking calls on threads
  metadata-cache=SIZE
                     memory for the tables of each qcow2 image of the chain (32M)
  id=NAME, serial=S  disk0, disk1, … and no serial
  queues=N           1 to 64 request queues; a guest with many CPUs may want several
  iothread=on        a thread of its own, where it keeps no other device waiting
  on-enospc=WHAT     report: a full host is an I/O error in the guest; stop: pause the machine, and
                     try again when it is continued: kill -CONT PID, or Ctrl-Z, make room, fg
  iops=N, bps=SIZE   at most that many requests and bytes a second; iops-rd, iops-wr, bps-rd and
                     bps-wr for reads and writes alone. KEY-burst=N goes beyond it after a quiet
                     time, for KEY-burst-length=SECONDS (1)
)";

namespace {

struct RateKeys {
  const char* key;
  blk::RateLimit blk::ThrottleRates::*limit;
  bool in_bytes;
};
constexpr std::array kRates{
    RateKeys{"iops", &blk::ThrottleRates::iops, false},
    RateKeys{"iops-rd", &blk::ThrottleRates::iops_read, false},
    RateKeys{"iops-wr", &blk::ThrottleRates::iops_write, false},
    RateKeys{"bps", &blk::ThrottleRates::bps, true},
    RateKeys{"bps-rd", &blk::ThrottleRates::bps_read, true},
    RateKeys{"bps-wr", &blk::ThrottleRates::bps_write, true},
};

uint16_t parse_queues(const KeyValues& keys) {
  const uint64_t queues = keys.number("queues", 1);
  if (queues < 1 || queues > dev::Blk::kMaxQueues)
    throw ConfigError(
        fmt::format("--disk: queues={}: a disk has 1 to {}", queues, dev::Blk::kMaxQueues));
  return static_cast<uint16_t>(queues);
}

std::string parse_serial(const KeyValues& keys) {
  std::string serial = keys.get("serial", "");
  if (serial.size() > dev::kBlkIdLength)
    throw ConfigError(
        fmt::format("--disk: serial={}: more than {} bytes", serial, dev::kBlkIdLength));
  return serial;
}

DiskOption parse_disk(const std::string& text, size_t index) {
  const KeyValues keys("--disk", text, "path",
                       {"path",
                        "format",
                        "readonly",
                        "id",
                        "serial",
                        "cache",
                        "aio",
                        "metadata-cache",
                        "backing",
                        "data-file",
                        "snapshot",
                        "queues",
                        "iothread",
                        "on-enospc",
                        "iops",
                        "iops-burst",
                        "iops-burst-length",
                        "iops-rd",
                        "iops-rd-burst",
                        "iops-rd-burst-length",
                        "iops-wr",
                        "iops-wr-burst",
                        "iops-wr-burst-length",
                        "bps",
                        "bps-burst",
                        "bps-burst-length",
                        "bps-rd",
                        "bps-rd-burst",
                        "bps-rd-burst-length",
                        "bps-wr",
                        "bps-wr-burst",
                        "bps-wr-burst-length"});
  DiskOption disk;
  disk.id = keys.get("id", fmt::format("disk{}", index));
  disk.serial = parse_serial(keys);
  disk.spec.path = keys.need("path");
  disk.spec.format = keys.choice("format", {"", "raw", "qcow2"});
  disk.spec.read_only = keys.flag("readonly", false);
  disk.spec.cache = blk::parse_cache_mode(
      keys.choice("cache", {"writeback", "none", "writethrough", "directsync", "unsafe"}));
  if (const std::string aio = keys.choice("aio", {"", "native", "threads"}); !aio.empty())
    disk.spec.aio = blk::parse_aio_mode(aio);
  disk.spec.metadata_cache = keys.size("metadata-cache", 0);
  disk.spec.references = blk::parse_references(keys.choice("backing", {"on", "off", "beside"}));
  disk.spec.data_file = keys.get("data-file", "");
  disk.spec.snapshot = keys.flag("snapshot", false);
  for (const RateKeys& rate : kRates)
    disk.spec.throttle.*rate.limit = parse_rate("--disk", keys, rate.key, rate.in_bytes);
  disk.queues = parse_queues(keys);
  disk.iothread = keys.flag("iothread", false);
  disk.stop_when_full = keys.choice("on-enospc", {"report", "stop"}) == "stop";
  return disk;
}

}  // namespace

std::vector<DiskOption> parse_disks(const std::vector<std::string>& texts) {
  std::vector<DiskOption> disks;
  std::set<std::string> ids;
  for (const std::string& text : texts) {
    disks.push_back(parse_disk(text, disks.size()));
    if (!ids.insert(disks.back().id).second)
      throw ConfigError(fmt::format("--disk: two disks have the id '{}'", disks.back().id));
  }
  return disks;
}

}  // namespace vireo::cli
