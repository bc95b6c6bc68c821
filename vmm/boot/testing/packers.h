// Packs kernels the way Linux' build does, with the compressors' own libraries.
#pragma once

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include <lz4.h>

#include "vmm/boot/testing/kernels.h"

namespace vireo::testing {

inline void require(bool condition) {
  if (!condition) std::abort();
}

inline void append_size(Bytes& packed, size_t size) {
  poke(packed, packed.size(), le32(static_cast<uint32_t>(size)));
}

inline Bytes pack_gzip(const Bytes& plain) {
  z_stream stream{};
  require(::deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes packed(::deflateBound(&stream, plain.size()));
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  require(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  ::deflateEnd(&stream);
  return packed;  // its last 4 bytes are the size
}

inline Bytes run_encoder(lzma_stream& stream, const Bytes& plain) {
  Bytes packed(::lzma_stream_buffer_bound(plain.size()));
  stream.next_in = reinterpret_cast<const uint8_t*>(plain.data());
  stream.avail_in = plain.size();
  stream.next_out = reinterpret_cast<uint8_t*>(packed.data());
  stream.avail_out = packed.size();
  require(::lzma_code(&stream, LZMA_FINISH) == LZMA_STREAM_END);
  packed.resize(stream.total_out);
  ::lzma_end(&stream);
  append_size(packed, plain.size());
  return packed;
}

// With the x86 branch filter in front, as Linux' xz_wrap.sh does.
inline Bytes pack_xz(const Bytes& plain) {
  lzma_options_lzma options;
  require(!::lzma_lzma_preset(&options, 1));
  const std::array<lzma_filter, 3> filters{lzma_filter{LZMA_FILTER_X86, nullptr},
                                           lzma_filter{LZMA_FILTER_LZMA2, &options},
                                           lzma_filter{LZMA_VLI_UNKNOWN, nullptr}};
  lzma_stream stream = LZMA_STREAM_INIT;
  require(::lzma_stream_encoder(&stream, filters.data(), LZMA_CHECK_CRC32) == LZMA_OK);
  return run_encoder(stream, plain);
}

inline Bytes pack_lzma(const Bytes& plain) {
  lzma_options_lzma options;
  require(!::lzma_lzma_preset(&options, 1));
  lzma_stream stream = LZMA_STREAM_INIT;
  require(::lzma_alone_encoder(&stream, &options) == LZMA_OK);
  return run_encoder(stream, plain);
}

inline Bytes pack_zstd(const Bytes& plain) {
  Bytes packed(::ZSTD_compressBound(plain.size()));
  packed.resize(::ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 3));
  append_size(packed, plain.size());
  return packed;
}

inline Bytes pack_lz4(const Bytes& plain) {
  constexpr size_t kBlock = 8 * MiB;
  Bytes out;
  poke(out, 0, le32(0x184c2102));
  for (size_t at = 0; at < plain.size(); at += kBlock) {
    const int size = static_cast<int>(std::min(kBlock, plain.size() - at));
    Bytes block(static_cast<size_t>(::LZ4_compressBound(size)));
    const int packed = ::LZ4_compress_default(reinterpret_cast<const char*>(plain.data() + at),
                                              reinterpret_cast<char*>(block.data()), size,
                                              static_cast<int>(block.size()));
    require(packed > 0);
    poke(out, out.size(), le32(static_cast<uint32_t>(packed)));
    out.insert(out.end(), block.begin(), block.begin() + packed);
  }
  append_size(out, plain.size());
  return out;
}

inline Bytes pack_bzip2(const Bytes& plain) {
  auto size = static_cast<unsigned>(plain.size() + plain.size() / 100 + 600);
  Bytes packed(size);
  require(::BZ2_bzBuffToBuffCompress(reinterpret_cast<char*>(packed.data()), &size,
                                     const_cast<char*>(reinterpret_cast<const char*>(plain.data())),
                                     static_cast<unsigned>(plain.size()), 1, 0, 0) == BZ_OK);
  packed.resize(size);
  append_size(packed, plain.size());
  return packed;
}

struct Packer {
  const char* name;
  Bytes (*pack)(const Bytes&);
};
inline constexpr std::array kPackers{Packer{"gzip", pack_gzip}, Packer{"xz", pack_xz},
                                     Packer{"LZMA", pack_lzma}, Packer{"zstd", pack_zstd},
                                     Packer{"LZ4", pack_lz4},   Packer{"bzip2", pack_bzip2}};

}  // namespace vireo::testing
