// Raw (RFC 6143, 7.7.1): the pixels as they are.
#include <vector>

#include "devices/display/rfb/encoding.h"

namespace vireo::display {

namespace {

class RawEncoding final : public Encoding {
 public:
  size_t encode(const View& view, const Rect& rect, ByteWriter& out) override {
    put_rect(out, rect, encoding::kRaw);
    const size_t begin = out.size();
    out.zeros(size_t{rect.width} * rect.height * view.format.bytes());
    std::byte* to = out.bytes().data() + begin;
    values_.resize(rect.width);
    for (size_t y = rect.y; y < size_t{rect.y} + rect.height; ++y) {
      view.format.convert(view.picture.row(y).subspan(rect.x, rect.width), values_);
      to = view.format.put(values_, to);
    }
    return 1;
  }

 private:
  std::vector<uint32_t> values_;
};

}  // namespace

std::unique_ptr<Encoding> make_raw_encoding() {
  return std::make_unique<RawEncoding>();
}

}  // namespace vireo::display
