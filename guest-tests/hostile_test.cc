// Guests that mean harm: each may break itself, but neither its host nor another machine. Every run
// is a number of operations from a seed, which a failure names.
#include <fstream>

#include <catch2/catch.hpp>

#include "guest-tests/harness.h"

namespace vireo::guest_tests {
namespace {

constexpr size_t kDiskSize = 64 * KiB;

struct Disks {
  TemporaryDirectory directory;
  std::filesystem::path writable = directory.path() / "writable.raw";
  std::filesystem::path read_only = directory.path() / "read-only.raw";
  Disks() {
    for (const auto& path : {writable, read_only})
      std::ofstream(path, std::ios::binary) << std::string(kDiskSize, 'R');
  }
};

GuestOptions hostile_options(const Disks& disks, uint64_t seed, const std::string& arguments) {
  return {.arguments = "seed=" + std::to_string(seed) + " " + arguments,
          .memory = 64 * MiB,
          .disks = {{.location = disks.writable}, {.location = disks.read_only, .read_only = true}},
          .virtio = true};
}

// The host is well: it can still do its work, and nothing was written that may not be.
void check_host(const Disks& disks) {
  std::ifstream in(disks.read_only, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  CHECK(content == std::string(kDiskSize, 'R'));
  CHECK(std::filesystem::file_size(disks.writable) == kDiskSize);
  expect_pass("virtio_rng", {.virtio = true});
}

void survive(const std::string& guest, const std::string& arguments, uint64_t seeds) {
  const Disks disks;
  for (uint64_t seed = 1; seed <= seeds; ++seed)
    expect_pass(guest, hostile_options(disks, seed, arguments));
  check_host(disks);
}

TEST_CASE("random accesses to all ports") {
  survive("hostile_ports", "count=3000", 3);
}

TEST_CASE("random accesses to all addresses of devices") {
  survive("hostile_mmio", "count=3000", 3);
}

TEST_CASE("queues full of nonsense") {
  survive("hostile_virtio", "count=6", 6);
}

TEST_CASE("queues full of nonsense that hits the guest itself") {
  const Disks disks;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    TestMachine machine("hostile_virtio", hostile_options(disks, seed, "count=6 suicidal"));
    machine.start();
    // It may well have overwritten itself and run astray.
    const auto end =
        machine.machine().wait_until(std::chrono::steady_clock::now() + std::chrono::seconds(3));
    INFO("seed " << seed << ": " << describe({end, machine.console().transcript()}));
    if (end) CHECK(end->reason != End::Reason::host_error);
    machine.machine().stop();
  }
  check_host(disks);
}

}  // namespace
}  // namespace vireo::guest_tests
