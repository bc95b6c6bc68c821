#include "vmm/cpu/cpuid.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace vireo {

namespace {

using Entry = kvm_cpuid_entry2;

constexpr uint32_t kIntelBasic = 0x0;
constexpr uint32_t kFeatures = 0x1;
constexpr uint32_t kIntelCaches = 0x4;
constexpr uint32_t kPower = 0x6;
constexpr uint32_t kPerfmon = 0xa;
constexpr uint32_t kTopology = 0xb;
constexpr uint32_t kSgx = 0x12;
constexpr uint32_t kProcessorTrace = 0x14;
constexpr uint32_t kTopologyV2 = 0x1f;
constexpr uint32_t kKvmSignature = 0x40000000;
constexpr uint32_t kTscFrequency = 0x40000010;
constexpr uint32_t kAmdFeatures = 0x80000001;
constexpr uint32_t kAmdSizes = 0x80000008;
constexpr uint32_t kAmdSvm = 0x8000000a;
constexpr uint32_t kAmdCaches = 0x8000001d;
constexpr uint32_t kAmdTopology = 0x8000001e;
constexpr uint32_t kAmdPerfmonV2 = 0x80000022;

constexpr uint32_t kApicBusKhz = 1'000'000;  // KVM's local APIC timer runs at 1 GHz

constexpr uint32_t bit(unsigned n) {
  return 1U << n;
}

// Bits of an APIC id that number the cores of the one package.
uint32_t core_bits(uint32_t vcpus) {
  return static_cast<uint32_t>(std::bit_width(vcpus - 1));
}

void set_features(Entry& entry, const CpuidConfig& config) {
  constexpr uint32_t kX2Apic = bit(21), kTscDeadline = bit(24), kOsxsave = bit(27),
                     kHypervisor = bit(31);
  constexpr uint32_t kHyperThreading = bit(28), kPdcm = bit(15), kMonitor = bit(3), kVmx = bit(5);
  entry.ecx |= kX2Apic | kHypervisor;
  entry.ecx &= ~(kOsxsave | kPdcm | kMonitor | kVmx);
  if (config.tsc_deadline)
    entry.ecx |= kTscDeadline;
  else
    entry.ecx &= ~kTscDeadline;
  const uint32_t logical = std::min(config.vcpus, 255U);
  entry.ebx = (entry.ebx & 0x0000ffff) | (logical << 16) | (config.vcpu << 24);
  if (config.vcpus > 1)
    entry.edx |= kHyperThreading;
  else
    entry.edx &= ~kHyperThreading;
}

// Deterministic cache parameters: levels 1 and 2 belong to one core, level 3 to the package.
void set_cache_sharing(Entry& entry, const CpuidConfig& config) {
  const uint32_t level = (entry.eax >> 5) & 7;
  const uint32_t sharing = level >= 3 ? config.vcpus - 1 : 0;
  entry.eax = (entry.eax & 0x00003fff) | (std::min(sharing, 0xfffU) << 14);
  if (entry.function == kIntelCaches) entry.eax |= (std::bit_ceil(config.vcpus) - 1) << 26;
}

Entry topology_level(uint32_t function, uint32_t index, const CpuidConfig& config) {
  constexpr uint32_t kLevelThread = 1, kLevelCore = 2;
  Entry entry{};
  entry.function = function;
  entry.index = index;
  entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  entry.edx = config.vcpu;
  entry.ecx = index;
  if (index == 0) {
    entry.ebx = 1;
    entry.ecx |= kLevelThread << 8;
  } else if (index == 1) {
    entry.eax = core_bits(config.vcpus);
    entry.ebx = config.vcpus;
    entry.ecx |= kLevelCore << 8;
  }
  return entry;
}

void set_amd_features(Entry& entry, const CpuidConfig& config) {
  constexpr uint32_t kCmpLegacy = bit(1), kPerfCore = bit(23), kPerfNb = bit(24),
                     kPerfLlc = bit(28);
  constexpr uint32_t kSvm = bit(2);
  entry.ecx &= ~(kPerfCore | kPerfNb | kPerfLlc | kCmpLegacy | kSvm);
  if (config.vcpus > 1) entry.ecx |= kCmpLegacy;
}

void set_amd_sizes(Entry& entry, const CpuidConfig& config) {
  entry.ecx = (core_bits(config.vcpus) << 12) | ((config.vcpus - 1) & 0xff);
}

void set_amd_topology(Entry& entry, const CpuidConfig& config) {
  entry.eax = config.vcpu;         // extended APIC id
  entry.ebx = config.vcpu & 0xff;  // core id, one thread per core
  entry.ecx = 0;                   // node 0 of one
}

void clear(Entry& entry) {
  entry.eax = entry.ebx = entry.ecx = entry.edx = 0;
}

void adapt(Entry& entry, const CpuidConfig& config) {
  switch (entry.function) {
    case kFeatures:
      return set_features(entry, config);
    case kIntelCaches:
    case kAmdCaches:
      return set_cache_sharing(entry, config);
    case kPower:
      entry.eax &= bit(2);  // the APIC timer keeps running; the rest is the host's power management
      entry.ebx = entry.ecx = entry.edx = 0;
      return;
    case kPerfmon:
    case kSgx:
    case kProcessorTrace:
    case kAmdSvm:
    case kAmdPerfmonV2:
      return clear(entry);
    case kAmdFeatures:
      return set_amd_features(entry, config);
    case kAmdSizes:
      return set_amd_sizes(entry, config);
    case kAmdTopology:
      return set_amd_topology(entry, config);
    default:
      return;
  }
}

bool has(const CpuidTable& table, uint32_t function) {
  return std::any_of(table.begin(), table.end(),
                     [function](const Entry& entry) { return entry.function == function; });
}

void replace_topology(CpuidTable& table, uint32_t function, const CpuidConfig& config) {
  std::erase_if(table, [function](const Entry& entry) { return entry.function == function; });
  for (uint32_t index = 0; index < 3; ++index)
    table.push_back(topology_level(function, index, config));
}

// The TSC's frequency as hypervisors tell it, so that nobody has to calibrate against a timer.
void add_tsc_frequency(CpuidTable& table, const CpuidConfig& config) {
  if (config.tsc_khz == 0 || has(table, kTscFrequency)) return;
  for (Entry& entry : table)
    if (entry.function == kKvmSignature) entry.eax = std::max(entry.eax, kTscFrequency);
  Entry entry{};
  entry.function = kTscFrequency;
  entry.eax = config.tsc_khz;
  entry.ebx = kApicBusKhz;
  table.push_back(entry);
}

uint32_t highest_basic_leaf(const CpuidTable& table) {
  for (const Entry& entry : table)
    if (entry.function == kIntelBasic) return entry.eax;
  return 0;
}

}  // namespace

CpuidTable guest_cpuid(CpuidTable supported, const CpuidConfig& config) {
  CpuidTable table = std::move(supported);
  for (Entry& entry : table) adapt(entry, config);
  const uint32_t highest = highest_basic_leaf(table);
  if (highest >= kTopology) replace_topology(table, kTopology, config);
  if (highest >= kTopologyV2 && has(table, kTopologyV2))
    replace_topology(table, kTopologyV2, config);
  add_tsc_frequency(table, config);
  return table;
}

}  // namespace vireo
