#include "vmm/boot/acpi_namespace.h"

#include <algorithm>
#include <cctype>

#include <fmt/core.h>

namespace vireo {

namespace {

// Three letters and four hexadecimal digits (6.1.5).
bool is_eisa_id(std::string_view id) {
  const auto is_letter = [](unsigned char c) { return std::isupper(c) != 0; };
  const auto is_digit = [](unsigned char c) { return std::isxdigit(c) != 0; };
  return id.size() == 7 && std::all_of(id.begin(), id.begin() + 3, is_letter) &&
         std::all_of(id.begin() + 3, id.end(), is_digit);
}

}  // namespace

AcpiNamespace::Place AcpiNamespace::next(const std::string& prefix, int digits, uint64_t first) {
  const uint64_t uid = counts_[prefix]++;
  return {fmt::format("{}{:0{}X}", prefix, first + uid, digits), uid};
}

aml::Bytes aml_of(const AcpiDevice& device) {
  const aml::Bytes hid =
      is_eisa_id(device.hid) ? aml::eisa_id(device.hid) : aml::string(device.hid);
  std::vector<aml::Bytes> terms{aml::name("_HID", hid),
                                aml::name("_UID", aml::integer(device.uid))};
  if (!device.resources.empty())
    terms.push_back(aml::name("_CRS", aml::resources(device.resources)));
  terms.insert(terms.end(), device.terms.begin(), device.terms.end());
  return aml::device(device.name, terms);
}

}  // namespace vireo
