#include "devices/pc/smbios.h"

#include <catch2/catch.hpp>

#include "devices/pc/config.h"
#include "vmm/base/error.h"

namespace vireo::pc {
namespace {

void say(SmbiosInfo& info, std::string_view text) {
  const auto pairs = pairs_of(text, "");
  smbios_keys(info, smbios_type("--smbios", pairs)).assign("--smbios", pairs);
}

}  // namespace

TEST_CASE("a UUID is read and written") {
  const SmbiosInfo::Uuid uuid = parse_uuid("6BA7B810-9dad-11d1-80b4-00c04fd430c8");
  CHECK(uuid[0] == 0x6b);
  CHECK(uuid[15] == 0xc8);
  CHECK(to_string(uuid) == "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  CHECK(to_string(SmbiosInfo::Uuid()).empty());
  for (const char* text :
       {"", "6ba7b810", "6ba7b8109dad11d180b400c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430cx",
        "6ba7b810-9dad-11d1-80b400-c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8-",
        "6ba7b8109-dad-11d1-80b4-00c04fd430c8"})
    CHECK_THROWS_WITH(parse_uuid(text), Catch::Contains("8-4-4-4-12"));
}

TEST_CASE("each type of structure has its keys") {
  SmbiosInfo info;
  say(info, "type=0,vendor=V,version=1,date=01/02/2026");
  say(info, "type=1,manufacturer=M,product=P,version=2,serial=S,sku=K,family=F");
  say(info, "type=2,manufacturer=BM,product=BP,version=3,serial=BS,asset=A,location=L");
  say(info, "type=3,manufacturer=CM,version=4,serial=CS,asset=CA,sku=CK");
  say(info, "type=11,value=a,value=b");
  say(info, "type=11,value=c");
  SmbiosInfo expected{.bios = {"V", "1", "01/02/2026"},
                      .system = {"M", "P", "2", "S", "K", "F"},
                      .board = {"BM", "BP", "3", "BS", "A", "L"},
                      .chassis = {"CM", "4", "CS", "CA", "CK"},
                      .oem_strings = {"a", "b", "c"}};
  CHECK(info == expected);
  PcSpec spec{.smbios = info};
  CHECK(parse_config("here", config_text(spec)).smbios == info);
  for (const char* type : {"0", "1", "2", "3", "11", "none"}) clear_smbios(info, type);
  CHECK(info == SmbiosInfo());
  CHECK(smbios_json(info).empty());
}

TEST_CASE("what a machine cannot tell of itself is refused") {
  SmbiosInfo info;
  const auto refused = [&](std::string_view text, const char* why) {
    CHECK_THROWS_WITH(say(info, text), Catch::StartsWith("--smbios: ") && Catch::Contains(why));
  };
  refused("serial=S", "'type' is missing: 0 (the BIOS)");
  refused("type=7", "'7' is none of 0 (the BIOS)");
  refused("type=3,uuid=x", "there is no 'uuid'");
  refused("type=1,serial=a\nb", "control character");
  refused("type=11,value=", "empty");
  for (int i = 0; i < 255; ++i) say(info, "type=11,value=x");
  refused("type=11,value=x", "255 are the most");
}

}  // namespace vireo::pc
