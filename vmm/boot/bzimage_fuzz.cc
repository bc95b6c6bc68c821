// bzImage headers, and what is packed in them: as an image, and as a bare payload.
#include <cstdint>
#include <span>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/boot/boot_params.h"
#include "vmm/boot/bzimage.h"
#include "vmm/boot/elf.h"
#include "vmm/boot/unpack.h"
#include "vmm/memory/layout.h"

namespace {

using namespace vireo;

constexpr uint32_t kLargest = 4 * MiB;  // larger promises only cost time

void unpack(std::span<const std::byte> payload) {
  if (payload.size() < sizeof(le32)) return;
  if (ByteReader(payload.last(sizeof(le32))).get<le32>() > kLargest) return;
  const auto pages = unpack_kernel(payload, "kernel 'k'");
  if (!pages) return;
  const MemoryImage unpacked("kernel 'k'", pages->bytes());
  if (is_elf(unpacked)) parse_elf(unpacked);
}

void load(const Image& image) {
  const auto bzimage = parse_bzimage(image);
  if (!bzimage) return;
  make_zero_page({.setup_header = bzimage->setup_header});
  std::vector<std::byte> code(bzimage->code.length);
  image.load(bzimage->code.offset, code);
  if (!bzimage->payload) return;
  std::vector<std::byte> payload(bzimage->payload->length);
  image.read(bzimage->payload->offset, payload);
  unpack(payload);
}

template <class Function>
void attempt(Function function) {
  try {
    function();
  } catch (const ConfigError&) {  // what a bad kernel is to give
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  attempt([&] { load(MemoryImage("kernel 'k'", bytes)); });
  attempt([&] { unpack(bytes); });
  attempt([&] { unpack_file(bytes, kLargest, "file 'f'"); });
  return 0;
}
