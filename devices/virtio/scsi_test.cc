#include "devices/virtio/scsi.h"

#include <array>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/testing/guest_driver.h"
#include "devices/testing/test_disk.h"
#include "devices/virtio/mmio.h"
#include "vmm/testing/state_contract.h"

namespace vireo::dev {
namespace {

using scsi::TrayResult;
using scsi::UnitKind;
using Calls = std::vector<std::string>;
constexpr size_t kBlock = 512;  // of a disk, bytes
constexpr blk::Limits kLimits{.size = 1 * MiB, .can_discard = true};
constexpr blk::Limits kDisc{.size = 256 * KiB, .read_only = true};
constexpr uint64_t kFeatures = kFeatureIndirect | kFeatureEventIdx | kScsiFeatureChange;
constexpr uint32_t kHead = sizeof(ScsiResponse) + kScsiSenseSize;
constexpr uint8_t kTestReady = 0x00, kInquiry = 0x12, kPrevent = 0x1e, kRead = 0x28, kWrite = 0x2a;
constexpr uint8_t kReportLuns = 0xa0;
constexpr uint8_t kGood = 0, kCheckCondition = 2;
constexpr size_t kDisk = 0, kCdrom = 1, kEmpty = 2;  // targets

ScsiLun lun_of(size_t target, uint8_t unit = 0) {
  return {1, static_cast<uint8_t>(target), 0x40, unit};
}

// Of a command's data.
struct Buffers {
  std::vector<GuestBuffer> out{}, in{};
};

// A disk, a CD-ROM drive with a disc, and one without.
struct Fixture {
  explicit Fixture(ScsiState state = {}) {
    std::vector<ScsiTarget> targets;
    targets.push_back({{UnitKind::disk, "S-1", "disk0"}, disk_of(kLimits)});
    disk = node;
    targets.push_back({{UnitKind::cdrom, "", "cdrom0"}, disk_of(kDisc)});
    disc = node;
    targets.push_back({{UnitKind::cdrom, "", "cdrom1"}, nullptr});
    auto device =
        std::make_unique<Scsi>("scsi0", machine.virtio_env(), std::move(targets), std::move(state));
    scsi = device.get();
    transport = std::make_unique<MmioTransport>("scsi0", machine.env, std::move(device));
    transport->start();
  }
  ~Fixture() {
    disk->may_answer.set();
    stop();
    block_on(machine.loop, transport->close());
  }
  std::unique_ptr<blk::Disk> disk_of(blk::Limits limits) {
    auto owned = std::make_unique<TestNode>(limits);
    node = owned.get();
    return std::make_unique<blk::Disk>("disk", std::move(owned));
  }
  void stop() { block_on(machine.loop, transport->stop()); }
  void start(uint64_t features = kFeatures) { driver.start(features, {64, 16, 64}); }
  // And each unit has told that it was reset.
  void start_ready() {
    start();
    for (const size_t target : {kDisk, kCdrom, kEmpty}) run(target, {kTestReady});
  }
  ScsiState saved() const {
    StateWriter writer;
    transport->save(writer);
    return StateReader(writer.take()).take<ScsiState>("scsi0.device");
  }
  GuestQueue& queue(uint16_t index) { return driver.queue(index); }

