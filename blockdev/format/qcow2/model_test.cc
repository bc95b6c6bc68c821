// Images of every shape against a byte array, with many requests at a time, then against qemu-img.
#include <cstdlib>

#include <catch2/catch.hpp>

#include "blockdev/testing/qcow2_model.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

void compare_with_qemu(Qcow2Model& model) {
  if (!have_qemu()) return;
  const TempDir dir;
  if (model.backing()) model.backing()->save(dir.path("base.raw"));
  if (model.data()) model.data()->save(dir.path("data.raw"));
  const CommandResult check = qemu_check(*model.storage(), dir);
  INFO(check.output);
  REQUIRE(check.status == 0);
  Storage expected;
  expected.bytes = model.model();
  expected.save(dir.path("expected.raw"));
  must_run("cd " + dir.path(".") + " && qemu-img compare -f qcow2 -F raw check.qcow2 expected.raw");
}

void run_model(ModelOptions options, int steps, uint64_t seed) {
  INFO("seed " << seed);
  Qcow2Model model(std::move(options), seed);
  for (int i = 0; i < steps; ++i) {
    INFO("step " << i);
    model.step();
    if (i % 100 == 99) model.check();
  }
  model.compare();
  model.check();
  model.close();
  compare_with_qemu(model);
}

constexpr uint64_t kKiB = 1024;

}  // namespace

// VIREO_TEST_STEPS and VIREO_TEST_SEED make it longer and other.
TEST_CASE("qcow2 does what a byte array does, for long") {
  const auto number = [](const char* name, uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
  };
  const auto steps = static_cast<int>(number("VIREO_TEST_STEPS", 1500));
  run_model({.create = {.size = 150 * kKiB, .cluster_size = 2048},
             .backing_size = 100 * kKiB,
             .metadata_cache = 1},
            steps, number("VIREO_TEST_SEED", 77));
}

TEST_CASE("qcow2 does what a byte array does") {
  const uint64_t seed = GENERATE(1, 2, 3);
  SECTION("512-byte clusters") {
    run_model({.create = {.size = 300 * kKiB, .cluster_size = 512}}, 300, seed);
  }
  SECTION("64 KiB clusters") {
    run_model({.create = {.size = 3000 * kKiB}}, 120, seed);
  }
  SECTION("4 KiB clusters over a shorter backing image") {
    run_model({.create = {.size = 600 * kKiB, .cluster_size = 4096}, .backing_size = 300 * kKiB},
              200, seed);
  }
  SECTION("4 KiB clusters over a longer backing image") {
    run_model({.create = {.size = 300 * kKiB, .cluster_size = 4096}, .backing_size = 900 * kKiB},
              200, seed);
  }
  SECTION("version 2") {
    run_model({.create = {.size = 600 * kKiB, .cluster_size = 4096, .version = 2}}, 200, seed);
  }
  SECTION("version 2 over a backing image") {
    run_model({.create = {.size = 600 * kKiB, .cluster_size = 4096, .version = 2},
               .backing_size = 400 * kKiB},
              200, seed);
  }
  SECTION("subclusters") {
    run_model({.create = {.size = 900 * kKiB, .cluster_size = 16384, .extended_l2 = true}}, 200,
              seed);
  }
  SECTION("subclusters over a backing image, zstd") {
    run_model({.create = {.size = 900 * kKiB,
                          .cluster_size = 32768,
                          .extended_l2 = true,
                          .compression = qcow2::Compression::zstd},
               .backing_size = 700 * kKiB},
              200, seed);
  }
  SECTION("one-bit refcounts") {
    run_model({.create = {.size = 300 * kKiB, .cluster_size = 1024, .refcount_bits = 1},
               .snapshots = false},
              200, seed);
  }
  SECTION("64-bit refcounts") {
    run_model({.create = {.size = 300 * kKiB, .cluster_size = 512, .refcount_bits = 64}}, 200,
              seed);
  }
  SECTION("lazy refcounts") {
    run_model({.create = {.size = 300 * kKiB, .cluster_size = 1024, .lazy_refcounts = true}}, 200,
              seed);
  }
  SECTION("a small metadata cache") {
    run_model({.create = {.size = 1200 * kKiB, .cluster_size = 512}, .metadata_cache = 1}, 200,
              seed);
  }
  SECTION("external data") {
    run_model({.create = {.size = 900 * kKiB, .cluster_size = 4096},
               .external_data = true,
               .snapshots = false},
              200, seed);
  }
  SECTION("raw external data with subclusters") {
    run_model({.create = {.size = 900 * kKiB,
                          .cluster_size = 16384,
                          .extended_l2 = true,
                          .data_file_raw = true},
               .external_data = true,
               .snapshots = false},
              200, seed);
  }
  SECTION("a file of 512-byte blocks") {
    run_model({.create = {.size = 600 * kKiB, .cluster_size = 2048}, .block = 512}, 200, seed);
  }
}
