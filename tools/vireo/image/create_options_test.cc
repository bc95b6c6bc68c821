#include "tools/vireo/image/create_options.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::cli {
namespace {

using Catch::Matchers::Contains;

blk::Qcow2CreateOptions qcow2(const std::vector<std::string>& texts) {
  return std::get<blk::Qcow2CreateOptions>(read_create_options("x", "qcow2", texts).values());
}

TEST_CASE("the options of a new image have qemu-img's names") {
  CHECK(qcow2({}).cluster_size == 65536);
  CHECK_FALSE(read_create_options("x", "qcow2", {}).size());
  const auto image = qcow2({"size=1G,cluster_size=4k",
                            "compat=0.10,preallocation=full,backing_file=a,,b,backing_fmt=raw"});
  CHECK(image.size == 1ULL << 30);
  CHECK(image.cluster_size == 4096);
  CHECK(image.version == 2);
  CHECK(image.preallocation == blk::Preallocation::full);
  CHECK(image.backing_file == "a,b");
  CHECK(image.backing_format == "raw");
}

TEST_CASE("the format is that of the ending, or raw") {
  const auto format = [](const std::string& path, const std::string& given) {
    return read_create_options(path, given, {}).format->name;
  };
  CHECK(format("x.qcow2", "") == "qcow2");
  CHECK(format("x", "") == "raw");
  CHECK(format("", "qcow2") == "qcow2");  // measure has no file
  CHECK(format("x.qcow2", "raw") == "raw");
}

TEST_CASE("a new image is told of with QEMU's defaults, and what a backing file is called in -o") {
  CreateOptions options = read_create_options("x", "qcow2", {"size=1G"});
  give_backing(options, "base", "raw");
  CHECK(plan_line(options) ==
        "Formatting 'x', fmt=qcow2 cluster_size=65536 extended_l2=off compression_type=zlib "
        "size=1073741824 backing_file=base backing_fmt=raw lazy_refcounts=off refcount_bits=16");
  CreateOptions raw = read_create_options("x", "raw", {});
  CHECK_THROWS_WITH(give_backing(raw, "base", "raw"), Contains("cannot have a backing file"));
}

TEST_CASE("wrong options are refused by name") {
  const auto refused = [](const char* text) {
    try {
      (void)qcow2({text});
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  for (const char* text : {"bogus=1", "compat=2", "lazy_refcounts=maybe", "cluster_size=x",
                           "preallocation=some", "compression_type=lzma", "refcount_bits=many"})
    CHECK_THAT(refused(text), Contains(std::string(text).substr(0, 5)));
  CHECK_THROWS_AS(read_create_options("x", "raw", {"cluster_size=4k"}), ConfigError);
  CHECK_THROWS_AS(read_create_options("x", "vmdk", {}), ConfigError);
}

}  // namespace
}  // namespace vireo::cli
