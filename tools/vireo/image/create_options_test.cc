#include "tools/vireo/image/create_options.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::cli {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("the options of a new image have qemu-img's names and defaults") {
  const CreateOptions plain = parse_create_options("x", "qcow2", {});
  CHECK(plain.image.cluster_size == 65536);
  CHECK_FALSE(plain.size);
  const CreateOptions options =
      parse_create_options("x", "qcow2",
                           {"size=1G,cluster_size=4k",
                            "compat=0.10,preallocation=full,backing_file=a,,b,backing_fmt=raw"});
  CHECK(*options.size == 1ULL << 30);
  CHECK(options.image.cluster_size == 4096);
  CHECK(options.image.version == 2);
  CHECK(options.image.preallocation == blk::Preallocation::full);
  CHECK(options.image.backing_file == "a,b");
  CHECK(options.image.backing_format == "raw");
}

TEST_CASE("the format is that of the ending, or raw") {
  CHECK(parse_create_options("x.qcow2", "", {}).format == "qcow2");
  CHECK(parse_create_options("x", "", {}).format == "raw");
  CHECK(parse_create_options("", "qcow2", {}).format == "qcow2");  // measure has no file
  CHECK(parse_create_options("x.qcow2", "raw", {}).format == "raw");
  CHECK(parse_create_options("", "qcow2", {}).image.path.empty());  // what measure asks about
}

TEST_CASE("wrong options are refused by name") {
  const auto refused = [](const char* text) {
    try {
      parse_create_options("x", "qcow2", {text});
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  for (const char* text : {"bogus=1", "compat=2", "lazy_refcounts=maybe", "cluster_size=x",
                           "preallocation=some", "compression_type=lzma", "refcount_bits=many"})
    CHECK_THAT(refused(text), Contains(std::string(text).substr(0, 5)));
  CHECK_THROWS_AS(parse_create_options("x", "raw", {"cluster_size=4k"}), ConfigError);
  CHECK_THROWS_AS(parse_create_options("x", "vmdk", {}), ConfigError);
}

}  // namespace
}  // namespace vireo::cli
