// The KVM structures that end in an array, as C sees them. In C++ the kernel's headers make an
// empty structure one byte long, which moves the arrays and, since an ioctl's number contains the
// size of its structure, changes the numbers. Only vmm/kvm/kvm.cc needs this.
#pragma once

#include <linux/kvm.h>

#include <cstdint>

namespace vireo::kvm_abi {

struct CpuidHeader {
  uint32_t count;
  uint32_t padding;
};
struct MsrsHeader {
  uint32_t count;
  uint32_t padding;
};
struct MsrListHeader {
  uint32_t count;
};
struct SignalMaskHeader {
  uint32_t length;
};
struct RoutingHeader {
  uint32_t count;
  uint32_t flags;
};
struct Xsave {
  uint32_t region[1024];
};

inline constexpr unsigned long kGetMsrIndexList = _IOWR(KVMIO, 0x02, MsrListHeader);
inline constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, CpuidHeader);
inline constexpr unsigned long kSetGsiRouting = _IOW(KVMIO, 0x6a, RoutingHeader);
inline constexpr unsigned long kGetMsrs = _IOWR(KVMIO, 0x88, MsrsHeader);
inline constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, MsrsHeader);
inline constexpr unsigned long kSetSignalMask = _IOW(KVMIO, 0x8b, SignalMaskHeader);
inline constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, CpuidHeader);
inline constexpr unsigned long kGetXsave = _IOR(KVMIO, 0xa4, Xsave);
inline constexpr unsigned long kSetXsave = _IOW(KVMIO, 0xa5, Xsave);
inline constexpr unsigned long kGetXsave2 = _IOR(KVMIO, 0xcf, Xsave);

}  // namespace vireo::kvm_abi
