// Compressed clusters of arbitrary bytes; and arbitrary bytes, compressed and back.
#include "blockdev/format/qcow2/compress.h"
#include "blockdev/format/qcow2/on_disk.h"

using namespace vireo;
using namespace vireo::blk::qcow2;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Compression type = data[0] & 1 ? Compression::zstd : Compression::zlib;
  const size_t cluster = size_t{1} << (kMinClusterBits + (data[0] >> 1) % 9);
  const std::span bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  std::vector<std::byte> plain(cluster), again(bytes.size());
  [[maybe_unused]] const bool good = decompress(type, bytes, plain);
  const auto packed = compress(type, bytes, size);
  if (!packed) return 0;
  VMM_CHECK(decompress(type, *packed, again), "what we compress can be decompressed");
  VMM_CHECK(std::equal(again.begin(), again.end(), bytes.begin()), "and is the same");
  return 0;
}
