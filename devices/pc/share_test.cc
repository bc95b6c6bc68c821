#include "devices/pc/share.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::pc {
namespace {

ShareSpec parse(const std::string& text) {
  ShareSpec share;
  keys_of(share).assign("--share", pairs_of(text, "path"));
  check("--share", share);
  return share;
}

void refuses(const std::string& text, const std::string& why) {
  INFO(text);
  CHECK_THROWS_WITH(parse(text), Catch::StartsWith("--share: ") && Catch::Contains(why));
}

}  // namespace

TEST_CASE("all keys of a share arrive") {
  const ShareSpec plain = parse("src,tag=src");
  CHECK(plain.share.directory == "src");
  CHECK(plain.tag == "src");
  CHECK_FALSE(plain.share.read_only);
  CHECK(plain.share.security == p9::Security::none);
  CHECK(plain.share.max_message == p9::kMaxMessage);
  const ShareSpec all =
      parse("path=/a,,b,tag=t,readonly=on,security=mapped-file,squash=1000:100,msize=64k");
  CHECK(all.share.directory == "/a,b");
  CHECK(all.share.read_only);
  CHECK(all.share.security == p9::Security::mapped_file);
  CHECK(all.share.squash->uid == 1000);
  CHECK(all.share.squash->gid == 100);
  CHECK(all.share.max_message == 65536);
}

TEST_CASE("what is wrong with a share is said in one sentence") {
  refuses("src", "'tag' is missing");
  refuses("tag=src", "'path' is missing");
  refuses("src,tag=12345678901234567890123456789012", "31 bytes");
  refuses("src,tag=t,security=mapped", "mapped-xattr");
  refuses("src,tag=t,squash=root", "UID:GID");
  refuses("src,tag=t,msize=1", "bytes");
  refuses("src,tag=t,msize=2M", "bytes");
  refuses("src,tag=t,colour=red", "colour");
}

}  // namespace vireo::pc
