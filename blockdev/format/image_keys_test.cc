#include "blockdev/format/image_keys.h"

#include <catch2/catch.hpp>

#include "blockdev/format/format.h"
#include "blockdev/format/qcow2/keys.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::blk;

TEST_CASE("the help of keys stands in two columns, in the order of their names") {
  const ImageKeys keys{{.name = "size", .values = "SIZE", .help = "how large", .fallback = "64k"},
                       {.name = "compression_type",
                        .values = "zlib|zstd",
                        .help = "how packed",
                        .change = "packed anew"}};
  CHECK(create_help(keys) ==
        "  compression_type=zlib|zstd\n"
        "                          how packed\n"
        "  size=SIZE               how large (64k)\n");
  CHECK(change_help(keys) ==
        "  compression_type=zlib|zstd\n"
        "                          packed anew\n");
}

TEST_CASE("what is wrong with an option names it, and what it takes") {
  const auto parse = [](const char* key, const char* text) { parse_qcow2_create({{key, text}}); };
  CHECK_THROWS_WITH(parse("lazy_refcounts", "yes"), "lazy_refcounts=yes: it is on or off");
  CHECK_THROWS_WITH(parse("cluster_size", "big"),
                    Catch::StartsWith("cluster_size: 'big' is not a size"));
  CHECK_THROWS_WITH(parse("compat", "2"), "compat=2: it is 0.10 or 1.1");
  CHECK_THROWS_WITH(
      parse("preallocation", "some"),
      "preallocation: 'some' is no preallocation: it is off, metadata, falloc or full");
  CHECK_THROWS_WITH(parse_qcow2_amend({{"refcount_bits", "0"}}),
                    Catch::StartsWith("refcount_bits: "));
}

TEST_CASE("what the help says of an option that is not given is what holds") {
  for (const Format& format : formats()) {
    KeyTexts given;
    for (const ImageKey& key : format.keys())
      if (!key.fallback.empty()) given[std::string(key.name)] = key.fallback;
    CHECK(format.create_options(given) == format.create_options({}));
  }
}

TEST_CASE("an existing image is changed by what is given alone") {
  const Qcow2AmendOptions options = parse_qcow2_amend({{"size", "1000"}, {"compat", "0.10"}});
  CHECK(options.size == 1024);
  CHECK(options.version == 2);
  CHECK_FALSE(options.lazy_refcounts);
  CHECK_FALSE(options.backing_file);
}
