#include "tools/vireo/image/image_name.h"

#include <catch2/catch.hpp>

#include "tools/vireo/image/blkdebug.h"
#include "vmm/base/error.h"

namespace vireo::cli {
namespace {

blk::Spec by_options(const std::string& text) {
  return parse_image_name("", parse_image_options(text));
}

uint64_t null_size(const blk::Spec& spec) {
  return std::get<blk::NullLocation>(spec.location.place).size;
}

const blk::Spec& nested_in(const blk::Spec& spec) {
  return *std::get<blk::NestedLocation>(spec.location.place).image;
}

TEST_CASE("image names: files, with and without their protocol") {
  CHECK(parse_image_name("a.img", {}).name() == "a.img");
  CHECK(parse_image_name("file:a:b.img", {}).name() == "./a:b.img");
  CHECK(parse_image_name("a.img", {}).format.empty());
  CHECK(parse_image_name("a.img", {{"driver", "qcow2"}}).format == "qcow2");
}

TEST_CASE("image names: options as text") {
  const blk::Spec raw =
      by_options("driver=raw,file.filename=a,,b.img,offset=1M,size=512,read-only");
  CHECK(raw.name() == "a,b.img");
  CHECK(raw.format == "raw");
  CHECK(raw.window.offset == 1 << 20);
  CHECK(raw.window.size == 512);
  CHECK(raw.read_only);
  CHECK(by_options("file.filename=a").format.empty());
  CHECK(by_options("driver=file,filename=a").format == "raw");
  CHECK(by_options("driver=qcow2,file.driver=file,file.filename=a,force-share=on").lock == false);
  CHECK(by_options("driver=qcow2,file.filename=a,cache.direct=on").cache == blk::CacheMode::none);
  CHECK(by_options("driver=qcow2,file.filename=a,cache.direct=on,cache.writeback=off").cache ==
        blk::CacheMode::directsync);
  CHECK(null_size(by_options("driver=null-co,size=64k")) == 65536);
}

TEST_CASE(
    "image names: an image below that the user names is opened like one on the command line") {
  const auto spec = parse_image_name(
      "", parse_image_options("driver=qcow2,file.filename=top,backing.file.filename=base"));
  REQUIRE(spec.below);
  CHECK(spec.below->references == blk::References::any);
  CHECK(spec.below->format == blk::kProbe);
  CHECK(spec.below->empty);
  CHECK_FALSE(spec.no_backing);
}

TEST_CASE("image names: which files an image may name") {
  const auto references = [](const std::string& more) {
    return parse_image_name("", parse_image_options("driver=qcow2,file.filename=top" + more))
        .references;
  };
  CHECK(references("") == blk::References::any);
  CHECK(by_options("driver=qcow2,file.driver=qcow2,file.file.filename=top").references ==
        blk::References::any);
  CHECK(references(",backing=beside") == blk::References::beside);
  CHECK(references(",backing=off") == blk::References::none);
  CHECK(parse_image_name("top", {}).references == blk::References::any);
}

TEST_CASE("image names: JSON, with a backing image of one's own or none") {
  const blk::Spec image =
      parse_image_name(R"(json:{"driver":"qcow2","file":{"driver":"file","filename":"top"},)"
                       R"("backing":{"driver":"raw","file":{"driver":"file","filename":"low"}}})",
                       {});
  CHECK(image.name() == "top");
  REQUIRE(image.below);
  CHECK(image.below->name() == "low");
  CHECK(image.below->format == "raw");
  CHECK(image.below->read_only);
  CHECK(parse_image_name(R"(json:{"file":{"filename":"top"},"backing":null})", {}).no_backing);
  CHECK(null_size(parse_image_name("null-co://", {})) == uint64_t{1} << 30);
  CHECK(parse_image_name(R"(json:{"driver":"raw","file.filename":"x"})", {}).name() == "x");
}

TEST_CASE("image names: a format on another, on a window or on blkdebug") {
  const blk::Spec twice = by_options(
      "driver=qcow2,file.driver=raw,file.offset=512,"
      "file.file.filename=x");
  CHECK(twice.format == "qcow2");
  const blk::Spec lower = nested_in(twice);
  CHECK(lower.format == "raw");
  CHECK(lower.name() == "x");
  CHECK(lower.window.offset == 512);
  const blk::Spec below =
      parse_image_name("blkdebug::x", {{"driver", "qcow2"}, {"file.align", "4k"}});
  CHECK(below.format == "qcow2");
  CHECK(std::get<blk::FileLocation>(below.location.place).path == "x");
  CHECK(below.location.faults.limits.block == 4096);
  const blk::Spec above = parse_image_name(
      "blkdebug::x", {{"driver", "blkdebug"}, {"image.driver", "qcow2"}, {"align", "512"}});
  CHECK(above.format == "raw");
  CHECK(above.location.faults.limits.block == 512);
  CHECK(nested_in(above).format == "qcow2");
  CHECK(nested_in(above).name() == "x");
  const blk::Spec data = by_options("driver=qcow2,file.filename=a,data-file.driver=null-co");
  CHECK(std::holds_alternative<blk::NullLocation>(data.data_file.value().place));
  const blk::Spec file = by_options("driver=qcow2,file.filename=a,data-file.filename=d");
  CHECK(file.data_file.value().name() == "d");
  CHECK(by_options("driver=qcow2,file.filename=a,backing.driver=raw").backing_format == "raw");
  const blk::Spec hinted = by_options("driver=qcow2,file.filename=a,backing.node-name=n");
  CHECK_FALSE(hinted.below);
  CHECK(image_options_text(parse_image_options("b=1,,2,a")) == "a=on,b=1,,2");
}

TEST_CASE("image names: what is not known is refused by its name") {
  for (const char* text :
       {"driver=raw", "driver=raw,file.filename=a,nonsense=1", "",
        "driver=raw,file.filename=a,read-only=maybe", "driver=qcow2,file.filename=a,backing=node",
        "driver=qcow2,file.filename=x,cache-size=1M,l2-cache-size=2M",
        "driver=qcow2,file.filename=x,cache-size=0,l2-cache-size=0,refcount-cache-size=0",
        "driver=qcow2,file.driver=blkdebug,file.image=x,file.align=8k",
        "driver=qcow2,file.driver=blkdebug,file.image=x,file.align=3",
        "driver=qcow2,file.driver=nbd,file.host=x", "driver=null-co,size=x"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(by_options(text), ConfigError);
  }
  std::string nested = "a";
  for (int i = 0; i < 100; ++i) nested = "blkdebug::" + nested;
  CHECK_THROWS_AS(parse_image_name(nested, {}), ConfigError);
  CHECK_THROWS_AS(parse_image_name("blkdebug:x", {}), ConfigError);
  CHECK_THROWS_AS(parse_image_name("json:[]", {}), ConfigError);
}

TEST_CASE("blkdebug: rules become faults") {
  const auto rules = parse_blkdebug_text(
      "# faults\n[inject-error]\nevent = \"read_aio\"\nerrno = \"28\"\nonce = \"on\"\n\n"
      "[inject-error]\nevent=\"none\"\niotype=\"flush\"\nsector = \"8\"\n"
      "[set-state]\nevent = \"l2_load\"\nstate = \"1\"\nnew_state = \"2\"\n");
  REQUIRE(rules.size() == 3);
  CHECK(rules[0].operation == blk::FaultRule::Operation::any);
  CHECK(rules[0].event == blk::DebugEvent::read_aio);
  CHECK(rules[0].error.value() == ENOSPC);
  CHECK(rules[0].hits == 1);
  CHECK(rules[1].operation == blk::FaultRule::Operation::flush);
  CHECK(rules[1].error.value() == EIO);
  CHECK(rules[1].offset == 4096);
  CHECK(rules[1].length == 512);
  CHECK(rules[2].event == blk::DebugEvent::l2_load);
  CHECK(rules[2].state == 1);
  CHECK(rules[2].new_state == 2);
  for (const char* text : {"errno = 5", "[set-state]", "[inject-error]\nevent = \"no_such_event\"",
                           "[inject-error]\nstate = \"x\"", "[inject-error]\nerrno = \"x\"",
                           "[inject-error]\nnonsense"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_blkdebug_text(text), ConfigError);
  }
}

}  // namespace
}  // namespace vireo::cli
