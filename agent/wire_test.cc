#include "agent/wire.h"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace vireo::agent {
namespace {

template <class Message>
std::vector<std::byte> payload_of(const Message& message) {
  std::vector<std::byte> bytes;
  encode(7, message, [&](Bytes part) { bytes.insert(bytes.end(), part.begin(), part.end()); });
  ByteReader reader(bytes);
  const auto header = reader.get<FrameHeader>();
  CHECK(header.length == reader.rest().size());
  CHECK(header.channel == 7);
  CHECK(header.type == Message::kType);
  return {reader.rest().begin(), reader.rest().end()};
}

std::vector<std::byte> bytes_from(std::string_view text) {
  const auto bytes = bytes_of_text(text);
  return {bytes.begin(), bytes.end()};
}

constexpr std::string_view kArguments{"sh\0-c\0exit 3\0", 13};

}  // namespace

TEST_CASE("a message comes back as it was sent") {
  const Exec sent{.terminal = 1,
                  .rows = 24,
                  .columns = 80,
                  .user = {"nobody"},
                  .directory = {},
                  .arguments = {3, kArguments},
                  .environment = {0, {}}};
  const auto bytes = payload_of(sent);
  const auto exec = decode<Exec>(bytes);
  REQUIRE(exec);
  CHECK(exec->columns == 80);
  CHECK(exec->user.view == "nobody");
  CHECK(std::string(exec->user.c_str()) == "nobody");
  CHECK(exec->directory.view.empty());
  CHECK(std::string(exec->directory.c_str()).empty());
  std::vector<std::string> arguments;
  exec->arguments.each([&](std::string_view text) { arguments.emplace_back(text); });
  CHECK(arguments == std::vector<std::string>{"sh", "-c", "exit 3"});
  CHECK(payload_of(*exec) == bytes);
}

TEST_CASE("the wire is what docs/agent.md says") {
  CHECK(payload_of(Window{.stream = Stream::error, .bytes = 0x01020304}) ==
        bytes_from("\x02\x04\x03\x02\x01"));
  CHECK(payload_of(Root{.tag = {"ab"}}) == bytes_from(std::string_view("\x03\0\0\0ab\0", 7)));
  CHECK(payload_of(PowerOff{}).empty());
}

TEST_CASE("a message that is too short or too long is refused") {
  auto bytes = payload_of(Share{.tag = {"t"}, .path = {"/p"}, .read_only = 1});
  CHECK(decode<Share>(bytes));
  bytes.pop_back();
  CHECK_FALSE(decode<Share>(bytes));
  bytes.resize(bytes.size() + 2);
  CHECK_FALSE(decode<Share>(bytes));
  CHECK_FALSE(decode<PowerOff>(bytes));
}

TEST_CASE("texts are what their sizes and counts say") {
  const auto root = [](std::string_view bytes) { return decode<Root>(bytes_of_text(bytes)); };
  CHECK_FALSE(root(std::string_view("\x00\0\0\0", 4)));       // no zero at all
  CHECK_FALSE(root(std::string_view("\x02\0\0\0ab", 6)));     // none at the end
  CHECK_FALSE(root(std::string_view("\x03\0\0\0a\0\0", 7)));  // one inside
  CHECK_FALSE(root(std::string_view("\xff\xff\xff\xff\0", 5)));
  const auto exec = [](uint32_t count, std::string_view block) {
    return decode<Exec>(payload_of(Exec{.arguments = {count, block}}));
  };
  CHECK(exec(3, kArguments));
  CHECK_FALSE(exec(2, kArguments));
  CHECK_FALSE(exec(4, kArguments));
  CHECK_FALSE(exec(0, "a"));
  CHECK_FALSE(exec(1, std::string_view("a\0b", 3)));
}

TEST_CASE("streams and stages that there are not are refused") {
  CHECK(decode<StreamEnd>(bytes_from("\x02")));
  CHECK_FALSE(decode<StreamEnd>(bytes_from("\x03")));
  CHECK(decode<Failed>(bytes_from(std::string_view("\2\0\0\0\x08", 5))));
  CHECK_FALSE(decode<Failed>(bytes_from(std::string_view("\2\0\0\0\x09", 5))));
  CHECK_FALSE(decode<Failed>(bytes_from(std::string_view("\2\0\0\0\0", 5))));
}

}  // namespace vireo::agent