  // A command on its way.
  struct Pending {
    uint16_t place = 0;  // its descriptor
    GuestBuffer head{};
  };
  Pending submit(const ScsiLun& lun, std::initializer_list<uint8_t> cdb, Buffers data = {},
                 uint64_t id = 0) {
    GuestQueue& to = queue(kScsiRequestQueue);
    ScsiRequestHeader header;
    header.lun = lun;
    header.id = id;
    std::array<uint8_t, kScsiCdbSize> bytes{};
    std::copy(cdb.begin(), cdb.end(), bytes.begin());
    std::vector<GuestBuffer> all{to.readable(bytes_of(header)), to.readable(bytes_of(bytes))};
    all.insert(all.end(), data.out.begin(), data.out.end());
    const GuestBuffer head = room_for_head();
    all.push_back(head);
    all.insert(all.end(), data.in.begin(), data.in.end());
    const Pending pending{to.submit(all), head};
    driver.kick(kScsiRequestQueue);
    return pending;
  }
  GuestBuffer room_for_head() {
    GuestBuffer head = queue(kScsiRequestQueue).readable(std::string(kHead, '\xee'));
    head.writable = true;
    return head;
  }
  struct Answer {
    ScsiResult result{};
    uint8_t status = 0;
    uint32_t residual = 0;
    uint32_t sense_length = 0;
    scsi::Sense sense{};
  };
  Answer answer_to(const Pending& pending) {
    const auto bytes = queue(kScsiRequestQueue).contents(pending.head);
    ByteReader reader(bytes);
    const auto response = reader.get<ScsiResponse>();
    const auto sense = reader.get<std::array<uint8_t, 18>>();
    return {ScsiResult{response.response},
            response.status,
            response.residual,
            response.sense_length,
            {scsi::SenseKey{sense[2]}, sense[12], sense[13]}};
  }
  // A command to its end.
  Answer run(const ScsiLun& lun, std::initializer_list<uint8_t> cdb, Buffers data = {}) {
    const Pending pending = submit(lun, cdb, std::move(data));
    last_used = queue(kScsiRequestQueue).take_used().value();
    CHECK(last_used.id == pending.place);
    return answer_to(pending);
  }
  Answer run(size_t target, std::initializer_list<uint8_t> cdb, Buffers data = {}) {
    return run(lun_of(target), cdb, std::move(data));
  }
  scsi::Sense refused(size_t target, std::initializer_list<uint8_t> cdb) {
    const Answer answer = run(target, cdb);
    CHECK(answer.status == kCheckCondition);
    return answer.sense;
  }
  bool is_ready(size_t target) { return run(target, {kTestReady}).status == kGood; }
  GuestBuffer room(uint32_t bytes) { return queue(kScsiRequestQueue).writable(bytes); }
  GuestBuffer pattern(char c, size_t blocks = 1) {
    return queue(kScsiRequestQueue).readable(std::string(blocks * kBlock, c));
  }
  std::vector<std::byte> contents(const GuestBuffer& buffer) {
    return queue(kScsiRequestQueue).contents(buffer);
  }

  // A task management function on its way: where its answer comes.
  GuestBuffer manage(ScsiFunction function, const ScsiLun& lun, uint64_t id = 0) {
    ScsiTaskManagement request;
    request.function = static_cast<uint32_t>(function);
    request.lun = lun;
    request.id = id;
    return control(ScsiControl::task_management, bytes_of(request), 1);
  }
  GuestBuffer control(ScsiControl type, std::span<const std::byte> request, uint32_t bytes) {
    GuestQueue& to = queue(kScsiControlQueue);
    const GuestBuffer answer = to.writable(bytes);
    to.submit(
        {to.readable(bytes_of(le32(static_cast<uint32_t>(type)))), to.readable(request), answer});
    driver.kick(kScsiControlQueue);
    return answer;
  }
  bool control_answered() { return queue(kScsiControlQueue).take_used().has_value(); }
  ScsiResult result_at(const GuestBuffer& answer) {
    return ScsiResult{static_cast<uint8_t>(queue(kScsiControlQueue).contents(answer).back())};
  }
  ScsiResult managed(ScsiFunction function, const ScsiLun& lun, uint64_t id = 0) {
    const GuestBuffer answer = manage(function, lun, id);
    CHECK(control_answered());
    return result_at(answer);
  }

  GuestBuffer offer_event_buffer() {
    const GuestBuffer buffer = queue(kScsiEventQueue).writable(sizeof(ScsiEvent));
    queue(kScsiEventQueue).submit({buffer});
    driver.kick(kScsiEventQueue);
    return buffer;
  }
  std::optional<ScsiEvent> take_event(const GuestBuffer& buffer) {
    machine.settle();
    if (!queue(kScsiEventQueue).take_used()) return std::nullopt;
    return ByteReader(queue(kScsiEventQueue).contents(buffer)).get<ScsiEvent>();
  }
  TrayResult eject(size_t target, bool forced = false) {
    return block_on(machine.loop, scsi->eject(target, forced));
  }
  TrayResult insert(size_t target) {
    return block_on(machine.loop, scsi->insert(target, disk_of(kDisc)));
  }

