#include "devices/pc/config.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/testing/temp_file.h"

namespace vireo::pc {
namespace {

std::string refused(const std::string& text) {
  try {
    parse_config("vm.json", text);
    return "accepted";
  } catch (const std::exception& error) {
    return describe(error);
  }
}

constexpr const char* kAll = R"({
    "version": 1,
    "kernel": "vmlinuz",
    "append": "console=ttyS0 a,b",
    "cpus": 4,
    "memory": "2G",
    "name": "web",
    "serial": "file:log",
    "irqchip": "pc",
    "no-reboot": true,
    "display": {
        "vnc": "unix:/run/vnc",
        "mode": "800x600"
    },
    "disk": [
        {
            "path": "a,b.qcow2",
            "readonly": true,
            "id": "disk0",
            "queues": 2,
            "bps": "1M"
        },
        {
            "path": "data.raw",
            "id": "data",
            "on-enospc": "stop"
        }
    ],
    "net": [
        {
            "user": "on",
            "hostfwd": [
                "tcp:127.0.0.1:2222-:22",
                "tcp::80-:80"
            ],
            "ipv6": false,
            "id": "net0"
        },
        {
            "tap": "",
            "id": "net1",
            "mac": "52:54:00:00:00:09"
        }
    ],
    "share": [
        {
            "path": "src",
            "tag": "src",
            "squash": "1000:100"
        }
    ]
}
)";

}  // namespace

TEST_CASE("a description is written as it is read") {
  const PcSpec spec = parse_config("vm.json", kAll);
  CHECK(config_text(spec) == kAll);
  CHECK(spec.boot.cmdline == "console=ttyS0 a,b");
  CHECK(spec.vcpus == 4);
  CHECK(spec.memory == 2 * GiB);
  CHECK(spec.no_reboot);
  REQUIRE(spec.disks.size() == 2);
  CHECK(spec.disks[0].image.name() == "a,b.qcow2");
  CHECK(spec.disks[0].image.read_only);
  CHECK(spec.disks[1].pauses_when_full);
  REQUIRE(spec.nets.size() == 2);
  const auto& user = std::get<dev::UserNetConfig>(spec.nets[0].network);
  CHECK(user.host_forwards.size() == 2);
  CHECK_FALSE(user.ipv6);
  CHECK(std::get<dev::TapConfig>(spec.nets[1].network).is_made());
  CHECK(spec.display->mode == display::Size{800, 600});
}

TEST_CASE("what is not said is as it is by default, and nothing is said of that") {
  CHECK(config_text(parse_config("vm.json", R"({"version": 1})")) == "{\n    \"version\": 1\n}\n");
}

TEST_CASE("parts may be texts as on the command line") {
  const PcSpec spec = parse_config(
      "vm.json", R"({"version": 1, "disk": ["a.img", "b.img,readonly=on"], "net": ["user"],
                     "memory": 268435456, "display": "vnc=:0"})");
  REQUIRE(spec.disks.size() == 2);
  CHECK(spec.disks[1].image.read_only);
  CHECK(spec.nets.size() == 1);
  CHECK(spec.memory == 256 * MiB);
  CHECK(spec.display->server.vnc == ":0");
}

TEST_CASE("arrays keep their order beyond ten") {
  std::string text = R"({"version": 1, "disk": [)";
  for (int i = 0; i < 12; ++i)
    text += (i ? "," : "") + std::string("\"") + std::to_string(i) + ".img\"";
  const PcSpec spec = parse_config("vm.json", text + "]}");
  REQUIRE(spec.disks.size() == 12);
  for (size_t i = 0; i < 12; ++i) CHECK(spec.disks[i].image.name() == std::to_string(i) + ".img");
}

TEST_CASE("what is wrong with a description is said in one sentence") {
  CHECK_THAT(refused("{}"), Catch::Contains("'version' is missing"));
  CHECK_THAT(refused(R"({"version": 2})"), Catch::Contains("version 2 is not known here, only 1"));
  CHECK_THAT(refused(R"({"version": 1, "memroy": "1G"})"),
             Catch::StartsWith("vm.json: there is no 'memroy': the keys are version, kernel"));
  CHECK_THAT(refused(R"({"version": 1, "memory": "much"})"),
             Catch::StartsWith("vm.json: memory: 'much' is not a size"));
  CHECK_THAT(refused(R"({"version": 1, "disk": [{"path": "a"}, {"path": "b", "colour": 1}]})"),
             Catch::StartsWith("vm.json: disk.1: there is no 'colour'"));
  CHECK_THAT(refused(R"({"version": 1, "disk": [{"path": {"x": 1}}]})"), Catch::Contains("path.x"));
  CHECK_THAT(refused(R"({"version": 1, "cpus": [1]})"), Catch::Contains("'cpus.0'"));
  CHECK_THAT(refused(R"({"version": 1)"), Catch::StartsWith("vm.json: "));
  CHECK_THAT(refused("[]"), Catch::Contains("an object is needed"));
}

TEST_CASE("a description is read from a file") {
  const testing::TempFile file(std::string_view(R"({"version": 1, "cpus": 2})"));
  CHECK(read_config(file.path()).vcpus == 2);
  CHECK_THROWS_WITH(read_config("/does/not/exist"), Catch::Contains("/does/not/exist"));
  const testing::TempFile large{std::string_view(std::string((1 << 20) + 1, ' '))};
  CHECK_THROWS_WITH(read_config(large.path()), Catch::Contains("too long"));
}

}  // namespace vireo::pc
