#include "vmm/boot/aml.h"

#include <catch2/catch.hpp>

namespace vireo::aml {
namespace {

Bytes hex(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

}  // namespace

TEST_CASE("AML integers take the shortest form") {
  CHECK(integer(0) == hex({0x00}));
  CHECK(integer(1) == hex({0x01}));
  CHECK(integer(2) == hex({0x0a, 2}));
  CHECK(integer(0xff) == hex({0x0a, 0xff}));
  CHECK(integer(0x100) == hex({0x0b, 0x00, 0x01}));
  CHECK(integer(0x10000) == hex({0x0c, 0, 0, 1, 0}));
  CHECK(integer(0x100000000) == hex({0x0e, 0, 0, 0, 0, 1, 0, 0, 0}));
}

TEST_CASE("AML names are four characters") {
  CHECK(path("RTC") == hex({'R', 'T', 'C', '_'}));
  CHECK(path("\\_S5") == hex({'\\', '_', 'S', '5', '_'}));
  CHECK(name("_UID", integer(1)) == hex({0x08, '_', 'U', 'I', 'D', 1}));
}

TEST_CASE("EISA ids are compressed") {
  CHECK(eisa_id("PNP0501") == hex({0x0c, 0x41, 0xd0, 0x05, 0x01}));
  CHECK(eisa_id("PNP0C0C") == hex({0x0c, 0x41, 0xd0, 0x0c, 0x0c}));
}

TEST_CASE("AML packages know their length in one to four bytes") {
  const auto length_bytes = [](size_t content) {
    // A scope has its name inside; what remains is one term.
    const Bytes bytes = scope("X", {Bytes(content - 4)});
    return Bytes(bytes.begin() + 1, bytes.end() - static_cast<std::ptrdiff_t>(content));
  };
  CHECK(length_bytes(62) == hex({63}));
  CHECK(length_bytes(63) == hex({0x41, 0x04}));  // 65
  CHECK(length_bytes(4093) == hex({0x4f, 0xff}));
  CHECK(length_bytes(4094) == hex({0x81, 0x00, 0x01}));  // 4097
  CHECK(length_bytes((1 << 20) - 4) == hex({0x8f, 0xff, 0xff}));
  CHECK(length_bytes((1 << 20) - 3) == hex({0xc1, 0x00, 0x00, 0x01}));
}

TEST_CASE("resource templates end with their tag") {
  CHECK(resources({io_ports(0x3f8, 8), isa_irq(4)}) ==
        hex({0x11, 0x10, 0x0a, 0x0d, 0x47, 1, 0xf8, 0x03, 0xf8, 0x03, 1, 8, 0x22, 0x10, 0x00, 0x79,
             0x00}));
  CHECK(interrupt(23) == hex({0x89, 6, 0, 3, 1, 23, 0, 0, 0}));
  CHECK(memory32(0xd0001000, 0x1000) ==
        hex({0x86, 9, 0, 1, 0x00, 0x10, 0x00, 0xd0, 0x00, 0x10, 0x00, 0x00}));
}

}  // namespace vireo::aml
