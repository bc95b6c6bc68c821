#include "vmm/boot/unpack.h"

#include <bzlib.h>
#include <lzma.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/core.h>
#include <lz4.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {

Pages::Pages(size_t size) : size_(size), mapped_(size) {
  void* const address = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) throw_errno("cannot get memory to unpack a file");
  data_ = static_cast<std::byte*>(address);
}

Pages::Pages(Pages&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)) {}

Pages& Pages::operator=(Pages&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

Pages::~Pages() {
  if (data_ != nullptr) ::munmap(data_, mapped_);
}

namespace {

using Bytes = std::span<const std::byte>;

// What an unpacker says: how many bytes came out, or why none did.
struct Outcome {
  enum class Kind : uint8_t { done, corrupt, unsupported } kind;
  size_t size = 0;
};
constexpr Outcome kCorrupt{Outcome::Kind::corrupt}, kUnsupported{Outcome::Kind::unsupported};
constexpr Outcome done(size_t size) {
  return {Outcome::Kind::done, size};
}

using Unpacker = Outcome (*)(Bytes packed, std::span<std::byte> into);

constexpr uint64_t kUnpackerMemory = 256 * MiB;  // dictionaries; the kernel's builds use up to 128

uint32_t as_u32(size_t size) {
  VMM_CHECK(size <= std::numeric_limits<uint32_t>::max(), "payload sizes are 32 bits wide");
  return static_cast<uint32_t>(size);
}

Outcome unpack_gzip(Bytes packed, std::span<std::byte> into) {
  z_stream stream{};
  constexpr int kGzipWithMaxWindow = 16 + MAX_WBITS;
  if (::inflateInit2(&stream, kGzipWithMaxWindow) != Z_OK) return kUnsupported;
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(packed.data()));
  stream.avail_in = as_u32(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(into.data());
  stream.avail_out = as_u32(into.size());
  const int result = ::inflate(&stream, Z_FINISH);
  const size_t size = into.size() - stream.avail_out;
  ::inflateEnd(&stream);
  if (result == Z_MEM_ERROR) return kUnsupported;
  return result == Z_STREAM_END ? done(size) : kCorrupt;
}

Outcome run_lzma(lzma_stream& stream, Bytes packed, std::span<std::byte> into) {
  stream.next_in = reinterpret_cast<const uint8_t*>(packed.data());
  stream.avail_in = packed.size();
  stream.next_out = reinterpret_cast<uint8_t*>(into.data());
  stream.avail_out = into.size();
  const lzma_ret result = ::lzma_code(&stream, LZMA_FINISH);
  const size_t size = into.size() - stream.avail_out;
  ::lzma_end(&stream);
  if (result == LZMA_OPTIONS_ERROR || result == LZMA_MEMLIMIT_ERROR || result == LZMA_MEM_ERROR)
    return kUnsupported;
  return result == LZMA_STREAM_END ? done(size) : kCorrupt;
}

Outcome unpack_xz(Bytes packed, std::span<std::byte> into) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (::lzma_stream_decoder(&stream, kUnpackerMemory, 0) != LZMA_OK) return kUnsupported;
  return run_lzma(stream, packed, into);
}

Outcome unpack_lzma(Bytes packed, std::span<std::byte> into) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (::lzma_alone_decoder(&stream, kUnpackerMemory) != LZMA_OK) return kUnsupported;
  return run_lzma(stream, packed, into);
}

Outcome unpack_zstd(Bytes packed, std::span<std::byte> into) {
  const size_t frame = ::ZSTD_findFrameCompressedSize(packed.data(), packed.size());
  if (::ZSTD_isError(frame)) return kCorrupt;
  const size_t size = ::ZSTD_decompress(into.data(), into.size(), packed.data(), frame);
  return ::ZSTD_isError(size) ? kCorrupt : done(size);
}

