#include "devices/scsi/unit.h"

#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/testing/test_disk.h"
#include "vmm/testing/manual_loop.h"

namespace vireo::scsi {
namespace {

using Bytes = std::vector<uint8_t>;
constexpr uint64_t kSize = 1 << 20;
constexpr uint64_t kBlocks = kSize / 512;
constexpr blk::Limits kLimits{.size = kSize, .can_discard = true};

struct Fixture {
  explicit Fixture(UnitKind kind = UnitKind::disk, blk::Limits limits = kLimits,
                   UnitState state = {.reset_attention = false})
      : unit({kind, "S-1", "disk0"}, disk_of(limits), state) {}
  ~Fixture() { block_on(turns.loop(), unit.close()); }
  std::unique_ptr<blk::Disk> disk_of(blk::Limits limits) {
    auto owned = std::make_unique<dev::TestNode>(limits);
    node = owned.get();
    return std::make_unique<blk::Disk>("disk0", std::move(owned));
  }
  // A command to its end; what it reads is in `data`.
  Reply run(std::initializer_list<int> cdb, Bytes out = {}, size_t room = 4096) {
    Bytes block;
    for (const int byte : cdb) block.push_back(static_cast<uint8_t>(byte));
    data.assign(room, 0xee);
    Command command{.cdb = Cdb(std::as_bytes(std::span(block)))};
    if (!out.empty()) command.from = {{out.data(), out.size()}};
    if (room != 0) command.into = {{data.data(), data.size()}};
    const Reply reply = block_on(turns.loop(), unit.execute(std::move(command)));
    data.resize(reply.transferred <= room ? reply.transferred : 0);
    return reply;
  }
  // What is wrong with it.
  Sense refused(std::initializer_list<int> cdb, const Bytes& out = {}, size_t room = 4096) {
    const Reply reply = run(cdb, out, room);
    CHECK(reply.status == Status::check_condition);
    CHECK(reply.transferred == 0);
    return reply.sense;
  }
  bool good(std::initializer_list<int> cdb, const Bytes& out = {}, size_t room = 4096) {
    const Reply reply = run(cdb, out, room);
    return reply.status == Status::good && !reply.overrun;
  }
  TrayResult eject(bool forced = false) { return block_on(turns.loop(), unit.eject(forced)); }
  TrayResult insert(blk::Limits limits = kLimits) {
    return block_on(turns.loop(), unit.insert(disk_of(limits)));
  }

