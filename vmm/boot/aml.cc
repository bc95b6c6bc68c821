#include "vmm/boot/aml.h"

#include <bit>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"

namespace vireo::aml {
namespace {

// ACPI 6.5, 20.3 "AML byte stream byte values" and 20.2.
enum Op : uint8_t {
  kZero = 0x00,
  kOne = 0x01,
  kName = 0x08,
  kByte = 0x0a,
  kWord = 0x0b,
  kDword = 0x0c,
  kString = 0x0d,
  kQword = 0x0e,
  kScope = 0x10,
  kBuffer = 0x11,
  kPackage = 0x12,
  kMethod = 0x14,
  kExtended = 0x5b,
  kLocal0 = 0x60,
  kStore = 0x70,
  kAnd = 0x7b,
  kNotify = 0x86,
  kIf = 0xa0,
};
enum ExtendedOp : uint8_t { kRegion = 0x80, kField = 0x81, kDevice = 0x82 };

constexpr uint8_t kSystemIo = 1;
constexpr uint8_t kSerialized = 1 << 3;
constexpr uint8_t kByteAccessWriteZeros = 1 | 2 << 5;

Bytes bytes(std::initializer_list<uint8_t> values) {
  Bytes out;
  for (const uint8_t value : values) out.push_back(std::byte{value});
  return out;
}

template <Wire T>
Bytes raw(const T& value) {
  const auto span = bytes_of(value);
  return {span.begin(), span.end()};
}

// PkgLength (20.2.4) of what follows it and itself: the two high bits of the first byte count the
// bytes that follow, which carry all but the low 4 (or, alone, 6) bits.
Bytes package_length(size_t rest) {
  if (rest + 1 < 0x40) return bytes({static_cast<uint8_t>(rest + 1)});
  size_t extra = 1;
  while (rest + 1 + extra >= size_t{1} << (4 + 8 * extra)) ++extra;
  VMM_CHECK(extra <= 3, "an AML package is smaller than 256 MiB");
  size_t length = rest + 1 + extra;
  Bytes out = bytes({static_cast<uint8_t>(extra << 6 | (length & 0xf))});
  for (length >>= 4; extra > 0; --extra, length >>= 8)
    out.push_back(static_cast<std::byte>(length & 0xff));
  return out;
}

Bytes sized(const Bytes& op, const Bytes& content) {
  return concat({op, package_length(content.size()), content});
}

Bytes name_segment(std::string_view text) {
  VMM_CHECK(!text.empty() && text.size() <= 4, "an ACPI name has 1 to 4 characters");
  Bytes out(4, std::byte{'_'});
  for (size_t i = 0; i < text.size(); ++i) out[i] = static_cast<std::byte>(text[i]);
  return out;
}

uint32_t hex_digit(char c) {
  return static_cast<uint32_t>(c <= '9' ? c - '0' : c - 'A' + 10);
}

}  // namespace

Bytes concat(const std::vector<Bytes>& terms) {
  Bytes out;
  for (const Bytes& term : terms) out.insert(out.end(), term.begin(), term.end());
  return out;
}

Bytes integer(uint64_t value) {
  if (value <= 1) return bytes({static_cast<uint8_t>(value)});  // ZeroOp, OneOp
  if (value <= 0xff) return bytes({kByte, static_cast<uint8_t>(value)});
  if (value <= 0xffff) return concat({bytes({kWord}), raw(le16(static_cast<uint16_t>(value)))});
  if (value <= 0xffffffff)
    return concat({bytes({kDword}), raw(le32(static_cast<uint32_t>(value)))});
  return concat({bytes({kQword}), raw(le64(value))});
}

Bytes string(std::string_view text) {
  const auto characters = bytes_of_text(text);
  return concat({bytes({kString}), {characters.begin(), characters.end()}, bytes({0})});
}

// 19.3.4: three letters of 5 bits and four hexadecimal digits, most significant first.
Bytes eisa_id(std::string_view id) {
  VMM_CHECK(id.size() == 7, "an EISA id is three letters and four digits");
  uint32_t value = 0;
  for (const char letter : id.substr(0, 3))
    value = value << 5 | static_cast<uint32_t>(letter - '@');
  for (const char digit : id.substr(3)) value = value << 4 | hex_digit(digit);
  return concat({bytes({kDword}), raw(be32(value))});
}

Bytes package(Terms elements) {
  return sized(bytes({kPackage}),
               concat({bytes({static_cast<uint8_t>(elements.size())}), concat(elements)}));
}

Bytes resources(const std::vector<Bytes>& descriptors) {
  const Bytes end_tag = bytes({0x79, 0x00});  // a checksum of 0 is not checked
  const Bytes content = concat({concat(descriptors), end_tag});
  return sized(bytes({kBuffer}), concat({integer(content.size()), content}));
}

Bytes path(std::string_view text) {
  if (text.starts_with('\\')) return concat({bytes({'\\'}), name_segment(text.substr(1))});
  return name_segment(text);
}

Bytes name(std::string_view text, const Bytes& value) {
  return concat({bytes({kName}), path(text), value});
}

Bytes scope(std::string_view text, const std::vector<Bytes>& terms) {
  return sized(bytes({kScope}), concat({path(text), concat(terms)}));
}

Bytes device(std::string_view text, const std::vector<Bytes>& terms) {
  return sized(bytes({kExtended, kDevice}), concat({path(text), concat(terms)}));
}

Bytes serialized_method(std::string_view text, uint8_t arguments, Terms terms) {
  VMM_CHECK(arguments <= 7, "an ACPI method has up to 7 arguments");
  const auto flags = static_cast<uint8_t>(arguments | kSerialized);
  return sized(bytes({kMethod}), concat({path(text), bytes({flags}), concat(terms)}));
}

Bytes io_region(std::string_view text, uint16_t port, uint8_t length) {
  return concat({bytes({kExtended, kRegion}), path(text), bytes({kSystemIo}), integer(port),
                 integer(length)});
}

Bytes byte_field(std::string_view region, std::string_view text) {
  constexpr uint8_t kBits = 8;  // as a PkgLength
  return sized(bytes({kExtended, kField}),
               concat({path(region), bytes({kByteAccessWriteZeros}), path(text), bytes({kBits})}));
}

Bytes local0() {
  return bytes({kLocal0});
}

Bytes store(const Bytes& value, const Bytes& target) {
  return concat({bytes({kStore}), value, target});
}

Bytes bit_and(const Bytes& left, const Bytes& right) {
  constexpr uint8_t kNoTarget = 0;
  return concat({bytes({kAnd}), left, right, bytes({kNoTarget})});
}

Bytes if_then(const Bytes& condition, Terms terms) {
  return sized(bytes({kIf}), concat({condition, concat(terms)}));
}

Bytes notify(std::string_view object, uint64_t value) {
  return concat({bytes({kNotify}), path(object), integer(value)});
}

// 6.4.2.5
Bytes io_ports(uint16_t first, uint8_t count) {
  constexpr uint8_t kTag = 0x47, kDecodes16 = 1, kAlignment = 1;
  return concat(
      {bytes({kTag, kDecodes16}), raw(le16(first)), raw(le16(first)), bytes({kAlignment, count})});
}

// 6.4.2.1, the short form, which means edge, active high, exclusive
Bytes isa_irq(uint8_t irq) {
  VMM_CHECK(irq < 16, "ISA has 16 interrupts");
  return concat({bytes({0x22}), raw(le16(static_cast<uint16_t>(1U << irq)))});
}

// 6.4.3.6
Bytes interrupt(uint32_t gsi) {
  constexpr uint8_t kTag = 0x89, kConsumer = 1, kEdge = 2, kCount = 1;
  constexpr uint16_t kLength = 2 + sizeof(le32);
  return concat(
      {bytes({kTag}), raw(le16(kLength)), bytes({kConsumer | kEdge, kCount}), raw(le32(gsi))});
}

// 6.4.3.4
Bytes memory32(uint32_t address, uint32_t length) {
  constexpr uint8_t kTag = 0x86, kWritable = 1;
  constexpr uint16_t kLength = 1 + 2 * sizeof(le32);
  return concat({bytes({kTag}), raw(le16(kLength)), bytes({kWritable}), raw(le32(address)),
                 raw(le32(length))});
}

}  // namespace vireo::aml
