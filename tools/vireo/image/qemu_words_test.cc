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

TEST_CASE("QEMU's words: what a check finds") {
  const std::string counted = "cluster 5 is counted 1 times and used 0 times";
  CHECK(qemu_finding("found in a.qcow2: " + counted) == "Leaked cluster 5 refcount=1 reference=0");
  CHECK(qemu_finding("repairing a: " + counted) == "Repairing cluster 5 refcount=1 reference=0");
  CHECK(qemu_finding("found in a: cluster 6 is counted 1 times and used 2 times") ==
        "ERROR cluster 6 refcount=1 reference=2");
  CHECK(qemu_finding("found in a: something else") == "ERROR something else");
  CHECK(qemu_finding("image 'a' is damaged: a refcount block lies at 0x20600 (entry 1 of the "
                     "refcount table); it takes no more writes") ==
        "qcow2: Marking image as corrupt: Refblock offset 0x20600 unaligned (reftable index: 0x1); "
        "further corruption events will be suppressed");
  CHECK(qemu_finding("a line of another kind") == "a line of another kind");
}

}  // namespace vireo::cli
