// Finds out what kind of KVM this host has, by running a guest of a few instructions.
// Thread: any. Nothing stays behind.
#pragma once

#include <cstdint>
#include <string>

namespace vireo::cli {

struct KvmProbe {
  enum class Kind : uint8_t {
    hardware,    // ordinary guests run
    page_table,  // tiny guests run, ordinary kernels do not: no hardware virtualisation underneath
    broken,      // there, but a guest of a few instructions does not run; `problem` says why
    absent,      // not usable at all; `problem` says why
  };
  Kind kind = Kind::absent;
  std::string problem{};
};

KvmProbe probe_kvm(const std::string& device = "/dev/kvm");

// Whether the processor says that it can run guests by itself (svm or vmx in /proc/cpuinfo).
bool has_hardware_virtualisation(const std::string& cpuinfo = "/proc/cpuinfo");

}  // namespace vireo::cli
