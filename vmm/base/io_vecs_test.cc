#include "vmm/base/io_vecs.h"

#include <array>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"

using namespace vireo;

namespace {

// "abcdefgh" in parts of 3, 0 and 5 bytes.
struct Parts {
  std::string text = "abcdefgh";
  IoVecs vectors{{text.data(), 3}, {text.data() + 3, 0}, {text.data() + 3, 5}};
};

std::string text_of(std::span<const iovec> vectors) {
  std::string text(total_length(vectors), '\0');
  copy_from(std::as_writable_bytes(std::span(text)), vectors);
  return text;
}

}  // namespace

TEST_CASE("a slice is the bytes from its offset on") {
  const Parts parts;
  CHECK(text_of(slice(parts.vectors, 0, 8)) == "abcdefgh");
  CHECK(text_of(slice(parts.vectors, 2, 3)) == "cde");
  CHECK(text_of(slice(parts.vectors, 3, 5)) == "defgh");
  CHECK(slice(parts.vectors, 8, 0).empty());
  CHECK(slice(parts.vectors, 3, 2).size() == 1);
}

TEST_CASE("copies end with the shorter side, and pass empty parts") {
  Parts parts;
  CHECK(copy_to(parts.vectors, bytes_of_text("0123")) == 4);
  CHECK(parts.text == "0123efgh");
  CHECK(copy_to(parts.vectors, bytes_of_text("xyz"), 2) == 3);
  CHECK(parts.text == "01xyzfgh");
  CHECK(copy_to(parts.vectors, bytes_of_text("long"), 6) == 2);
  CHECK(parts.text == "01xyzflo");
  CHECK(copy_to(parts.vectors, bytes_of_text("x"), 9) == 0);
  std::array<std::byte, 4> few{};
  CHECK(copy_from(few, parts.vectors) == 4);
  std::array<std::byte, 20> many{};
  CHECK(copy_from(many, parts.vectors) == 8);
}

TEST_CASE("bytes are added behind those that are there") {
  const Parts parts;
  std::vector<std::byte> all(1);
  append(all, parts.vectors);
  CHECK(all.size() == 9);
  append(all, parts.vectors, 7);
  CHECK(all.back() == std::byte{'h'});
  CHECK(all.size() == 10);
}

TEST_CASE("zeros are filled in and found") {
  Parts parts;
  CHECK_FALSE(all_zero(std::span<const iovec>(parts.vectors)));
  fill_zero(parts.vectors);
  CHECK(all_zero(std::span<const iovec>(parts.vectors)));
  CHECK(parts.text == std::string(8, '\0'));
}
