#include "devices/pc/disk.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::pc {
namespace {

DiskSpec parse(const std::string& text) {
  return parse_disk(text);
}

void refuses(const std::string& text, const std::string& why) {
  INFO(text);
  CHECK_THROWS_AS(parse(text), ConfigError);
  CHECK_THROWS_WITH(parse(text), Catch::StartsWith("--disk") && Catch::Contains(why));
}

}  // namespace

TEST_CASE("a bare path is a disk with what most want") {
  const DiskSpec disk = parse("a/b=c.img");
  CHECK(disk.image.name() == "a/b=c.img");
  CHECK(disk.id.empty());
  CHECK(disk.image.format.empty());
  CHECK(disk.image.cache == blk::CacheMode::writeback);
  CHECK(disk.image.aio == blk::AioMode::automatic);
  CHECK(disk.image.references == blk::References::any);
  CHECK_FALSE(disk.image.throttle.any());
  CHECK(disk.queues == 1);
  CHECK_FALSE(disk.iothread);
  CHECK_FALSE(disk.pauses_when_full);
}

TEST_CASE("all keys of a disk arrive") {
  const DiskSpec disk = parse(
      "path=x,,y,format=qcow2,readonly=on,id=vda,serial=S1,cache=none,backing=off,snapshot=on,"
      "aio=threads,metadata-cache=1M,queues=4,iothread=on,on-enospc=stop,data-file=d.raw");
  CHECK(disk.image.name() == "x,y");
  CHECK(disk.image.format == "qcow2");
  CHECK(disk.image.read_only);
  CHECK(disk.id == "vda");
  CHECK(disk.serial == "S1");
  CHECK(disk.image.cache == blk::CacheMode::none);
  CHECK(disk.image.aio == blk::AioMode::threads);
  CHECK(disk.image.metadata_cache == 1048576);
  CHECK(disk.image.references == blk::References::none);
  CHECK(disk.image.data_file.value().name() == "d.raw");
  CHECK(parse("x.qcow2,backing=beside").image.references == blk::References::beside);
  CHECK(disk.image.snapshot);
  CHECK(disk.queues == 4);
  CHECK(disk.iothread);
  CHECK(disk.pauses_when_full);
}

TEST_CASE("a SCSI disk has nothing for itself that is its adapter's") {
  CHECK(parse("x.img").bus == DiskBus::virtio);
  CHECK(parse("x.img,bus=scsi,serial=S1,iops=5").bus == DiskBus::scsi);
  CHECK(parse("x.img,bus=virtio,queues=2").queues == 2);
  refuses("x.img,bus=scsi,queues=2", "'queues' is not for bus=scsi");
  refuses("x.img,bus=scsi,iothread=on", "'iothread' is not for bus=scsi");
  refuses("x.img,bus=scsi,on-enospc=stop", "'on-enospc' is not for bus=scsi");
  refuses("x.img,bus=ide", "it is one of virtio, scsi");
}

TEST_CASE("rates are given for reads, writes and both, with bursts") {
  const blk::ThrottleRates rates =
      parse(
          "x.img,iops=100,iops-burst=200,iops-burst-length=10,iops-rd=1,iops-wr=2,bps=1M,"
          "bps-rd=2k,bps-wr=3,bps-wr-burst=4")
          .image.throttle;
  CHECK(rates.iops.rate == 100);
  CHECK(rates.iops.burst == 200);
  CHECK(rates.iops.burst_length == 10);
  CHECK(rates.iops_read.rate == 1);
  CHECK(rates.iops_write.rate == 2);
  CHECK(rates.bps.rate == 1024 * 1024);
  CHECK(rates.bps_read.rate == 2048);
  CHECK(rates.bps_write.rate == 3);
  CHECK(rates.bps_write.burst == 4);
}

TEST_CASE("what is wrong with a disk is said in one sentence") {
  refuses("x.img,colour=red", "colour");
  refuses("readonly=on", "'path' is missing");
  refuses("x.img,readonly=on,readonly=on", "twice");
  refuses("x.img,readonly=yes", "on or off");
  refuses("x.img,format=vmdk", "one of raw, qcow2");
  refuses("x.img,cache=fast", "writethrough");
  refuses("x.img,aio=bio", "native, threads");
  refuses("x.img,queues=0", "1 to 64");
  refuses("x.img,queues=65", "1 to 64");
  refuses("x.img,queues=many", "number");
  refuses("x.img,queues=-1", "number");
  refuses("x.img,iothread=2", "on or off");
  refuses("x.img,on-enospc=ignore", "report");
  refuses("x.img,serial=123456789012345678901", "20 bytes");
  refuses("x.img,iops=1.5", "number");
  refuses("x.img,iops=99999999999999999999", "number");
  refuses("x.img,bps=fast", "size");
  refuses("x.img,iops-burst=5", "iops: a burst needs");
  refuses("x.img,bps-wr=5,bps-wr-burst=4", "bps-wr: the burst is below");
  refuses("x.img,iops=5,iops-burst-length=4", "length");
}

}  // namespace vireo::pc
