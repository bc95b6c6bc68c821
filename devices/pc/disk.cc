#include "devices/pc/disk.h"

#include <array>
#include <vector>

#include <fmt/format.h>

#include "devices/pc/boot.h"
#include "devices/pc/rate.h"
#include "devices/virtio/blk.h"
#include "vmm/base/error.h"

namespace vireo::pc {

namespace {

struct DiskRate {
  RateNames names;
  std::string_view values, help;
  RateLimit blk::ThrottleRates::*limit;
};
constexpr std::array kRates{
    DiskRate{{"iops", "iops-burst", "iops-burst-length"},
             "N",
             "at most that many requests a second; KEY-burst of them, for KEY-burst-length "
             "seconds, after "
             "a quiet time",
             &blk::ThrottleRates::iops},
    DiskRate{{"iops-rd", "iops-rd-burst", "iops-rd-burst-length"},
             "N",
             "the same for reads",
             &blk::ThrottleRates::iops_read},
    DiskRate{{"iops-wr", "iops-wr-burst", "iops-wr-burst-length"},
             "N",
             "the same for writes",
             &blk::ThrottleRates::iops_write},
    DiskRate{{"bps", "bps-burst", "bps-burst-length"},
             "SIZE",
             "at most that many bytes a second",
             &blk::ThrottleRates::bps},
    DiskRate{{"bps-rd", "bps-rd-burst", "bps-rd-burst-length"},
             "SIZE",
             "the same for reads",
             &blk::ThrottleRates::bps_read},
    DiskRate{{"bps-wr", "bps-wr-burst", "bps-wr-burst-length"},
             "SIZE",
             "the same for writes",
             &blk::ThrottleRates::bps_write},
};

// The words, and the value of who writes none.
template <class E, size_t kCount>
std::vector<blk::Word<E>> with_unwritten(const std::array<blk::Word<E>, kCount>& words, E value) {
  std::vector<blk::Word<E>> all(words.begin(), words.end());
  all.emplace_back("", value);
  return all;
}

void set_data_file(blk::Spec& image, const std::string& path) {
  image.data_file.reset();
  if (!path.empty()) image.data_file = path;
}

void add_image(Keys& keys, blk::Spec& image) {
  using blk::AioMode, blk::CacheMode, blk::References;
  keys.word(
          {"path", "FILE", "the image, or a block device"},
          [&image](const std::string& path) { image.location = path; },
          [&image] { return image.name(); })
      .choice<std::string>(
          {"format", "raw|qcow2",
           "needed unless the name ends in .raw, .img or .qcow2: the format is never guessed from "
           "the content, which is the guest's to write"},
          image.format, {{"raw", "raw"}, {"qcow2", "qcow2"}, {"", ""}})
      .flag({"readonly", "on", "the guest cannot write"}, image.read_only)
      .choice<References>(
          {"backing", "on|beside|off",
           "which files that a qcow2 image names are opened: all; those in the image's own folder, "
           "for images that one has not made oneself; or none"},
          image.references, blk::kReferenceWords)
      .word(
          {"data-file", "FILE",
           "the data file of a qcow2 image that has one: the name in the image counts only when "
           "the file lies beside it"},
          [&image](const std::string& path) { set_data_file(image, path); },
          [&image] { return image.data_file ? image.data_file->name() : ""; })
      .flag({"snapshot", "on", "all writes are thrown away at the end"}, image.snapshot)
      .choice<CacheMode>({"cache", "MODE",
                          "writeback: the host's page cache; none: O_DIRECT; writethrough: every "
                          "write is flushed; directsync: both; unsafe: flushes are ignored"},
                         image.cache, blk::kCacheWords)
      .choice<AioMode>({"aio", "native|threads",
                        "native: the kernel's asynchronous I/O, the default with cache=none and "
                        "only there; threads: blocking calls on threads"},
                       image.aio, with_unwritten(blk::kAioWords, AioMode::automatic))
      .size({"metadata-cache", "SIZE",
             "memory for the tables of each qcow2 image of the chain (32M)"},
            image.metadata_cache, 0, uint64_t{1} << 62);
}

void set_serial(std::string& serial, const std::string& text) {
  if (text.size() > dev::kBlkIdLength)
    throw ConfigError(fmt::format("it has more than {} bytes", dev::kBlkIdLength));
  serial = text;
}

// What a disk has for itself only on a bus of its own.
void check_scsi(std::string_view of, const DiskSpec& disk) {
  const auto refuse = [of](const char* key) {
    throw ConfigError(fmt::format(
        "{}: '{}' is not for bus=scsi, whose disks share one adapter: use bus=virtio", of, key));
  };
  if (disk.queues != 1) refuse("queues");
  if (disk.iothread) refuse("iothread");
  if (disk.pauses_when_full) refuse("on-enospc");
}

}  // namespace

Keys keys_of(DiskSpec& disk) {
  Keys keys;
  add_image(keys, disk.image);
  keys.text({"id", "NAME", "what the disk is called (disk0, disk1, …)"}, disk.id)
      .word(
          {"serial", "S", "what the guest reads as the disk's serial number, up to 20 bytes"},
          [&disk](const std::string& text) { set_serial(disk.serial, text); },
          [&disk] { return disk.serial; })
      .choice<DiskBus>({"bus", "virtio|scsi",
                        "virtio: a disk of its own (vda); scsi: one of a SCSI adapter's, which has "
                        "all of them and the CD-ROM drives (sda)"},
                       disk.bus, {{"virtio", DiskBus::virtio}, {"scsi", DiskBus::scsi}})
      .number(
          {"queues", "N", "1 to 64 request queues; a guest with many CPUs may want several (1)"},
          disk.queues, 1, dev::Blk::kMaxQueues)
      .flag({"iothread", "on", "a thread of its own, where the disk keeps no other device waiting"},
            disk.iothread)
      .choice<bool>(
          {"on-enospc", "report|stop",
           "report: a full host is an I/O error in the guest; stop: the machine is paused, and "
           "tries again when it is continued: kill -CONT PID, or Ctrl-Z, make room, fg"},
          disk.pauses_when_full, {{"report", false}, {"stop", true}})
      .word(
          {"bootindex", "N", "a BIOS tries the disk or drive with the least first; see --boot"},
          [&disk](const std::string& text) { disk.bootindex = parse_bootindex(text); },
          [&disk] { return disk.bootindex ? std::to_string(*disk.bootindex) : ""; });
  for (const DiskRate& rate : kRates)
    add_rate(keys, rate.names, rate.values, rate.help, disk.image.throttle.*rate.limit);
  return keys;
}

DiskSpec parse_disk(std::string_view text) {
  DiskSpec disk;
  keys_of(disk).assign("--disk", pairs_of(text, "path"));
  check("--disk", disk);
  return disk;
}

void check(std::string_view of, const DiskSpec& disk) {
  if (disk.image.name().empty()) throw ConfigError(fmt::format("{}: 'path' is missing", of));
  if (disk.bus == DiskBus::scsi) check_scsi(of, disk);
  for (const DiskRate& rate : kRates)
    check_rate_limit(disk.image.throttle.*rate.limit, fmt::format("{}: {}", of, rate.names.rate));
}

}  // namespace vireo::pc
