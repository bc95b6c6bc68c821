#include "vmm/identity.h"

#include <cstddef>

#include "vmm/base/error.h"

namespace vireo {

namespace {

// FNV-1a
class Fingerprint {
 public:
  void add(uint64_t value) noexcept { hash_ = (hash_ ^ value) * 0x100000001b3; }
  uint64_t hash() const noexcept { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

uint64_t fingerprint(const CpuidTable& table) {
  Fingerprint all;
  for (const kvm_cpuid_entry2& entry : table)
    for (const uint32_t word :
         {entry.function, entry.index, entry.eax, entry.ebx, entry.ecx, entry.edx})
      all.add(word);
  return all.hash();
}

uint64_t fingerprint(const AcpiNamespace& names) {
  Fingerprint all;
  for (const AcpiDevice& device : names.devices())
    for (const std::byte byte : aml_of(device)) all.add(std::to_integer<uint64_t>(byte));
  return all.hash();
}

}  // namespace

MachineIdentity identity_of(const AcpiNamespace& names, const CpuidTable& processor) {
  return {.tables = fingerprint(names), .processor = fingerprint(processor)};
}

void check_identity(const MachineIdentity& saved, const MachineIdentity& own) {
  if (saved.tables != own.tables)
    throw ConfigError("the snapshot is of a machine with other devices, or in another order");
  if (saved.processor != own.processor)
    throw ConfigError(
        "the snapshot is of a machine on another kind of processor: restore it on a host like its "
        "own");
}

}  // namespace vireo
