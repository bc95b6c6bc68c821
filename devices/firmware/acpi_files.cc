#include "devices/firmware/acpi_files.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "vmm/base/bytes.h"

namespace vireo::dev {

namespace {

constexpr size_t kCommandSize = 128;
constexpr std::string_view kRsdp = "etc/acpi/rsdp", kTables = "etc/acpi/tables";
enum Command : uint32_t { kAllocate = 1, kAddPointer = 2, kAddChecksum = 3 };
enum Zone : uint8_t { kHigh = 1, kBelow1MiB = 2 };

using Name = std::array<char, 56>;

Name name_of(std::string_view text) {
  Name name{};
  std::copy(text.begin(), text.end(), name.begin());
  return name;
}

Name name_of(AcpiTables::Piece piece) {
  return name_of(piece == AcpiTables::Piece::rsdp ? kRsdp : kTables);
}

class Script {
 public:
  template <class... Fields>
  void add(Command command, const Fields&... fields) {
    const size_t start = out_.size();
    out_.put(le32(command));
    (out_.put(fields), ...);
    out_.zeros(start + kCommandSize - out_.size());
  }
  std::vector<std::byte> take() { return out_.take(); }

 private:
  ByteWriter out_;
};

}  // namespace

// Kernels look for the RSDP below 1 MiB.
void add_acpi_files(FwCfgItems& items, AcpiTables tables) {
  constexpr uint32_t kAlignment = 16;
  Script script;
  script.add(kAllocate, name_of(kRsdp), le32(kAlignment), uint8_t{kBelow1MiB});
  script.add(kAllocate, name_of(kTables), le32(kAlignment), uint8_t{kHigh});
  for (const AcpiTables::Pointer& pointer : tables.pointers)
    script.add(kAddPointer, name_of(pointer.piece), name_of(kTables), le32(pointer.offset),
               static_cast<uint8_t>(pointer.size));
  for (const AcpiTables::Checksum& sum : tables.checksums)
    script.add(kAddChecksum, name_of(sum.piece), le32(sum.offset), le32(sum.start),
               le32(sum.length));
  items.add_file(kRsdp, std::move(tables.rsdp));
  items.add_file(kTables, std::move(tables.tables));
  items.add_file("etc/table-loader", script.take());
}

}  // namespace vireo::dev
