#include "tools/vireo/image/qemu_words.h"

#include <system_error>

#include <catch2/catch.hpp>

namespace vireo::cli {

TEST_CASE("QEMU's words: files") {
  CHECK(qemu_words("disk image 'a' does not exist; check its path or create it first") ==
        "Could not open 'a': No such file or directory");
  CHECK(
      qemu_reason(std::system_error(EIO, std::generic_category(), "cannot open disk image 'b'")) ==
      "Could not open 'b': Input/output error");
  CHECK(qemu_words("the backing file of 'top': disk image 'low' does not exist; check its path") ==
        "Could not open backing file: Could not open 'low': No such file or directory");
}

TEST_CASE("QEMU's words: formats and images") {
  CHECK(qemu_words("disk image 'a' has the format 'foo', which cannot be read") ==
        "Unknown driver 'foo'");
  CHECK(
      qemu_words("cannot open qcow2 image 'a': its L1 table starts at 5, which is not a cluster") ==
      "Active L1 table offset invalid");
  CHECK(qemu_words("something of our own") == "something of our own");
}

namespace {

using Lines = std::vector<std::string>;

Lines findings(const Lines& logged) {
  Lines lines;
  QemuFindings findings([&](const std::string& line) { lines.push_back(line); });
  for (const std::string& line : logged) findings.add(line);
  findings.flush();
  return lines;
}

}  // namespace

TEST_CASE("QEMU's words: what a check finds") {
  CHECK(findings({"found in a.qcow2: cluster 5 is counted 1 times and used 0 times",
                  "found in a: cluster 6 is counted 1 times and used 2 times"}) ==
        Lines{"Leaked cluster 5 refcount=1 reference=0", "ERROR cluster 6 refcount=1 reference=2"});
  CHECK(findings({"found in a: something else"}) == Lines{"ERROR something else"});
  CHECK(findings({"image 'a' is damaged: a refcount block lies at 0x20600 (entry 1 of the refcount "
                  "table); it takes no more writes"}) ==
        Lines{"qcow2: Marking image as corrupt: Refblock offset 0x20600 unaligned (reftable index: "
              "0x1); further corruption events will be suppressed"});
  CHECK(findings({"a line of another kind"}) == Lines{"a line of another kind"});
  CHECK(findings({"found in a: L2 entry 1 of the table at 0x800, 0x0080000000000000, leads beyond "
                  "the end of the file: to 0x200 bytes at 0x80000000000000"}) ==
        Lines{"ERROR: counting reference for region exceeding the end of the file by one cluster "
              "or more: offset 0x80000000000000 size 0x200"});
}

TEST_CASE("QEMU's words: all counts that are wrong come before those that are mended") {
  CHECK(findings({"repairing a: cluster 5 is counted 1 times and used 0 times",
                  "repairing a: cluster 6 is counted 1 times and used 2 times",
                  "repairing a: the COPIED flag of L1 entry 0, 0x30000, is wrong for a count of 1",
                  "repairing a: the COPIED flag of an L2 entry, 0x8000000000060000, is wrong for a "
                  "count of 2"}) ==
        Lines{"Leaked cluster 5 refcount=1 reference=0", "ERROR cluster 6 refcount=1 reference=2",
              "Repairing cluster 5 refcount=1 reference=0",
              "Repairing cluster 6 refcount=1 reference=2",
              "Repairing OFLAG_COPIED L2 cluster: l1_index=0 l1_entry=30000 refcount=1",
              "Repairing OFLAG_COPIED data cluster: l2_entry=8000000000060000 refcount=2"});
}

}  // namespace vireo::cli
