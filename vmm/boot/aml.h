// Builds ACPI Machine Language (ACPI 6.5, chapter 20): each function returns the bytes of one term,
// and takes the bytes of the terms inside it.
//
// Thread: any; pure. Names have up to 4 characters and are padded with '_'.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vireo::aml {

using Bytes = std::vector<std::byte>;
using Terms = std::initializer_list<Bytes>;

Bytes concat(const std::vector<Bytes>& terms);

// Data.
Bytes integer(uint64_t value);
Bytes string(std::string_view text);
Bytes eisa_id(std::string_view id);  // "PNP0501", as a compressed integer
Bytes package(Terms elements);
Bytes resources(const std::vector<Bytes>& descriptors);  // a buffer, for _CRS

// Names. A path may begin with '\'; it has one segment.
Bytes path(std::string_view text);
Bytes name(std::string_view name, const Bytes& value);
Bytes scope(std::string_view path, const std::vector<Bytes>& terms);
Bytes device(std::string_view name, const std::vector<Bytes>& terms);
Bytes serialized_method(std::string_view name, uint8_t arguments, Terms terms);
Bytes io_region(std::string_view name, uint16_t port, uint8_t length);
// One field of 8 bits at the start of a region, accessed by bytes.
Bytes byte_field(std::string_view region, std::string_view name);

// Statements.
Bytes local0();
Bytes store(const Bytes& value, const Bytes& target);
Bytes bit_and(const Bytes& left, const Bytes& right);
Bytes if_then(const Bytes& condition, Terms terms);
Bytes notify(std::string_view object, uint64_t value);

// Resource descriptors (ACPI 6.5, 6.4).
Bytes io_ports(uint16_t first, uint8_t count);
Bytes isa_irq(uint8_t irq);                         // edge, active high, not shared
Bytes interrupt(uint32_t gsi);                      // edge, active high, not shared
Bytes memory32(uint32_t address, uint32_t length);  // read and write

}  // namespace vireo::aml
