#include "vmm/boot/cpio.h"

#include <string>

#include <catch2/catch.hpp>

namespace vireo {
namespace {

// The entry at the front of the archive, as Linux' init/initramfs.c reads it.
struct Read {
  std::string magic, path, content;
  uint32_t fields[13]{};
};

Read take_entry(std::string_view& archive) {
  Read entry;
  entry.magic = archive.substr(0, 6);
  for (size_t i = 0; i < 13; ++i)
    entry.fields[i] =
        static_cast<uint32_t>(std::stoul(std::string(archive.substr(6 + 8 * i, 8)), nullptr, 16));
  const auto aligned = [](size_t size) { return (size + 3) & ~size_t{3}; };
  const size_t name = entry.fields[11], size = entry.fields[6];
  entry.path = archive.substr(110, name - 1);
  entry.content = archive.substr(aligned(110 + name), size);
  archive.remove_prefix(aligned(aligned(110 + name) + size));
  return entry;
}

}  // namespace

TEST_CASE("an archive has what was added, in order, and its end") {
  Cpio cpio;
  cpio.add_directory("dev");
  cpio.add_character_device("dev/console", 5, 1);
  cpio.add_file("init", bytes_of_text("hello"), 0755);
  const auto bytes = cpio.finish();
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  CHECK(rest.size() % 4 == 0);

  const Read directory = take_entry(rest);
  CHECK(directory.magic == "070701");
  CHECK(directory.path == "dev");
  CHECK(directory.fields[1] == 040755);
  CHECK(directory.fields[4] == 2);
  const Read device = take_entry(rest);
  CHECK(device.path == "dev/console");
  CHECK(device.fields[1] == 020600);
  CHECK(device.fields[9] == 5);
  CHECK(device.fields[10] == 1);
  const Read file = take_entry(rest);
  CHECK(file.path == "init");
  CHECK(file.content == "hello");
  CHECK(file.fields[1] == 0100755);
  CHECK(file.fields[0] != directory.fields[0]);
  CHECK(take_entry(rest).path == "TRAILER!!!");
  CHECK(rest.empty());
}

}  // namespace vireo