// The "legacy" frame of the lz4 program (LZ4 Frame format, "Legacy frame"): the magic, then blocks,
// each with its packed size in front and 8 MiB when unpacked but for the last.
Outcome unpack_lz4(Bytes packed, std::span<std::byte> into) {
  constexpr uint32_t kMagic = 0x184c2102;
  ByteReader reader(packed);
  size_t size = 0;
  while (reader.rest().size() >= sizeof(le32)) {
    const uint32_t block_size = reader.get<le32>();
    if (block_size == kMagic) continue;  // frames may follow each other
    const Bytes block = reader.take(block_size);
    if (!reader.ok() || block.empty()) return kCorrupt;
    const int room = static_cast<int>(std::min<size_t>(into.size() - size, 8 * MiB));
    const int unpacked = ::LZ4_decompress_safe(
        reinterpret_cast<const char*>(block.data()), reinterpret_cast<char*>(into.data() + size),
        static_cast<int>(std::min<size_t>(block.size(), LZ4_MAX_INPUT_SIZE)), room);
    if (unpacked < 0) return kCorrupt;
    size += static_cast<size_t>(unpacked);
  }
  return done(size);
}

Outcome unpack_bzip2(Bytes packed, std::span<std::byte> into) {
  bz_stream stream{};
  if (::BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK) return kUnsupported;
  stream.next_in = const_cast<char*>(reinterpret_cast<const char*>(packed.data()));
  stream.avail_in = as_u32(packed.size());
  stream.next_out = reinterpret_cast<char*>(into.data());
  stream.avail_out = as_u32(into.size());
  const int result = ::BZ2_bzDecompress(&stream);
  const size_t size = into.size() - stream.avail_out;
  ::BZ2_bzDecompressEnd(&stream);
  if (result == BZ_MEM_ERROR) return kUnsupported;
  return result == BZ_STREAM_END ? done(size) : kCorrupt;
}

struct Format {
  std::string_view magic;
  std::string_view name;
  bool size_is_inside;  // the unpacked size ends the stream itself, instead of following it
  Unpacker unpacker;
};
using namespace std::string_view_literals;
constexpr std::array kFormats{
    Format{"\x1f\x8b"sv, "gzip", true, unpack_gzip},
    Format{"\xfd\x37\x7a\x58\x5a\x00"sv, "xz", false, unpack_xz},
    Format{"\x5d\x00\x00"sv, "LZMA", false, unpack_lzma},
    Format{"\x28\xb5\x2f\xfd"sv, "zstd", false, unpack_zstd},
    Format{"\x02\x21\x4c\x18"sv, "LZ4", false, unpack_lz4},
    Format{"BZh"sv, "bzip2", false, unpack_bzip2},
};

const Format* recognise(Bytes payload) {
  const std::string_view text{reinterpret_cast<const char*>(payload.data()), payload.size()};
  const auto* format = std::ranges::find_if(
      kFormats, [&](const Format& candidate) { return text.starts_with(candidate.magic); });
  return format == kFormats.end() ? nullptr : format;
}

}  // namespace

std::optional<Pages> unpack_kernel(std::span<const std::byte> payload, const std::string& name) {
  const Format* format = recognise(payload);
  if (format == nullptr || payload.size() < 2 * sizeof(le32)) return std::nullopt;
  const uint64_t size = ByteReader(payload.last(sizeof(le32))).get<le32>();
  if (size == 0 || size > kMaxUnpacked)
    throw ConfigError(
        fmt::format("{} is corrupt: it says that it unpacks to {} bytes", name, size));
  Pages pages(size + 1);  // room to notice that there is more
  const Outcome outcome = format->unpacker(
      format->size_is_inside ? payload : payload.first(payload.size() - sizeof(le32)),
      pages.bytes());
  if (outcome.kind == Outcome::Kind::unsupported) return std::nullopt;
  if (outcome.kind == Outcome::Kind::corrupt || outcome.size != size)
    throw ConfigError(
        fmt::format("{} is corrupt: its {} data does not unpack to the {} bytes it promises", name,
                    format->name, size));
  pages.shrink(size);
  return pages;
}

Pages unpack_file(std::span<const std::byte> file, size_t most, const std::string& name) {
  const Format* format = recognise(file);
  if (file.size() > most || file.empty())
    throw ConfigError(
        fmt::format("{} has {} bytes, where 1 to {} are expected", name, file.size(), most));
  Pages pages(format == nullptr ? file.size() : most);
  if (format == nullptr) {
    std::ranges::copy(file, pages.bytes().begin());
    return pages;
  }
  const Outcome outcome = format->unpacker(file, pages.bytes());
  if (outcome.kind != Outcome::Kind::done)
    throw ConfigError(
        fmt::format("{} does not unpack to at most {} bytes: its {} data is corrupt, or of a kind "
                    "that is not known here",
                    name, most, format->name));
  pages.shrink(outcome.size);
  return pages;
}

}  // namespace vireo
