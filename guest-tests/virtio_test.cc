// The virtio devices with a small driver of our own.
#include <fstream>
#include <memory>
#include <sstream>

#include <catch2/catch.hpp>

#include "blockdev/filter/fault.h"
#include "blockdev/protocol/memory.h"
#include "devices/virtio/blk.h"
#include "guest-tests/harness.h"
#include "vmm/base/event_loop.h"

namespace vireo::guest_tests {
namespace {

constexpr uint64_t kSector = 512;

std::filesystem::path make_image(const std::filesystem::path& path, uint64_t sectors,
                                 char content) {
  std::ofstream(path, std::ios::binary)
      << std::string(static_cast<size_t>(sectors * kSector), content);
  return path;
}

std::string content_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST_CASE("the entropy device") {
  expect_pass("virtio_rng", {.virtio = true});
}

TEST_CASE("a disk keeps what a guest writes, and only where it may") {
  const TemporaryDirectory directory;
  const auto disk = make_image(directory.path() / "disk.raw", 64, '-');
  const auto read_only = make_image(directory.path() / "read-only.raw", 64, 'R');
  expect_pass("virtio_blk",
              {.arguments = "sectors=64",
               .disks = {{.location = disk}, {.location = read_only, .read_only = true}},
               .iothread = GENERATE(false, true)});
  const std::string written = content_of(disk);
  CHECK(written.substr(0, 56 * kSector) == std::string(56 * kSector, '-'));
  for (size_t i = 0; i < 8 * kSector; ++i)
    REQUIRE(static_cast<uint8_t>(written[56 * kSector + i]) ==
            static_cast<uint8_t>(i * 7 + i / kSector));
  CHECK(content_of(read_only) == std::string(64 * kSector, 'R'));
}

TEST_CASE("a second machine on an image that is written to is refused") {
  const TemporaryDirectory directory;
  const auto image = make_image(directory.path() / "disk.raw", 8, '-');
  const GuestOptions options{.disks = {{.location = image}}};
  const TestMachine first("halt", options);
  CHECK_THROWS_WITH(TestMachine("halt", options), Catch::Contains(image.string()));
}

TEST_CASE("a disk that is not there is refused, naming the file") {
  const TemporaryDirectory directory;
  const auto missing = directory.path() / "missing.raw";
  CHECK_THROWS_WITH(TestMachine("halt", {.disks = {{.location = missing}}}),
                    Catch::Contains(missing.string()));
}

TEST_CASE("no request of a disk is lost while its machine is paused, saved and goes on") {
  constexpr uint64_t kSectors = 16;
  const TemporaryDirectory directory;
  const auto image = make_image(directory.path() / "disk.raw", kSectors, 0);
  const GuestOptions options{.arguments = "sectors=" + std::to_string(kSectors),
                             .disks = {{.location = image}},
                             .iothread = GENERATE(false, true)};
  auto machine = std::make_unique<TestMachine>("disk_stream", options);
  std::string said;
  for (int generation = 0; generation < 4; ++generation) {
    const auto saved = directory.path() / std::to_string(generation);
    machine->start();
    for (int i = 0; i < 10; ++i) {
      machine->machine().pause();
      machine->machine().resume();
    }
    machine->expect("0\n");
    machine->expect("0\n");
    machine->machine().pause();
    machine->machine().save(saved);
    said += machine->console().transcript();
    machine.reset();  // lets go of the image
    machine = std::make_unique<TestMachine>(Snapshot::open(saved), options);
  }
  std::istringstream lines(said);
  int number = 0;
  for (std::string line; std::getline(lines, line) && !lines.eof();)
    REQUIRE(line == std::to_string(number += 10));
  CHECK(number >= 80);
}

// A disk in memory whose host is full now and then.
dev::Blk& add_filling_disk(TestMachine& of, uint64_t bytes) {
  Vm& machine = of.machine();
  EventLoop& home = machine.add_loop();
  auto faults = std::make_unique<blk::FaultNode>(home, std::make_unique<blk::MemoryNode>(bytes));
  for (uint64_t i = 1; i <= 5; ++i)
    faults->add({.operation = blk::FaultRule::Operation::write,
                 .skip = 20 * i,
                 .hits = i,
                 .error = std::make_error_code(std::errc::no_space_on_device)});
  return of.virtio().add_at<dev::Blk>(
      home, "disk0", std::make_unique<blk::Disk>("disk0", std::move(faults)),
      dev::BlkConfig{.no_space = [&](const std::string& why) { machine.request_pause(why); }});
}

TEST_CASE("a guest whose disk finds the host full waits, and misses nothing") {
  constexpr uint64_t kSectors = 16;
  TestMachine machine("disk_stream", {.arguments = "sectors=" + std::to_string(kSectors)});
  add_filling_disk(machine, kSectors * kSector);
  LoopThread other("other");
  int pauses = 0;
  machine.machine().request_resume();  // nobody waits for it
  machine.machine().on_pause([&](const std::string& why) {
    CHECK_THAT(why, Catch::Contains("disk0"));
    if (++pauses % 2 == 0) return machine.machine().resume();
    other.loop().post([&] { machine.machine().request_resume(); });
  });
  machine.start();
  while (pauses < 15) machine.expect("0\n");
  machine.machine().pause();
  std::istringstream lines(machine.console().transcript());
  int number = 0;
  for (std::string line; std::getline(lines, line) && !lines.eof();)
    REQUIRE(line == std::to_string(number += 10));
  CHECK(number > 0);
}

}  // namespace
}  // namespace vireo::guest_tests
