// The floor for starting a guest: the ioctls of a Vireo start, and nothing else. With the argument
// "pc", KVM's interrupt controllers and timer instead of a split irqchip. Exits with the status the
// tiny guest asks for.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define MEMORY (256UL << 20)
#define ENTRY 0x100000UL

// mov $21, %eax; out %eax, $0xf4; hlt
static const unsigned char kGuest[] = {0xb8, 21, 0, 0, 0, 0xe7, 0xf4, 0xf4};

static long checked(const char* what, long result) {
  if (result < 0) {
    perror(what);
    exit(4);
  }
  return result;
}

static void set_protected_mode(int vcpu) {
  struct kvm_sregs s;
  checked("get sregs", ioctl(vcpu, KVM_GET_SREGS, &s));
  struct kvm_segment code = {.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
  struct kvm_segment data = code;
  data.selector = 16;
  data.type = 3;
  s.cs = code;
  s.ds = s.es = s.fs = s.gs = s.ss = data;
  s.cr0 = 0x11;
  checked("set sregs", ioctl(vcpu, KVM_SET_SREGS, &s));
  struct kvm_regs r = {.rip = ENTRY, .rflags = 2};
  checked("set regs", ioctl(vcpu, KVM_SET_REGS, &r));
}

static void create_interrupt_controllers(int vm, int pc) {
  struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
  struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
  if (!pc) {
    checked("split irqchip", ioctl(vm, KVM_ENABLE_CAP, &split));
    return;
  }
  checked("irqchip", ioctl(vm, KVM_CREATE_IRQCHIP, 0));
  checked("pit", ioctl(vm, KVM_CREATE_PIT2, &pit));
}

int main(int argc, char** argv) {
  int pc = argc > 1 && strcmp(argv[1], "pc") == 0;
  int kvm = (int)checked("open", open("/dev/kvm", O_RDWR | O_CLOEXEC));
  int vm = (int)checked("create vm", ioctl(kvm, KVM_CREATE_VM, 0));
  unsigned char* ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (ram == MAP_FAILED) return 4;
  memcpy(ram + ENTRY, kGuest, sizeof kGuest);
  struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (unsigned long)ram};
  checked("memory", ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
  unsigned long identity = 0xfeffc000;
  checked("identity map", ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity));
  checked("tss", ioctl(vm, KVM_SET_TSS_ADDR, 0xfeffd000UL));
  create_interrupt_controllers(vm, pc);

  struct kvm_cpuid2* cpuid = calloc(1, sizeof *cpuid + 256 * sizeof(struct kvm_cpuid_entry2));
  cpuid->nent = 256;
  checked("cpuid", ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
  int vcpu = (int)checked("create vcpu", ioctl(vm, KVM_CREATE_VCPU, 0));
  checked("set cpuid", ioctl(vcpu, KVM_SET_CPUID2, cpuid));
  long size = checked("mmap size", ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
  struct kvm_run* run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  set_protected_mode(vcpu);
  struct kvm_fpu fpu = {.fcw = 0x37f, .mxcsr = 0x1f80};
  checked("fpu", ioctl(vcpu, KVM_SET_FPU, &fpu));
  struct kvm_lapic_state lapic;
  checked("get lapic", ioctl(vcpu, KVM_GET_LAPIC, &lapic));
  checked("set lapic", ioctl(vcpu, KVM_SET_LAPIC, &lapic));

  checked("run", ioctl(vcpu, KVM_RUN, 0));
  if (run->exit_reason != KVM_EXIT_IO || run->io.port != 0xf4) return 4;
  return ((unsigned char*)run)[run->io.data_offset] << 1 | 1;
}