  testing::ManualLoop turns;
  dev::TestNode* node = nullptr;  // of the medium that was put in last
  Unit unit;
  Bytes data;
};

constexpr int kTestReady = 0x00, kRequestSense = 0x03, kInquiry = 0x12, kStartStop = 0x1b;
constexpr int kPrevent = 0x1e, kRead10 = 0x28, kWrite10 = 0x2a, kEvents = 0x4a;

}  // namespace

TEST_CASE("a SCSI unit goes on with its state") {
  Fixture f(UnitKind::cdrom, kLimits,
            {.reset_attention = false, .tray_open = true, .event = MediaEvent::removal});
  CHECK(f.refused({kTestReady}) == kNoMediumTrayOpen);
  CHECK(f.good({kEvents, 1, 0, 0, 0x10, 0, 0, 0, 8}));
  CHECK(f.data[4] == 3);
}

TEST_CASE("a SCSI disk tells of a reset once, and not those who ask what it is") {
  Fixture f(UnitKind::disk, kLimits, {});
  CHECK(f.good({kInquiry, 0, 0, 0, 36}));
  CHECK(f.good({0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16}));
  CHECK(f.refused({kTestReady}) == kResetOccurred);
  CHECK(f.good({kTestReady}));
  f.unit.reset();
  CHECK(f.good({kRequestSense, 0, 0, 0, 18}));
  CHECK((f.data[2] == 6 && f.data[12] == 0x29));
  CHECK(f.good({kRequestSense, 0, 0, 0, 18}));
  CHECK((f.data[2] == 0 && f.data[12] == 0));
}

TEST_CASE("a CDB is as long as it comes") {
  CHECK(Cdb(std::span<const std::byte>()).opcode() == Opcode::test_unit_ready);
  const std::vector<std::byte> longest(Cdb::kMaxLength + 1, std::byte{0x12});
  CHECK(Cdb(longest)[Cdb::kMaxLength - 1] == 0x12);
}

TEST_CASE("a SCSI unit refuses commands that it does not have") {
  Fixture disk, cdrom(UnitKind::cdrom);
  CHECK(disk.refused({0xff}) == kInvalidOpcode);
  CHECK(disk.refused({0x43}) == kInvalidOpcode);  // READ TOC
  CHECK(cdrom.refused({kWrite10}) == kInvalidOpcode);
  CHECK(cdrom.refused({0x42}) == kInvalidOpcode);  // UNMAP
}

TEST_CASE("INQUIRY gives as much as is allocated") {
  Fixture f;
  CHECK(f.good({kInquiry, 0, 0, 0, 36}));
  REQUIRE(f.data.size() == 36);
  CHECK((f.data[0] == 0 && f.data[1] == 0 && f.data[4] == 31));
  CHECK(std::string(f.data.begin() + 8, f.data.begin() + 20) == "VIREO   DISK");
  CHECK(f.good({kInquiry, 0, 0, 0, 5}));
  CHECK(f.data.size() == 5);
  CHECK(f.good({kInquiry, 0, 0, 0xff, 0xff}));
  CHECK(f.data.size() == 36);
  CHECK(f.run({kInquiry, 0, 0, 0, 36}, {}, 35).overrun);
  CHECK(f.good({kInquiry, 0, 0, 0, 0}, {}, 0));
  CHECK(f.refused({kInquiry, 0, 0x80, 0, 36}) == kInvalidField);
  Fixture cdrom(UnitKind::cdrom);
  CHECK(cdrom.good({kInquiry, 0, 0, 0, 36}));
  CHECK((cdrom.data[0] == 5 && cdrom.data[1] == 0x80));
}

TEST_CASE("INQUIRY lists the pages that there are, and gives them") {
  Fixture f;
  CHECK(f.good({kInquiry, 1, 0, 0, 255}));
  CHECK(f.data == Bytes{0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2});
  CHECK(f.good({kInquiry, 1, 0x80, 0, 255}));
  CHECK(f.data == Bytes{0, 0x80, 0, 3, 'S', '-', '1'});
  CHECK(f.good({kInquiry, 1, 0x83, 0, 255}));
  CHECK(f.data.size() == 4u + 4 + 8 + 3);
  CHECK(f.good({kInquiry, 1, 0xb0, 0, 255}));
  REQUIRE(f.data.size() == 64);
  CHECK(f.data[3] == 60);
  CHECK((f.data[20] == 0 && f.data[21] == 0x20));  // 1 GiB of blocks
  CHECK(f.data[27] == kMaxUnmapRanges);
  CHECK(f.good({kInquiry, 1, 0xb1, 0, 255}));
  CHECK((f.data.size() == 64 && f.data[5] == 1));
  CHECK(f.good({kInquiry, 1, 0xb2, 0, 255}));
  CHECK(f.data == Bytes{0, 0xb2, 0, 4, 0, 0xe0, 2, 0});
  CHECK(f.refused({kInquiry, 1, 0xb3, 0, 255}) == kInvalidField);
  Fixture cdrom(UnitKind::cdrom);
  CHECK(cdrom.refused({kInquiry, 1, 0xb0, 0, 255}) == kInvalidField);
}

TEST_CASE("READ CAPACITY tells the last block") {
  Fixture f;
  CHECK(f.good({0x25}));
  CHECK(f.data == Bytes{0, 0, 0x07, 0xff, 0, 0, 2, 0});
  CHECK(f.run({0x25}, {}, 7).overrun);
  CHECK(f.good({0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}));
  REQUIRE(f.data.size() == 32);
  CHECK((f.data[6] == 0x07 && f.data[7] == 0xff && f.data[10] == 2));
  CHECK((f.data[13] == 3 && f.data[14] == 0x80));
  CHECK(f.refused({0x9e, 0x11}) == kInvalidField);
  Fixture cdrom(UnitKind::cdrom);
  CHECK(cdrom.good({0x25}));
  CHECK(cdrom.data == Bytes{0, 0, 0x01, 0xff, 0, 0, 8, 0});
}

TEST_CASE("a SCSI disk is read and written by CDBs of any length") {
  Fixture f;
  const Bytes a(512, 'a');
  CHECK(f.good({0x0a, 0, 0, 1, 1, 0}, a));
  CHECK(f.good({kWrite10, 0, 0, 0, 0, 2, 0, 0, 1}, a));
  CHECK(f.good({0xaa, 0, 0, 0, 0, 3, 0, 0, 0, 1}, a));
  CHECK(f.good({0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1}, a));
  CHECK(f.node->calls == std::vector<std::string>{"write", "write", "write", "write fua"});
  for (uint64_t block = 0; block < 6; ++block)
    CHECK(f.node->bytes()[block * 512] == std::byte(block >= 1 && block <= 4 ? 'a' : 0));
  CHECK(f.good({0x08, 0, 0, 1, 1, 0}));
  CHECK(f.data == a);
  CHECK(f.good({kRead10, 0, 0, 0, 0, 2, 0, 0, 1}));
  CHECK(f.data == a);
  CHECK(f.good({0xa8, 0, 0, 0, 0, 3, 0, 0, 0, 1}));
  CHECK(f.data == a);
  CHECK(f.good({0x88, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 2}));
  CHECK((f.data.size() == 1024 && f.data[511] == 'a' && f.data[512] == 0));
}

TEST_CASE("a length of 0 is 256 blocks in READ(6) and none in others") {
  Fixture f;
  CHECK(f.good({0x08, 0, 0, 0, 0, 0}, {}, 256 * 512));
  CHECK(f.data.size() == 256u * 512);
  CHECK(f.good({kRead10, 0, 0, 0, 0, 0, 0, 0, 0}));
  CHECK(f.data.empty());
}

TEST_CASE("what leaves the disk or its buffer is refused") {
  Fixture f;
  static_assert(kBlocks == 0x800);
  CHECK(f.good({kRead10, 0, 0, 0, 7, 0xff, 0, 0, 1}));
  CHECK(f.refused({kRead10, 0, 0, 0, 7, 0xff, 0, 0, 2}) == kBlockOutOfRange);
  CHECK(f.good({kRead10, 0, 0, 0, 8, 0, 0, 0, 0}));
  CHECK(f.refused({kRead10, 0, 0, 0, 8, 1, 0, 0, 0}) == kBlockOutOfRange);
  CHECK(f.refused({kRead10, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff}) == kBlockOutOfRange);
  CHECK(f.refused({0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                   0xff}) == kBlockOutOfRange);
  CHECK(f.refused({kWrite10, 0, 0, 0, 8, 0, 0, 0, 1}, Bytes(512)) == kBlockOutOfRange);
  CHECK(f.run({kRead10, 0, 0, 0, 0, 0, 0, 0, 1}, {}, 511).overrun);
  CHECK(f.run({kWrite10, 0, 0, 0, 0, 0, 0, 0, 2}, Bytes(1023)).overrun);
  CHECK(f.refused({kRead10, 0x20, 0, 0, 0, 0, 0, 0, 1}) == kInvalidField);
  CHECK(f.node->calls == std::vector<std::string>{"read"});
}

TEST_CASE("what the host refuses is told by sense data") {
  Fixture f;
  const auto fail = [&](std::errc why) { f.node->error = std::make_error_code(why); };
  fail(std::errc::io_error);
  CHECK(f.refused({kRead10, 0, 0, 0, 0, 0, 0, 0, 1}) == kReadError);
  CHECK(f.refused({kWrite10, 0, 0, 0, 0, 0, 0, 0, 1}, Bytes(512)) == kWriteError);
  CHECK(f.refused({0x35}) == kWriteError);
  fail(std::errc::no_space_on_device);
  CHECK(f.refused({kWrite10, 0, 0, 0, 0, 0, 0, 0, 1}, Bytes(512)) == kNoSpace);
  f.node->error = {};
}

TEST_CASE("a read-only SCSI disk says so, and takes no writes") {
  Fixture f(UnitKind::disk, {.size = kSize, .read_only = true});
  CHECK(f.good({0x1a, 0, 0x3f, 0, 255}));
  CHECK(f.data[2] == 0x90);
  CHECK(f.refused({kWrite10, 0, 0, 0, 0, 0, 0, 0, 1}, Bytes(512)) == kWriteProtected);
  CHECK(f.refused({0x41, 0, 0, 0, 0, 0, 0, 0, 1}, Bytes(512)) == kWriteProtected);
  CHECK(f.refused({0x42, 0, 0, 0, 0, 0, 0, 0, 24}, Bytes(24)) == kInvalidOpcode);
  CHECK(f.node->calls.empty());
}

TEST_CASE("SYNCHRONIZE CACHE, and the stop of a disk, flush") {
  Fixture f;
  CHECK(f.good({0x35}));
  CHECK(f.good({0x91}));
  CHECK(f.good({kStartStop, 0, 0, 0, 0}));
  CHECK(f.good({kStartStop, 0, 0, 0, 1}));
  CHECK(f.node->calls == std::vector<std::string>{"flush", "flush", "flush"});
  CHECK(f.refused({0x35, 0, 0, 0, 8, 1}) == kBlockOutOfRange);
}

TEST_CASE("VERIFY reads, and compares nothing") {
  Fixture f;
  CHECK(f.good({0x2f, 0, 0, 0, 0, 0, 0, 1, 0}));
  CHECK(f.node->calls == std::vector<std::string>{"read", "read"});
  CHECK(f.refused({0x2f, 2, 0, 0, 0, 0, 0, 0, 1}) == kInvalidField);
  CHECK(f.refused({0x2f, 0, 0, 0, 8, 0, 0, 0, 1}) == kBlockOutOfRange);
}

TEST_CASE("MODE SENSE gives its pages, and nothing that can be changed") {
  Fixture f;
  CHECK(f.good({0x1a, 8, 0x08, 0, 255}));
  REQUIRE(f.data.size() == 24);
  CHECK((f.data[0] == 23 && f.data[2] == 0x10 && f.data[4] == 8 && f.data[6] == 4));
  CHECK(f.good({0x1a, 0, 0x48, 0, 255}));
  CHECK((f.data[4] == 8 && f.data[6] == 0));
  CHECK(f.good({0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255}));
  CHECK((f.data.size() == 8u + 20 + 12 && f.data[1] == 38));
  CHECK(f.good({0x1a, 0, 0x3f, 0, 4}));
  CHECK(f.data.size() == 4);
  CHECK(f.refused({0x1a, 0, 0xff, 0, 255}) == kNoSavedPages);
  CHECK(f.refused({0x1a, 0, 0x2a, 0, 255}) == kInvalidField);
  CHECK(f.refused({0x1a, 0, 0x08, 1, 255}) == kInvalidField);
  Fixture cdrom(UnitKind::cdrom);
  CHECK(cdrom.good({0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255}));
  CHECK((cdrom.data.size() == 30 && cdrom.data[8 + 6] >> 5 == 1));
}

namespace {
Bytes unmap_list(size_t ranges, uint8_t first, uint8_t count) {
  Bytes list(8 + 16 * ranges);
  list[2] = static_cast<uint8_t>(16 * ranges >> 8);
  list[3] = static_cast<uint8_t>(16 * ranges);
  for (size_t i = 0; i < ranges; ++i) list[8 + 16 * i + 7] = first, list[8 + 16 * i + 11] = count;
  return list;
}
}  // namespace

TEST_CASE("UNMAP discards ranges of the disk") {
  Fixture f;
  CHECK(f.good({0x42, 0, 0, 0, 0, 0, 0, 0, 40}, unmap_list(2, 8, 16)));
  CHECK(f.node->calls == std::vector<std::string>{"discard 4096+8192", "discard 4096+8192"});
  f.node->calls.clear();
  CHECK(f.good({0x42}));
  CHECK(f.run({0x42, 0, 0, 0, 0, 0, 0, 0, 24}, Bytes(23)).overrun);
  CHECK(f.refused({0x42, 0, 0, 0, 0, 0, 0, 0, 7}, Bytes(7)) == kParameterListLength);
  CHECK(f.refused({0x42, 0, 0, 0, 0, 0, 0, 2, 24}, unmap_list(33, 0, 1)) == kInvalidParameter);
  Bytes outside = unmap_list(1, 0, 1);
  outside[8] = 0xff;
  CHECK(f.refused({0x42, 0, 0, 0, 0, 0, 0, 0, 24}, outside) == kBlockOutOfRange);
  CHECK(f.refused({0x42, 1, 0, 0, 0, 0, 0, 0, 24}, unmap_list(1, 0, 1)) == kInvalidField);
  CHECK(f.node->calls.empty());
}

TEST_CASE("WRITE SAME writes a block over and over, or zeros") {
  Fixture f;
  CHECK(f.good({0x41, 0, 0, 0, 0, 1, 0, 0, 200}, Bytes(512, 's')));
  CHECK(f.node->calls == std::vector<std::string>{"write", "write"});
  CHECK(f.node->bytes()[511] == std::byte{0});
  CHECK(f.node->bytes()[512] == std::byte{'s'});
  CHECK(f.node->bytes()[201 * 512 - 1] == std::byte{'s'});
  CHECK(f.node->bytes()[201 * 512] == std::byte{0});
  f.node->calls.clear();
  CHECK(f.good({0x41, 8, 0, 0, 0, 1, 0, 0, 1}, Bytes(512)));
  CHECK(f.good({0x93, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1}));
  CHECK(f.node->calls == std::vector<std::string>{"zero unmap", "zero"});
  CHECK(f.node->bytes()[512] == std::byte{0});
  CHECK(f.refused({0x41, 0, 0, 0, 0, 1, 0, 0, 0}, Bytes(512)) == kInvalidField);
  CHECK(f.refused({0x41, 0, 0, 0, 7, 0xff, 0, 0, 2}, Bytes(512)) == kBlockOutOfRange);
  CHECK(f.refused({0x93, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1}) == kInvalidField);
  CHECK(f.run({0x41, 0, 0, 0, 0, 1, 0, 0, 1}, Bytes(511)).overrun);
}

TEST_CASE("a CD has one data track and a lead-out") {
  Fixture f(UnitKind::cdrom);
  CHECK(f.good({0x43, 0, 0, 0, 0, 0, 0, 0, 255}));
  CHECK(f.data == Bytes{0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 2, 0});
  CHECK(f.good({0x43, 2, 0, 0, 0, 0, 0xaa, 0, 255}));
  CHECK(f.data == Bytes{0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 8, 62});
  CHECK(f.good({0x43, 0, 1, 0, 0, 0, 0, 0, 255}));
  CHECK(f.data.size() == 12);
  CHECK(f.good({0x43, 0, 0, 0, 0, 0, 0, 0, 4}));
  CHECK(f.data.size() == 4);
  CHECK(f.refused({0x43, 0, 0, 0, 0, 0, 2, 0, 255}) == kInvalidField);
  CHECK(f.refused({0x43, 0, 2, 0, 0, 0, 0, 0, 255}) == kInvalidField);
  CHECK(f.good({0x51, 0, 0, 0, 0, 0, 0, 0, 255}));
  CHECK((f.data.size() == 34 && f.data[1] == 32 && f.data[2] == 0x0e));
}

TEST_CASE("GET CONFIGURATION tells what the disc is") {
  Fixture f(UnitKind::cdrom);
  CHECK(f.good({0x46, 2, 0, 3, 0, 0, 0, 0, 255}));
  CHECK(f.data == Bytes{0, 0, 0, 12, 0, 0, 0, 8, 0, 3, 3, 4, 0x29, 0, 0, 0});
  CHECK(f.good({0x46, 1, 0, 0x10, 0, 0, 0, 0, 255}));
  CHECK(f.data.size() == 8u + 12 + 8);  // readable, and as a CD
  CHECK(f.refused({0x46, 3, 0, 0, 0, 0, 0, 0, 255}) == kInvalidField);
  f.eject();
  CHECK(f.good({0x46, 1, 0, 0x10, 0, 0, 0, 0, 255}));
  CHECK(f.data == Bytes{0, 0, 0, 4, 0, 0, 0, 0});
}

TEST_CASE("a medium is taken out and another put in") {
  Fixture f(UnitKind::cdrom);
  CHECK(f.insert() == TrayResult::occupied);
  CHECK(f.eject() == TrayResult::done);
  CHECK(f.refused({kTestReady}) == kNoMediumTrayOpen);
  CHECK(f.refused({kRead10, 0, 0, 0, 0, 0, 0, 0, 1}) == kNoMediumTrayOpen);
  CHECK(f.good({kEvents, 1, 0, 0, 0x10, 0, 0, 0, 8}));
  CHECK(f.data == Bytes{0, 6, 4, 0x10, 3, 1, 0, 0});
  f.unit.reset();
  CHECK(f.refused({kTestReady}) == kResetOccurred);
  CHECK(f.refused({kTestReady}) == kNoMediumTrayOpen);
  CHECK(f.insert() == TrayResult::done);
  CHECK(f.refused({kTestReady}) == kMediumChanged);
  CHECK(f.good({kTestReady}));
  CHECK(f.good({kEvents, 1, 0, 0, 0x10, 0, 0, 0, 4}));  // not as far as the event
  CHECK(f.good({kEvents, 1, 0, 0, 0x10, 0, 0, 0, 8}));
  CHECK(f.data == Bytes{0, 6, 4, 0x10, 2, 2, 0, 0});
  CHECK(f.good({kEvents, 1, 0, 0, 0x10, 0, 0, 0, 8}));
  CHECK(f.data[4] == 0);
  CHECK(f.good({kEvents, 1, 0, 0, 0x40, 0, 0, 0, 8}));
  CHECK(f.data == Bytes{0, 2, 0x80, 0x10});
  CHECK(f.refused({kEvents, 0, 0, 0, 0x10, 0, 0, 0, 8}) == kInvalidField);
}

namespace {
Task<void> run_into(Unit& unit, Command command, std::optional<Reply>& reply) {
  reply = co_await unit.execute(std::move(command));
}
Task<void> join(Scope& tasks) {
  co_await tasks.join();
}
Task<void> eject_into(Unit& unit, std::optional<TrayResult>& result) {
  result = co_await unit.eject(false);
}
}  // namespace

TEST_CASE("a medium is closed when the commands under way have ended") {
  Fixture f(UnitKind::cdrom);
  Bytes data(2048);
  const Bytes cdb{kRead10, 0, 0, 0, 0, 0, 0, 0, 1};
  std::optional<Reply> reply;
  std::optional<TrayResult> result;
  f.node->may_answer.reset();
  f.node->bytes()[0] = std::byte{'x'};
  Scope tasks([](const std::exception_ptr& why) { std::rethrow_exception(why); });
  tasks.spawn(run_into(
      f.unit, {.cdb = Cdb(std::as_bytes(std::span(cdb))), .into = {{data.data(), data.size()}}},
      reply));
  tasks.spawn(eject_into(f.unit, result));
  CHECK_FALSE(reply);
  CHECK_FALSE(result);
  CHECK(f.refused({kTestReady}) == kNoMediumTrayOpen);
  f.node->may_answer.set();
  block_on(f.turns.loop(), join(tasks));
  CHECK(reply->transferred == 2048);
  CHECK(data[0] == 'x');
  CHECK(result == TrayResult::done);
}

TEST_CASE("a guest may hold its medium, but not for ever") {
  Fixture f(UnitKind::cdrom);
  CHECK(f.good({kPrevent, 0, 0, 0, 1}));
  CHECK(f.refused({kStartStop, 0, 0, 0, 2}) == kRemovalPrevented);
  CHECK(f.eject() == TrayResult::prevented);
  CHECK(f.good({kEvents, 1, 0, 0, 0x10, 0, 0, 0, 8}));
  CHECK(f.data[4] == 1);  // it is asked to let go
  CHECK(f.good({kTestReady}));
  CHECK(f.eject(true) == TrayResult::done);
  CHECK(f.refused({kTestReady}) == kNoMediumTrayOpen);
  CHECK_FALSE(f.unit.state().removal_prevented);
}

TEST_CASE("a guest opens the tray and closes it") {
  Fixture f(UnitKind::cdrom);
  CHECK(f.good({kStartStop, 0, 0, 0, 2}));
  CHECK(f.refused({kTestReady}) == kNoMediumTrayOpen);
  CHECK(f.good({kStartStop, 0, 0, 0, 3}));
  CHECK(f.refused({kTestReady}) == kMediumChanged);
  CHECK(f.good({kTestReady}));
}

TEST_CASE("a disk has no tray") {
  Fixture f;
  CHECK(f.eject(true) == TrayResult::not_removable);
  CHECK(f.refused({kPrevent, 0, 0, 0, 1}) == kInvalidOpcode);
}

TEST_CASE("where there is no unit, a target says so") {
  const auto ask = [](std::initializer_list<int> bytes, Bytes& into) {
    Bytes cdb(bytes.begin(), bytes.end());
    return answer_absent_unit(
        {.cdb = Cdb(std::as_bytes(std::span(cdb))), .into = {{into.data(), into.size()}}});
  };
  Bytes data(64);
  CHECK(ask({kTestReady}, data).sense == kUnitNotSupported);
  CHECK(ask({kInquiry, 0, 0, 0, 36}, data).transferred == 36);
  CHECK(data[0] == 0x7f);
  CHECK(ask({0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16}, data).transferred == 16);
  CHECK(data[3] == 8);
  CHECK(ask({kRequestSense, 0, 0, 0, 18}, data).transferred == 18);
  CHECK(data[12] == 0x25);
}

}  // namespace vireo::scsi