  FakeMachine machine;
  TestNode* node = nullptr;  // of the medium that was made last
  TestNode* disk = nullptr;
  TestNode* disc = nullptr;
  Scsi* scsi = nullptr;
  std::unique_ptr<MmioTransport> transport;
  GuestDriver driver{machine};
  UsedElement last_used;
};

constexpr size_t kSenseSizeAt = offsetof(ScsiConfigSpace, sense_size);
constexpr size_t kCdbSizeAt = offsetof(ScsiConfigSpace, cdb_size);

}  // namespace

TEST_CASE("a SCSI adapter says how it is reached") {
  Fixture f;
  CHECK(f.driver.read(mmio::kDeviceId) == 8);
  const auto word = [&](size_t at) { return uint32_t{f.driver.read_config<le32>(at)}; };
  CHECK(word(0) == 1);
  CHECK(word(offsetof(ScsiConfigSpace, seg_max)) == Scsi::kMaxSegments);
  CHECK(word(offsetof(ScsiConfigSpace, event_info_size)) == 16);
  CHECK(word(kSenseSizeAt) == 96);
  CHECK(word(kCdbSizeAt) == 32);
  CHECK(f.driver.read_config<le16>(offsetof(ScsiConfigSpace, max_target)) == 2);
  CHECK(word(offsetof(ScsiConfigSpace, max_lun)) == 0);
}

TEST_CASE("a SCSI adapter has as many targets as can be addressed") {
  FakeMachine machine;
  const auto adapter = [&](size_t count) {
    std::vector<ScsiTarget> targets(count);
    for (ScsiTarget& target : targets) target.identity.kind = UnitKind::cdrom;
    return std::make_unique<Scsi>("scsi0", machine.virtio_env(), std::move(targets));
  };
  CHECK_THROWS_AS(adapter(0), ConfigError);
  CHECK_THROWS_AS(adapter(Scsi::kMaxTargets + 1), ConfigError);
  adapter(Scsi::kMaxTargets);
}

TEST_CASE("SCSI commands read and write, with their response before the data") {
  Fixture f;
  f.start_ready();
  const auto written =
      f.run(kDisk, {kWrite, 0, 0, 0, 0, 3, 0, 0, 2}, {.out = {f.pattern('a'), f.pattern('b')}});
  CHECK(written.result == ScsiResult::ok);
  CHECK((written.status == kGood && written.residual == 0 && written.sense_length == 0));
  CHECK(f.last_used.length == kHead);
  CHECK(f.disk->bytes()[3 * kBlock] == std::byte{'a'});
  CHECK(f.disk->bytes()[5 * kBlock - 1] == std::byte{'b'});

  const GuestBuffer first = f.room(512), rest = f.room(1024);
  const auto read = f.run(kDisk, {kRead, 0, 0, 0, 0, 3, 0, 0, 2}, {.in = {first, rest}});
  CHECK((read.status == kGood && read.residual == 512));
  CHECK(f.last_used.length == kHead + 1024);
  CHECK(f.contents(first)[0] == std::byte{'a'});
  CHECK(f.contents(rest)[511] == std::byte{'b'});
}

TEST_CASE("SCSI commands come in any framing, and with the sizes that the driver has set") {
  Fixture f;
  f.start_ready();
  f.driver.write_config(kSenseSizeAt, le32(4));
  f.driver.write_config(kCdbSizeAt, le32(10));
  GuestQueue& queue = f.queue(kScsiRequestQueue);
  f.disk->bytes()[0] = std::byte{'x'};
  ScsiRequestHeader header;
  header.lun = lun_of(kDisk);
  ByteWriter request;
  request.put(header);
  request.put(std::array<uint8_t, 10>{kRead, 0, 0, 0, 0, 0, 0, 0, 1, 0});
  const std::span<const std::byte> bytes = request.bytes();
  const GuestBuffer into = queue.writable(12 + 4 + 512);
  SECTION("in few parts") {
    queue.submit({queue.readable(bytes), into});
  }
  SECTION("in many") {
    queue.submit({queue.readable(bytes.first(5)),
                  queue.readable(bytes.subspan(5)),
                  {into.address, 7, true},
                  {into.address + 7, into.length - 7, true}});
  }
  f.driver.kick(kScsiRequestQueue);
  CHECK(queue.take_used().value().length == 12 + 4 + 512);
  CHECK(queue.contents(into)[16] == std::byte{'x'});
}

TEST_CASE("sense data are cut to the size that the driver has set, which is kept") {
  Fixture f;
  f.start_ready();
  f.driver.write_config(kSenseSizeAt, le32(8));
  CHECK(f.run(kDisk, {0xff}).sense_length == 8);
  CHECK(f.saved().sense_size == 8);
  f.driver.write_config(kSenseSizeAt, le32(Scsi::kMaxSenseSize + 1));
  f.driver.write_config(kCdbSizeAt, le32(Scsi::kMaxCdbSize + 1));
  f.driver.write_config(0, le32(7));  // not the driver's
  CHECK(f.driver.read_config<le32>(kSenseSizeAt) == 8);
  CHECK(f.driver.read_config<le32>(kCdbSizeAt) == 32);
  CHECK(f.driver.read_config<le32>(0) == 1);
  f.driver.write_config(kSenseSizeAt + 1, uint8_t{1});
  CHECK(f.driver.read_config<le32>(kSenseSizeAt) == 264);
  f.driver.reset();
  CHECK(f.driver.read_config<le32>(kSenseSizeAt) == 96);
}

TEST_CASE("what a SCSI unit refuses it says with sense data") {
  Fixture f;
  f.start();
  const auto answer = f.run(kDisk, {kTestReady});
  CHECK(answer.result == ScsiResult::ok);
  CHECK((answer.status == kCheckCondition && answer.sense_length == 18));
  CHECK(answer.sense == scsi::kResetOccurred);
  CHECK(f.refused(kDisk, {kRead, 0, 0xff, 0, 0, 0, 0, 0, 1}) == scsi::kBlockOutOfRange);
  CHECK(f.refused(kEmpty, {kTestReady}) == scsi::kResetOccurred);
  CHECK(f.refused(kEmpty, {kTestReady}) == scsi::kNoMediumTrayClosed);
}

TEST_CASE("targets and units that are not there are told so at once") {
  Fixture f;
  f.start_ready();
  CHECK(f.run(lun_of(3), {kTestReady}).result == ScsiResult::bad_target);
  CHECK(f.run(lun_of(255), {kInquiry, 0, 0, 0, 36}).result == ScsiResult::bad_target);
  CHECK(f.run(ScsiLun{0xc1, 1}, {kReportLuns}).result == ScsiResult::bad_target);
  CHECK(f.run(ScsiLun{}, {kTestReady}).result == ScsiResult::bad_target);
  // Unit 0 in the other format, and units that are none.
  CHECK(f.run(ScsiLun{1, kDisk}, {kTestReady}).status == kGood);
  CHECK(f.run(lun_of(kDisk, 1), {kTestReady}).sense == scsi::kUnitNotSupported);
  CHECK(f.run(ScsiLun{1, kDisk, 0x80}, {kTestReady}).sense == scsi::kUnitNotSupported);
  const GuestBuffer data = f.room(36);
  CHECK(f.run(lun_of(kDisk, 1), {kInquiry, 0, 0, 0, 36}, {.in = {data}}).status == kGood);
  CHECK(f.contents(data)[0] == std::byte{0x7f});
}

TEST_CASE("buffers that are too short for a SCSI command are an overrun") {
  Fixture f;
  f.start_ready();
  const auto answer = f.run(kDisk, {kRead, 0, 0, 0, 0, 0, 0, 0, 2}, {.in = {f.room(1023)}});
  CHECK(answer.result == ScsiResult::overrun);
  CHECK(answer.residual == 1023);
  CHECK(f.last_used.length == kHead);
  CHECK(f.run(kDisk, {kWrite, 0, 0, 0, 0, 0, 0, 0, 2}, {.out = {f.pattern('x')}}).result ==
        ScsiResult::overrun);
  CHECK(f.disk->calls.empty());
}

TEST_CASE("SCSI requests that make no sense come back") {
  Fixture f;
  f.start_ready();
  GuestQueue& queue = f.queue(kScsiRequestQueue);
  const auto returns = [&](const std::vector<GuestBuffer>& buffers) {
    queue.submit(buffers);
    f.driver.kick(kScsiRequestQueue);
    return queue.take_used().value().length;
  };
  const auto result_of = [&](const GuestBuffer& head) { return f.answer_to({0, head}).result; };
  SECTION("no room for the response") {
    CHECK(returns({queue.readable(bytes_of(ScsiRequestHeader{})), f.room(kHead - 1)}) == 0);
  }
  SECTION("half a header") {
    const GuestBuffer head = f.room_for_head();
    CHECK(returns({queue.readable("short"), head}) == kHead);
    CHECK(result_of(head) == ScsiResult::failure);
  }
  SECTION("half a CDB") {
    const GuestBuffer head = f.room_for_head();
    CHECK(returns({queue.readable(std::string(19 + 31, '\1')), head}) == kHead);
    CHECK(result_of(head) == ScsiResult::failure);
  }
  SECTION("data in both directions") {
    CHECK(f.run(kDisk, {kRead, 0, 0, 0, 0, 0, 0, 0, 1}, {{f.pattern('x')}, {f.room(512)}}).result ==
          ScsiResult::failure);
  }
  CHECK(f.disk->calls.empty());
  CHECK_FALSE(f.driver.needs_reset());
  CHECK(f.is_ready(kDisk));
}

TEST_CASE("a SCSI command takes no more segments than the adapter says") {
  Fixture f;
  f.start_ready();
  const auto read_segments = [&](size_t count) {
    GuestQueue& queue = f.queue(kScsiRequestQueue);
    ScsiRequestHeader header;
    header.lun = lun_of(kDisk);
    const std::array<uint8_t, kScsiCdbSize> cdb{kRead, 0, 0, 0, 0, 0, 0, 0, 1};
    std::vector<GuestBuffer> buffers{queue.readable(bytes_of(header)),
                                     queue.readable(bytes_of(cdb)), f.room_for_head()};
    const GuestBuffer head = buffers.back();
    for (size_t i = 0; i < count; ++i) buffers.push_back(queue.writable(512));
    queue.submit_indirect(buffers);
    f.driver.kick(kScsiRequestQueue);
    return f.answer_to({0, head}).result;
  };
  CHECK(read_segments(Scsi::kMaxSegments) == ScsiResult::ok);
  CHECK(read_segments(Scsi::kMaxSegments + 1) == ScsiResult::failure);
}

TEST_CASE("SCSI commands run side by side, and those that end together interrupt once") {
  Fixture f;
  f.start_ready();
  f.driver.take_interrupts();
  f.disk->may_answer.reset();
  const auto first =
      f.submit(lun_of(kDisk), {kRead, 0, 0, 0, 0, 0, 0, 0, 1}, {.in = {f.room(512)}});
  const auto second =
      f.submit(lun_of(kDisk), {kWrite, 0, 0, 0, 0, 8, 0, 0, 1}, {.out = {f.pattern('w')}});
  CHECK(f.disk->calls == Calls{"read", "write"});
  CHECK_FALSE(f.queue(kScsiRequestQueue).take_used());
  CHECK(f.driver.take_interrupts() == 0);
  const uint16_t before = f.queue(kScsiRequestQueue).used_index();
  f.queue(kScsiRequestQueue).set_used_event(before);
  f.disk->may_answer.set();
  f.machine.settle();
  CHECK(f.answer_to(first).status == kGood);
  CHECK(f.answer_to(second).status == kGood);
  CHECK(f.driver.take_interrupts() == 1);
}

// --- task management ---

struct BusyDisk : Fixture {
  BusyDisk() {
    start_ready();
    disk->may_answer.reset();
  }
  Pending write(uint64_t id) {
    return submit(lun_of(kDisk), {kWrite, 0, 0, 0, 0, 0, 0, 0, 1}, {.out = {pattern('w')}}, id);
  }
  void end_commands() {
    disk->may_answer.set();
    machine.settle();
  }
};

TEST_CASE("an aborted SCSI command is answered so, and before the function that aborts it") {
  BusyDisk f;
  const auto first = f.write(1), second = f.write(2);
  const GuestBuffer answer = f.manage(ScsiFunction::abort_task, lun_of(kDisk), 1);
  CHECK_FALSE(f.control_answered());
  CHECK(f.disk->hurries > 0);
  CHECK(f.queue(kScsiRequestQueue).used_index() == 3);
  f.end_commands();
  CHECK(f.control_answered());
  CHECK(f.result_at(answer) == ScsiResult::ok);
  CHECK(f.answer_to(first).result == ScsiResult::aborted);
  CHECK(f.answer_to(first).residual == 512);
  CHECK(f.answer_to(second).result == ScsiResult::ok);
  CHECK(f.managed(ScsiFunction::abort_task, lun_of(kDisk), 1) == ScsiResult::ok);  // it is gone
}

TEST_CASE("all SCSI commands of a unit can be aborted, and no later ones") {
  const auto function = GENERATE(ScsiFunction::abort_task_set, ScsiFunction::clear_task_set);
  BusyDisk f;
  const auto first = f.write(1), second = f.write(1);
  const GuestBuffer answer = f.manage(function, lun_of(kDisk));
  const auto later = f.write(1);
  CHECK(f.managed(function, lun_of(kCdrom)) == ScsiResult::ok);  // nothing is under way there
  f.end_commands();
  CHECK(f.control_answered());
  CHECK(f.result_at(answer) == ScsiResult::ok);
  CHECK(f.answer_to(first).result == ScsiResult::aborted);
  CHECK(f.answer_to(second).result == ScsiResult::aborted);
  CHECK(f.answer_to(later).result == ScsiResult::ok);
}

TEST_CASE("a reset of a SCSI unit or target ends its commands, and is told to the next") {
  const auto function = GENERATE(ScsiFunction::unit_reset, ScsiFunction::nexus_reset);
  BusyDisk f;
  const auto old = f.write(1);
  const GuestBuffer answer = f.manage(function, lun_of(kDisk));
  const auto next = f.write(2);
  CHECK(f.queue(kScsiRequestQueue).take_used().value().id == next.place);
  CHECK(f.answer_to(next).sense == scsi::kResetOccurred);
  CHECK_FALSE(f.control_answered());
  f.end_commands();
  CHECK(f.queue(kScsiRequestQueue).take_used().value().id == old.place);
  CHECK(f.control_answered());
  CHECK(f.result_at(answer) == ScsiResult::ok);
  CHECK(f.answer_to(old).result == ScsiResult::reset);
  CHECK(f.is_ready(kDisk));
  CHECK(f.is_ready(kCdrom));
}

TEST_CASE("SCSI commands under way can be asked for") {
  BusyDisk f;
  CHECK(f.managed(ScsiFunction::query_task_set, lun_of(kDisk)) == ScsiResult::ok);
  f.write(7);
  CHECK(f.managed(ScsiFunction::query_task, lun_of(kDisk), 7) == ScsiResult::function_succeeded);
  CHECK(f.managed(ScsiFunction::query_task, lun_of(kDisk), 8) == ScsiResult::ok);
  CHECK(f.managed(ScsiFunction::query_task, lun_of(kCdrom), 7) == ScsiResult::ok);
  CHECK(f.managed(ScsiFunction::query_task_set, lun_of(kDisk)) == ScsiResult::function_succeeded);
}

TEST_CASE("task management of what is not there is refused") {
  Fixture f;
  f.start();
  CHECK(f.managed(ScsiFunction{2}, lun_of(kDisk)) == ScsiResult::function_rejected);
  CHECK(f.managed(ScsiFunction{8}, lun_of(kDisk)) == ScsiResult::function_rejected);
  CHECK(f.managed(ScsiFunction::unit_reset, lun_of(9)) == ScsiResult::bad_target);
  CHECK(f.managed(ScsiFunction::unit_reset, lun_of(kDisk, 1)) == ScsiResult::incorrect_lun);
}

TEST_CASE("no SCSI unit has asynchronous events, nor one that is not there") {
  Fixture f;
  f.start();
  const auto type = GENERATE(ScsiControl::query_events, ScsiControl::subscribe);
  const auto events_of = [&](const ScsiLun& lun) {
    ScsiEventRequest request;
    request.lun = lun;
    request.events = 0x7e;
    const GuestBuffer answer = f.control(type, bytes_of(request), sizeof(ScsiEventResponse));
    CHECK(f.queue(kScsiControlQueue).take_used().value().length == 5);
    CHECK(ByteReader(f.queue(kScsiControlQueue).contents(answer)).get<le32>() == 0);
    return f.result_at(answer);
  };
  CHECK(events_of(lun_of(kCdrom)) == ScsiResult::ok);
  CHECK(events_of(lun_of(9)) == ScsiResult::bad_target);
  CHECK(events_of(lun_of(kCdrom, 1)) == ScsiResult::incorrect_lun);
}

TEST_CASE("control requests that make no sense come back") {
  Fixture f;
  f.start();
  f.control(ScsiControl{3}, bytes_of(ScsiTaskManagement{}), 1);
  CHECK(f.queue(kScsiControlQueue).take_used().value().length == 0);
  f.control(ScsiControl::task_management, bytes_of(uint8_t{0}), 1);
  CHECK(f.queue(kScsiControlQueue).take_used().value().length == 0);
  f.control(ScsiControl::query_events, bytes_of(ScsiEventRequest{}), 2);
  CHECK(f.queue(kScsiControlQueue).take_used().value().length == 2);
  CHECK(f.managed(ScsiFunction::unit_reset, lun_of(kDisk)) == ScsiResult::ok);
}

// --- media ---

TEST_CASE("a disc can be taken out and another put in while the guest runs") {
  Fixture f;
  f.start_ready();
  const GuestBuffer first = f.offer_event_buffer(), second = f.offer_event_buffer();
  CHECK(f.is_ready(kCdrom));
  CHECK(f.eject(kCdrom) == TrayResult::done);
  const auto ejected = f.take_event(first);
  REQUIRE(ejected);
  CHECK(ejected->type == kScsiEventParameterChange);
  CHECK(ejected->lun == lun_of(kCdrom));
  CHECK(ejected->reason == 0x23a);
  CHECK(f.refused(kCdrom, {kTestReady}) == scsi::kNoMediumTrayOpen);

  CHECK(f.insert(kCdrom) == TrayResult::done);
  f.node->bytes()[0] = std::byte{'n'};
  const auto inserted = f.take_event(second);
  REQUIRE(inserted);
  CHECK(inserted->reason == 0x28);
  CHECK(f.driver.take_interrupts() > 0);
  CHECK(f.refused(kCdrom, {kTestReady}) == scsi::kMediumChanged);
  CHECK(f.is_ready(kCdrom));
  const GuestBuffer data = f.room(2048);
  CHECK(f.run(kCdrom, {kRead, 0, 0, 0, 0, 0, 0, 0, 1}, {.in = {data}}).status == kGood);
  CHECK(f.contents(data)[0] == std::byte{'n'});
}

TEST_CASE("a disc that the guest holds stays, unless it is taken by force") {
  Fixture f;
  f.start_ready();
  CHECK(f.run(kCdrom, {kPrevent, 0, 0, 0, 1}).status == kGood);
  const GuestBuffer buffer = f.offer_event_buffer();
  CHECK(f.eject(kCdrom) == TrayResult::prevented);
  CHECK_FALSE(f.take_event(buffer));
  CHECK(f.is_ready(kCdrom));
  CHECK(f.insert(kCdrom) == TrayResult::occupied);
  CHECK(f.eject(kCdrom, true) == TrayResult::done);
  CHECK(f.take_event(buffer));
  CHECK(f.refused(kCdrom, {kTestReady}) == scsi::kNoMediumTrayOpen);
  CHECK(f.eject(kDisk, true) == TrayResult::not_removable);
}

TEST_CASE("changes of medium wait for a buffer, also across a pause") {
  Fixture f;
  f.start_ready();
  CHECK(f.eject(kCdrom) == TrayResult::done);
  CHECK(f.insert(kCdrom) == TrayResult::done);
  CHECK(f.saved().events_missed);
  f.stop();
  f.transport->start();
  CHECK(f.take_event(f.offer_event_buffer()).value().reason == 0x23a);
  CHECK(f.take_event(f.offer_event_buffer()).value().reason == 0x28);
  CHECK_FALSE(f.take_event(f.offer_event_buffer()));
  CHECK_FALSE(f.saved().events_missed);
}

TEST_CASE("more changes of medium than can wait are told as missed, once") {
  Fixture f;
  f.start_ready();
  for (int i = 0; i < 9; ++i) i % 2 == 0 ? f.eject(kCdrom) : f.insert(kCdrom);
  CHECK(f.take_event(f.offer_event_buffer()).value().type ==
        (kScsiEventParameterChange | kScsiEventsMissed));
  for (int i = 1; i < 8; ++i)
    CHECK(f.take_event(f.offer_event_buffer()).value().type == kScsiEventParameterChange);
  CHECK_FALSE(f.take_event(f.offer_event_buffer()));
  CHECK_FALSE(f.saved().events_missed);
}

TEST_CASE("a driver learns of the events that it missed while the machine was saved") {
  ScsiState state{.events_missed = true};
  Fixture f(state);
  f.start();
  CHECK(f.take_event(f.offer_event_buffer()).value().type == kScsiEventsMissed);
  CHECK_FALSE(f.saved().events_missed);
}

TEST_CASE("a driver that asks for no events gets none") {
  Fixture f;
  f.start(kFeatures & ~kScsiFeatureChange);
  const GuestBuffer buffer = f.offer_event_buffer();
  CHECK(f.eject(kCdrom) == TrayResult::done);
  CHECK_FALSE(f.take_event(buffer));
  CHECK_FALSE(f.saved().events_missed);
}

TEST_CASE("as many changes of medium as one likes are told, each in a buffer") {
  Fixture f;
  f.start_ready();
  for (int i = 0; i < 50; ++i) {
    const GuestBuffer buffer = f.offer_event_buffer();
    CHECK((i % 2 == 0 ? f.eject(kCdrom) : f.insert(kCdrom)) == TrayResult::done);
    CHECK(f.take_event(buffer).value().type == kScsiEventParameterChange);
  }
}

// --- stop, reset, state ---

TEST_CASE("stopping and resetting a SCSI adapter wait for its commands") {
  BusyDisk f;
  const auto write = f.write(1);
  const GuestBuffer answer = f.manage(ScsiFunction::abort_task, lun_of(kDisk), 1);
  const EventLoop::Registration later =
      f.machine.loop.after(std::chrono::milliseconds(1), [&] { f.disk->may_answer.set(); });
  SECTION("stop") {
    f.stop();
  }
  SECTION("reset") {
    f.driver.reset();
  }
  CHECK(f.answer_to(write).result == ScsiResult::aborted);
  CHECK(f.result_at(answer) == ScsiResult::ok);
  CHECK(f.disk->bytes()[0] == std::byte{'w'});
  CHECK(f.disk->hurries > 0);
}

TEST_CASE("a driver's reset brings a SCSI adapter back to where it began") {
  Fixture f;
  const ScsiState fresh = f.saved();
  CHECK(fresh.units.size() == 3);
  f.start_ready();
  f.run(kCdrom, {kPrevent, 0, 0, 0, 1});
  f.eject(kEmpty);
  f.driver.write_config(kSenseSizeAt, le32(18));
  CHECK(f.saved() != fresh);
  f.driver.reset();
  ScsiState reset = f.saved();
  CHECK(reset.units[kEmpty].tray_open);  // as a drive's tray that one has opened
  reset.units[kEmpty].tray_open = false;
  CHECK(reset == fresh);
}

TEST_CASE("SCSI state is kept") {
  const scsi::UnitState busy{.reset_attention = false,
                             .medium_attention = true,
                             .removal_prevented = true,
                             .tray_open = true,
                             .event = scsi::MediaEvent::new_media};
  vireo::testing::check_state_contract<ScsiState>(
      {{}, {.sense_size = 18, .cdb_size = 16, .events_missed = true, .units = {{}, busy}}});
}

TEST_CASE("a SCSI adapter goes on with its state") {
  ScsiState state{.sense_size = 32, .cdb_size = 16, .events_missed = true, .units = {{}, {}, {}}};
  state.units[kCdrom] = {.reset_attention = false, .tray_open = true};
  Fixture f(state);
  CHECK(f.saved() == state);
  CHECK(f.driver.read_config<le32>(kSenseSizeAt) == 32);
}

TEST_CASE("the state of another SCSI adapter is refused") {
  const std::vector<scsi::UnitState> three(3);
  auto open_disk = three, unknown_event = three;
  open_disk[kDisk].tray_open = true;
  unknown_event[kCdrom].event = scsi::MediaEvent{4};
  CHECK_THROWS_AS(Fixture({.sense_size = Scsi::kMaxSenseSize + 1}), StateError);
  CHECK_THROWS_AS(Fixture({.cdb_size = Scsi::kMaxCdbSize + 1}), StateError);
  CHECK_THROWS_AS(Fixture({.units = {{}}}), StateError);
  CHECK_THROWS_AS(Fixture({.units = open_disk}), StateError);
  CHECK_THROWS_AS(Fixture({.units = unknown_event}), StateError);
}

TEST_CASE("closing a SCSI adapter closes its media") {
  Fixture f;
  f.start_ready();
  f.stop();
  block_on(f.machine.loop, f.transport->close());
  CHECK(f.disk->calls.back() == "close");
  CHECK(f.disc->calls.back() == "close");
}

}  // namespace vireo::dev
