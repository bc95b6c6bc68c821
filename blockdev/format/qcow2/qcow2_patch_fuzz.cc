// A good image in which some words were changed: small inputs that go deep. The first byte chooses
// the image; each 8 bytes after it change one of its words.
#include "blockdev/format/qcow2/create.h"
#include "blockdev/testing/qcow2_hostile.h"

using namespace vireo;
using namespace vireo::blk;
using namespace vireo::blk::testing;

namespace {

struct Patch {
  le16 word;    // in the file
  uint8_t how;  // below 8: that byte of the word; otherwise the whole word
  uint8_t flags;
  le32 value;
};
static_assert(sizeof(Patch) == 8);
constexpr size_t kMaxPatches = 16;

std::vector<Qcow2CreateOptions> shapes() {
  using qcow2::Compression;
  constexpr uint64_t kSize = 200'000;
  return {{.size = kSize, .cluster_size = 512},
          {.size = kSize, .cluster_size = 512, .version = 2},
          {.size = kSize, .cluster_size = 512, .refcount_bits = 64},
          {.size = kSize, .cluster_size = 512, .refcount_bits = 1},
          {.size = kSize, .cluster_size = 4096, .lazy_refcounts = true},
          {.size = kSize, .cluster_size = 1024, .compression = Compression::zstd},
          {.size = kSize, .cluster_size = 16384, .extended_l2 = true}};
}

Task<void> scribble(Qcow2& image) {
  const uint64_t cluster = uint64_t{1} << image.header().cluster_bits;
  qcow2::Buffer buffer = qcow2::Buffer::zeros(8 * cluster);
  const WriteFlags compressed{.compressed = true};
  std::error_code error;
  for (uint64_t i = 0; i < 4 && !error; ++i) {
    IoVecs data{{buffer.data(), 3 * cluster}}, packed{{buffer.data(), cluster}};
    error = co_await image.write(i * 8 * cluster, std::move(data), WriteFlags{});
    if (!error) error = co_await image.write((i * 8 + 5) * cluster, std::move(packed), compressed);
    if (!error) error = co_await image.zero((i * 8 + 1) * cluster, cluster / 2, ZeroFlags{});
    const bool no_snapshots = image.header().refcount_order == 0;
    std::string name(1, static_cast<char>('0' + i));
    if (!error && !no_snapshots && i > 1) error = co_await image.create_snapshot(std::move(name));
  }
  if (!error) error = co_await image.close();
  VMM_CHECK(!error, "memory does not fail");
}

Task<std::vector<std::byte>> make_image(Host host, Qcow2CreateOptions options) {
  const auto storage = std::make_shared<Storage>();
  std::unique_ptr<Node> file = std::make_unique<ScriptedMemory>(storage);
  co_await create_qcow2(host, std::move(file), nullptr, std::move(options));
  file = std::make_unique<ScriptedMemory>(storage);
  OpenReference none = [](const ImageReference&) { return no_other_file(); };
  Qcow2Options open{};
  const std::unique_ptr<Qcow2> image =
      co_await open_qcow2(host, std::move(file), std::move(open), std::move(none));
  co_await scribble(*image);
  co_return storage->bytes;
}

std::vector<std::vector<std::byte>> make_images() {
  EventLoop loop;
  WorkerPool pool(1);
  std::vector<std::vector<std::byte>> images;
  for (const Qcow2CreateOptions& shape : shapes())
    images.push_back(block_on(loop, make_image(Host{.loop = loop, .pool = pool}, shape)));
  return images;
}

void change(std::vector<std::byte>& image, const Patch& patch) {
  const size_t at = patch.word % (image.size() / 8) * 8;
  const uint32_t value = patch.value;
  if (patch.how < 8)
    image[at + patch.how] = static_cast<std::byte>(value);
  else  // an offset of a 512-byte sector, and the flags that entries have
    qcow2::store_be64(image.data() + at, (uint64_t{patch.flags} << 56) | (uint64_t{value} << 9) |
                                             (patch.how & qcow2::kZeroFlag));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::vector<std::byte>> images = make_images();
  ByteReader reader(std::span(reinterpret_cast<const std::byte*>(data), size));
  std::vector<std::byte> image = images[reader.get<uint8_t>() % images.size()];
  for (size_t i = 0; i < kMaxPatches && reader.rest().size() >= sizeof(Patch); ++i)
    change(image, reader.get<Patch>());
  try_hostile(image);
  return 0;
}
