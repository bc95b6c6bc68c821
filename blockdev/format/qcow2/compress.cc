#include "blockdev/format/qcow2/compress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include <fmt/core.h>

namespace vireo::blk::qcow2 {

namespace {

constexpr int kWindowBits = -12;  // raw deflate, 4 KiB window: what the format's writers use
constexpr size_t kParallel = 16;
constexpr uint64_t kRecentBytes = 1024 * 1024;
constexpr uint64_t kMinRecent = 4;
// 8 MiB, what every decoder has to have (RFC 8878, 3.1.1.1.2): more is an attempt on our memory.
constexpr int kMaxZstdWindowLog = 23;

Bytef* zlib_bytes(std::span<const std::byte> bytes) noexcept {
  return const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
}

bool inflate_all(std::span<const std::byte> from, std::span<std::byte> to) noexcept {
  z_stream stream{};
  if (inflateInit2(&stream, kWindowBits) != Z_OK) return false;
  stream.next_in = zlib_bytes(from);
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = zlib_bytes(to);
  stream.avail_out = static_cast<uInt>(to.size());
  const int result = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  return (result == Z_STREAM_END || result == Z_BUF_ERROR) && stream.avail_out == 0;
}

bool unzstd_all(std::span<const std::byte> from, std::span<std::byte> to) noexcept {
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context{ZSTD_createDCtx(),
                                                                     &ZSTD_freeDCtx};
  if (!context) return false;
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kMaxZstdWindowLog);
  ZSTD_inBuffer in{from.data(), from.size(), 0};
  ZSTD_outBuffer out{to.data(), to.size(), 0};
  while (out.pos < out.size) {
    const size_t before_in = in.pos, before_out = out.pos;
    const size_t result = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(result)) return false;
    if (in.pos == before_in && out.pos == before_out) return false;  // the input is used up
    if (result == 0 && out.pos < out.size) return false;             // the frame was too short
  }
  return true;
}

std::optional<std::vector<std::byte>> deflate_all(std::span<const std::byte> from, size_t limit) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kWindowBits, 9,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    return std::nullopt;
  std::vector<std::byte> to(limit);
  stream.next_in = zlib_bytes(from);
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = zlib_bytes(to);
  stream.avail_out = static_cast<uInt>(to.size());
  const int result = deflate(&stream, Z_FINISH);
  to.resize(limit - stream.avail_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) return std::nullopt;
  return to;
}

std::optional<std::vector<std::byte>> zstd_all(std::span<const std::byte> from, size_t limit) {
  std::vector<std::byte> to(limit);
  const size_t size =
      ZSTD_compress(to.data(), to.size(), from.data(), from.size(), ZSTD_defaultCLevel());
  if (ZSTD_isError(size)) return std::nullopt;
  to.resize(size);
  return to;
}

}  // namespace

bool decompress(Compression type, std::span<const std::byte> from,
                std::span<std::byte> to) noexcept {
  return type == Compression::zstd ? unzstd_all(from, to) : inflate_all(from, to);
}

std::optional<std::vector<std::byte>> compress(Compression type, std::span<const std::byte> from,
                                               size_t limit) {
  return type == Compression::zstd ? zstd_all(from, limit) : deflate_all(from, limit);
}

Decompressor::Decompressor(Image& image)
    : image_(image),
      max_recent_(std::max(kMinRecent, kRecentBytes / image.geometry.cluster_size())),
      places_(kParallel) {}

Decompressor::Cluster Decompressor::recent(uint64_t descriptor) {
  for (auto at = recent_.begin(); at != recent_.end(); ++at) {
    if (at->descriptor != descriptor) continue;
    recent_.splice(recent_.begin(), recent_, at);
    return at->cluster;
  }
  return nullptr;
}

Task<Outcome<Decompressor::Cluster>> Decompressor::load(uint64_t descriptor) {
  const uint64_t block = image_.file.node().limits().block;
  const CompressedRange range = decode_compressed(descriptor, image_.geometry.cluster_bits);
  if (range.offset >= image_.file.size()) {
    std::string why =
        fmt::format("a compressed cluster lies at {:#x}, beyond the end of the file", range.offset);
    const std::error_code error = co_await image_.corrupt(std::move(why));
    co_return Outcome<Cluster>{error};
  }
  const uint64_t start = align_down(range.offset, block);
  Buffer packed(align_up(range.offset + range.length, block) - start);
  const std::error_code error = co_await image_.file.read(start, packed);
  if (error) co_return Outcome<Cluster>{error};
  const auto cluster = std::make_shared<Buffer>(image_.geometry.cluster_size());
  const auto from = packed.bytes().subspan(range.offset - start, range.length);
  const auto to = cluster->bytes();
  const Compression type = image_.header.compression;
  auto work = [type, from, to]() noexcept { return decompress(type, from, to); };
  const bool good = co_await offload(image_.host.pool, image_.host.loop, work);
  if (good) co_return Outcome<Cluster>{{}, cluster};
  image_.host.log.error(
      "qcow2", fmt::format("image '{}': the compressed cluster at {:#x} is damaged", image_.name,
                           range.offset));
  co_return Outcome<Cluster>{io_error()};
}

Task<Outcome<Decompressor::Cluster>> Decompressor::shared_load(uint64_t descriptor) {
  if (const auto under_way = loading_.find(descriptor); under_way != loading_.end()) {
    const std::shared_ptr<Loading> other = under_way->second;
    co_await other->done.wait();
    co_return other->result;
  }
  const auto loading = std::make_shared<Loading>();
  loading_.emplace(descriptor, loading);
  co_await places_.acquire();
  loading->result = co_await load(descriptor);
  loading_.erase(descriptor);
  if (!loading->result.error) {
    recent_.push_front({descriptor, loading->result.value});
    if (recent_.size() > max_recent_) recent_.pop_back();
  }
  places_.release();
  loading->done.set();
  co_return loading->result;
}

Task<std::error_code> Decompressor::read(uint64_t descriptor, uint64_t in_cluster, IoVecs into) {
  Outcome<Cluster> cluster{{}, recent(descriptor)};
  if (!cluster.value) cluster = co_await shared_load(descriptor);
  if (!cluster.error) copy_to(into, cluster.value->bytes().subspan(in_cluster));
  co_return cluster.error;
}

}  // namespace vireo::blk::qcow2
