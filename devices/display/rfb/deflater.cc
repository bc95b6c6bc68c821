#include "devices/display/rfb/deflater.h"

#include <zlib.h>

#include "vmm/base/error.h"

namespace vireo::display {

// What deflate() adds to a bound for the flush behind every piece.
constexpr size_t kFlush = 64;

struct Deflater::Stream {
  explicit Stream(int first_level) : level(first_level) {
    VMM_CHECK(::deflateInit(&zlib, level) == Z_OK, "there is memory for a zlib stream");
  }
  ~Stream() { ::deflateEnd(&zlib); }
  void set_level(int wanted) {
    if (wanted == level) return;
    level = wanted;
    VMM_CHECK(::deflateParams(&zlib, level, Z_DEFAULT_STRATEGY) == Z_OK,
              "nothing is left to be written when the level changes");
  }

  z_stream zlib{};
  int level;
};

Deflater::Deflater() = default;
Deflater::~Deflater() = default;

std::span<const std::byte> Deflater::compress(std::span<const std::byte> bytes, int level) {
  if (!stream_) stream_ = std::make_unique<Stream>(level);
  z_stream& zlib = stream_->zlib;
  const size_t room = ::deflateBound(&zlib, bytes.size()) + kFlush;
  if (out_.size() < room) out_.resize(room);
  zlib.next_out = reinterpret_cast<Bytef*>(out_.data());
  zlib.avail_out = static_cast<uInt>(out_.size());
  zlib.avail_in = 0;
  stream_->set_level(level);
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
  zlib.avail_in = static_cast<uInt>(bytes.size());
  VMM_CHECK(::deflate(&zlib, Z_SYNC_FLUSH) == Z_OK && zlib.avail_in == 0 && zlib.avail_out > 0,
            "a zlib stream takes what it is given");
  return std::span(out_).first(out_.size() - zlib.avail_out);
}

}  // namespace vireo::display
