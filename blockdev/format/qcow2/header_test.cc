#include "blockdev/format/qcow2/header.h"

#include <functional>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::blk::qcow2;
using Catch::Matchers::Contains;

namespace {

constexpr uint64_t kFileSize = 1024 * 1024;

Header good() {
  Header header;
  header.size = 10 * kFileSize;
  header.refcount_table_offset = 65536;
  header.refcount_table_clusters = 1;
  header.l1_offset = 3 * 65536;
  header.l1_entries = 1;
  header.unknown_fields.resize(7);
  return header;
}
Header reparse(const Header& header) {
  std::vector<std::byte> bytes = serialise_header(header, "x");
  bytes.resize(65536);
  return parse_header(bytes, kFileSize, "x");
}
std::string refusal(const std::function<void(Header&)>& change) {
  Header header = good();
  change(header);
  try {
    reparse(header);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a header survives being written and read") {
  Header header = good();
  SECTION("version 3") {}
  SECTION("version 2") {
    header.version = 2;
    header.header_length = 72;
    header.unknown_fields.clear();
  }
  SECTION("with everything unknown that may be there") {
    header.compatible = 0xf0f0;
    header.autoclear = 0xff00;
    header.header_length = 128;
    header.unknown_fields.assign(23, std::byte{7});
    header.extensions = {{0x12345678, std::vector<std::byte>(13, std::byte{1})}, feature_names()};
  }
  SECTION("with a backing file") {
    header.backing_file = "dir/base.raw";
    header.set_text_extension(kExtensionBackingFormat, "raw");
    header.place_backing_file();
    CHECK(reparse(header).backing_format() == "raw");
    Header twice = header;  // the last one counts
    twice.extensions.push_back({kExtensionBackingFormat, {std::byte{'x'}}});
    twice.place_backing_file();
    CHECK(reparse(twice).backing_format() == "x");
  }
  CHECK(reparse(header) == header);
}

TEST_CASE("only unknown autoclear bits are cleared for writing") {
  Header header = good();
  header.autoclear = 0xff00 | kAutoclearRawData;
  header.compatible = 0xff;
  CHECK(header.clear_unknown_autoclear());
  CHECK(header.autoclear == kAutoclearRawData);
  CHECK(header.compatible == 0xff);
  CHECK_FALSE(header.clear_unknown_autoclear());
}

TEST_CASE("headers that cannot be are refused with the reason") {
  CHECK_THAT(refusal([](Header& h) { h.incompatible |= 1 << 9; }), Contains("bit 9"));
  CHECK_THAT(refusal([](Header& h) {
               h.incompatible |= 1 << 9;
               HeaderExtension names = feature_names();
               names.data[1] = std::byte{9};
               h.extensions.push_back(names);
             }),
             Contains("'dirty bit' (bit 9)"));
  CHECK_THAT(refusal([](Header& h) {
               h.incompatible |= uint64_t{1} << 63;
               HeaderExtension names = feature_names();
               names.data = {std::byte{0}, std::byte{63}, std::byte{'x'}};  // a short last entry
               h.extensions.push_back(names);
             }),
             Contains("'x' (bit 63)"));
  CHECK_THAT(refusal([](Header& h) { h.size = uint64_t{1} << 60; }), Contains("any L1 table"));
  CHECK_THAT(refusal([](Header& h) { h.refcount_order = 7; }), Contains("refcount width"));
  CHECK_THAT(refusal([](Header& h) { h.l1_offset = 5 * kFileSize; }), Contains("truncated"));
  CHECK_THAT(refusal([](Header& h) { h.l1_offset += 512; }), Contains("not a cluster"));
  CHECK_THAT(refusal([](Header& h) { h.l1_entries = 0; }), Contains("too short"));
  CHECK_THAT(refusal([](Header& h) { h.l1_entries = 0x40000000; }), Contains("above the limit"));
  CHECK_THAT(refusal([](Header& h) { h.size = ~uint64_t{0}; }), Contains("absurd"));
  CHECK_THAT(refusal([](Header& h) { h.refcount_table_clusters = 0; }),
             Contains("no refcount table"));
  CHECK_THAT(refusal([](Header& h) { h.refcount_table_clusters = 1000; }),
             Contains("above the limit"));
  CHECK_THAT(refusal([](Header& h) { h.snapshot_count = 100000; }), Contains("snapshots"));
  CHECK_THAT(refusal([](Header& h) { h.compression = Compression::zstd; }),
             Contains("contradicts"));
  CHECK_THAT(refusal([](Header& h) { h.autoclear |= kAutoclearRawData; }),
             Contains("without an external data file"));
  CHECK_THAT(
      refusal([](Header& h) { h.backing_file = std::string("a\0b", 3), h.place_backing_file(); }),
      Contains("zero byte"));
  CHECK_THAT(refusal([](Header& h) { h.backing_file = "x", h.backing_offset = 8; }),
             Contains("backing file name"));
  CHECK_THAT(refusal([](Header& h) { h.backing_file = "x", h.backing_offset = 65536; }),
             Contains("backing file name"));
  CHECK_THAT(refusal([](Header& h) { h.header_length = 100; }), Contains("100 bytes"));
}

TEST_CASE("what is not a qcow2 image, or is encrypted in an unknown way, is refused") {
  std::vector<std::byte> bytes = serialise_header(good(), "x");
  bytes.resize(65536);
  CHECK_THROWS_WITH(parse_header(std::span(bytes).first(50), kFileSize, "x"),
                    Contains("too short"));
  const auto with = [&](size_t at, uint8_t value) {
    std::vector<std::byte> changed = bytes;
    changed[at] = std::byte{value};
    return changed;
  };
  CHECK_THROWS_WITH(parse_header(with(0, 0), kFileSize, "x"), Contains("signature"));
  CHECK_THROWS_WITH(parse_header(with(7, 4), kFileSize, "x"), Contains("version is 4"));
  CHECK_THROWS_WITH(parse_header(with(23, 22), kFileSize, "x"), Contains("2^22"));
  CHECK(parse_header(with(35, 2), kFileSize, "x").encryption == 2);
  CHECK_THROWS_WITH(parse_header(with(35, 3), kFileSize, "x"), Contains("encryption"));
}

TEST_CASE("refcounts of every width are stored in their own bits") {
  for (uint32_t order = 0; order <= 6; ++order) {
    std::vector<std::byte> block(64);
    const uint64_t count = block.size() * 8 >> order;
    const uint64_t max = order == 6 ? ~uint64_t{0} : (uint64_t{1} << (1u << order)) - 1;
    for (uint64_t i = 0; i < count; ++i) set_refcount(block, i, order, (i * 7 + 1) & max);
    set_refcount(block, 3 % count, order, max);
    for (uint64_t i = 0; i < count; ++i)
      CHECK(get_refcount(block, i, order) == (i == 3 % count ? max : ((i * 7 + 1) & max)));
  }
}

TEST_CASE("compressed descriptors keep offset and sectors") {
  for (const uint32_t cluster_bits : {9u, 12u, 16u, 21u}) {
    for (const uint64_t offset :
         {uint64_t{65536}, uint64_t{1'000'003}, (uint64_t{1} << 40) + 511}) {
      for (const uint64_t length :
           {uint64_t{1}, uint64_t{300}, (uint64_t{1} << cluster_bits) - 1}) {
        const uint64_t descriptor = encode_compressed(offset, length, cluster_bits);
        const CompressedRange range = decode_compressed(descriptor, cluster_bits);
        CHECK(range.offset == offset);
        CHECK(range.length >= length);
        CHECK(range.length < length + 512);
        CHECK((offset + range.length) % 512 == 0);
      }
    }
  }
}
