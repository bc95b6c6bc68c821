// A whole image of arbitrary bytes.
#include "blockdev/testing/qcow2_hostile.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  vireo::blk::testing::try_hostile({bytes, bytes + size});
  return 0;
}
