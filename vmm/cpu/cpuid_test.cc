#include "vmm/cpu/cpuid.h"

#include <catch2/catch.hpp>

namespace vireo {
namespace {

using Entry = kvm_cpuid_entry2;

Entry leaf(uint32_t function, uint32_t eax = 0, uint32_t ebx = 0, uint32_t ecx = 0,
           uint32_t edx = 0, uint32_t index = 0) {
  Entry entry{};
  entry.function = function;
  entry.index = index;
  entry.eax = eax;
  entry.ebx = ebx;
  entry.ecx = ecx;
  entry.edx = edx;
  return entry;
}

const Entry& find(const CpuidTable& table, uint32_t function, uint32_t index = 0) {
  for (const Entry& entry : table)
    if (entry.function == function && entry.index == index) return entry;
  FAIL("leaf " << std::hex << function << " is missing");
  return table.front();
}

CpuidTable host() {
  return {leaf(0x0, 0x1f),
          leaf(0x1, 0x800f12, 0x07100800, ~0U, ~0U),
          leaf(0x4, 0xfc004121),
          leaf(0x4, 0xfc01c163, 0, 0, 0, 3),
          leaf(0x6, 0x77, 2, 9),
          leaf(0xa, 0x07300404, 0, 0, 0x603),
          leaf(0xb, 1, 2, 0x100, 7),
          leaf(0x1f, 1, 2, 0x100, 7),
          leaf(0x40000000, 0x40000001),
          leaf(0x80000001, 0, 0, ~0U, ~0U),
          leaf(0x80000008, 0x3030, 0, 0x701f),
          leaf(0x8000001e, 7, 0x0103, 0x0301)};
}

TEST_CASE("each vCPU has its own APIC id, in every leaf that tells it") {
  const auto table = guest_cpuid(host(), {.vcpu = 3, .vcpus = 4});
  CHECK(find(table, 0x1).ebx >> 24 == 3);
  CHECK((find(table, 0x1).ebx >> 16 & 0xff) == 4);
  CHECK(find(table, 0xb).edx == 3);
  CHECK(find(table, 0x1f, 1).edx == 3);
  CHECK(find(table, 0x8000001e).eax == 3);
}

TEST_CASE("the topology is one package of single-threaded cores") {
  const auto table = guest_cpuid(host(), {.vcpu = 0, .vcpus = 6});
  const Entry& thread = find(table, 0xb, 0);
  CHECK(thread.ebx == 1);
  CHECK(thread.eax == 0);
  CHECK((thread.ecx >> 8 & 0xff) == 1);
  const Entry& core = find(table, 0xb, 1);
  CHECK(core.ebx == 6);
  CHECK(core.eax == 3);  // 3 bits number 6 cores
  CHECK((core.ecx >> 8 & 0xff) == 2);
  CHECK((find(table, 0xb, 2).ecx >> 8 & 0xff) == 0);
  CHECK((find(table, 0x80000008).ecx & 0xff) == 5);
  CHECK((find(table, 0x4, 0).eax >> 14 & 0xfff) == 0);
  CHECK((find(table, 0x4, 3).eax >> 14 & 0xfff) == 5);
}

TEST_CASE("a single vCPU does not claim threads") {
  const auto table = guest_cpuid(host(), {});
  CHECK((find(table, 0x1).edx >> 28 & 1) == 0);
  CHECK((find(table, 0x80000001).ecx >> 1 & 1) == 0);
}

TEST_CASE("what is only the host's is not told") {
  const auto table = guest_cpuid(host(), {});
  CHECK(find(table, 0xa).eax == 0);
  CHECK(find(table, 0x6).ecx == 0);
  CHECK((find(table, 0x1).ecx >> 3 & 1) == 0);          // MONITOR
  CHECK((find(table, 0x1).ecx >> 5 & 1) == 0);          // VMX
  CHECK((find(table, 0x80000001).ecx >> 2 & 1) == 0);   // SVM
  CHECK((find(table, 0x80000001).ecx >> 23 & 1) == 0);  // extended performance counters
}

TEST_CASE("hypervisor, x2APIC and, where KVM has it, the TSC deadline are told") {
  const auto with = guest_cpuid(host(), {.tsc_deadline = true, .tsc_khz = 2'600'000});
  CHECK((find(with, 0x1).ecx >> 31 & 1) == 1);
  CHECK((find(with, 0x1).ecx >> 21 & 1) == 1);
  CHECK((find(with, 0x1).ecx >> 24 & 1) == 1);
  CHECK(find(with, 0x40000010).eax == 2'600'000);
  CHECK(find(with, 0x40000000).eax == 0x40000010);
  const auto without = guest_cpuid(host(), {.tsc_deadline = false});
  CHECK((find(without, 0x1).ecx >> 24 & 1) == 0);
  CHECK(find(without, 0x40000000).eax == 0x40000001);
}

}  // namespace
}  // namespace vireo
