// ELF kernels and multiboot images, as far as guest memory.
#include <cstdint>
#include <span>

#include "vmm/base/error.h"
#include "vmm/boot/elf.h"
#include "vmm/boot/multiboot.h"
#include "vmm/memory/layout.h"

namespace {

using namespace vireo;

void load_as_elf(const Image& image, GuestMemory& memory) {
  const ElfFile elf = parse_elf(image);
  RamMap ram(memory);
  load_segments(image, elf, memory, ram);
  if (const auto entry = elf.physical_entry()) VMM_CHECK(elf.holds(*entry), "it lies in a segment");
}

void load_as_multiboot(const Image& image, GuestMemory& memory) {
  const auto header = find_multiboot_header(image);
  if (!header) return;
  RamMap ram(memory);
  load_multiboot(image, *header, memory, ram);
}

template <class Load>
void attempt(Load load) {
  try {
    load();
  } catch (const ConfigError&) {  // what a bad kernel is to give
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryImage image("kernel 'k'", std::as_bytes(std::span(data, size)));
  GuestMemory memory({.size = 64 * MiB});
  attempt([&] { load_as_elf(image, memory); });
  attempt([&] { load_as_multiboot(image, memory); });
  return 0;
}
