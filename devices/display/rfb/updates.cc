#include "devices/display/rfb/updates.h"

#include <algorithm>
#include <cstring>

namespace vireo::display {

namespace {

// Higher ones cost more processor time than they save bytes.
constexpr int kDefaultLevel = 3;
// Without LastRect the number of rectangles is told in 16 bits, and an encoding may cut some.
constexpr size_t kMostRects = 0x8000;
constexpr uint16_t kOpenEnded = 0xffff;

constexpr uint16_t kByServer = 0, kByThisViewer = 1;  // reasons of an ExtendedDesktopSize
constexpr uint16_t kSuccess = 0, kProhibited = 1;     // its statuses
constexpr uint8_t kXvpVersion = 1, kXvpFail = 0, kXvpInit = 1;

// Consoles draw no pointer, and a viewer's own one is often hidden: a white dot with a dark rim.
constexpr uint16_t kCursorSize = 5, kCursorHotspot = 2;
constexpr uint8_t kCursorMask[kCursorSize] = {0x70, 0xf8, 0xf8, 0xf8, 0x70};
constexpr uint8_t kCursorWhite[kCursorSize] = {0x00, 0x70, 0x70, 0x70, 0x00};

struct WireScreen {
  uint8_t count = 1, padding[3] = {};
  be32 id{0};
  be16 x{0}, y{0}, width{}, height{};
  be32 flags{0};
};

Rect joined(const Rect& a, const Rect& b) noexcept {
  if (a.width == 0 || a.height == 0) return b;
  if (b.width == 0 || b.height == 0) return a;
  const auto end = [](uint32_t at, uint32_t length) { return at + length; };
  const uint16_t x = std::min(a.x, b.x);
  const uint16_t y = std::min(a.y, b.y);
  const uint32_t right = std::max(end(a.x, a.width), end(b.x, b.width));
  const uint32_t bottom = std::max(end(a.y, a.height), end(b.y, b.height));
  return {.x = x,
          .y = y,
          .width = static_cast<uint16_t>(std::min<uint32_t>(right - x, 0xffff)),
          .height = static_cast<uint16_t>(std::min<uint32_t>(bottom - y, 0xffff))};
}

Rect clipped(const Rect& rect, const Rect& to) noexcept {
  const int right = std::min(rect.x + rect.width, to.x + to.width);
  const int bottom = std::min(rect.y + rect.height, to.y + to.height);
  if (rect.x >= right || rect.y >= bottom) return {};
  return {.x = rect.x,
          .y = rect.y,
          .width = static_cast<uint16_t>(right - rect.x),
          .height = static_cast<uint16_t>(bottom - rect.y)};
}

Rect all_of(Size size) noexcept {
  return {.x = 0, .y = 0, .width = size.width, .height = size.height};
}

void put_xvp(uint8_t code, ByteWriter& out) {
  for (const uint8_t byte : {from_server::kXvp, uint8_t{0}, kXvpVersion, code}) out.put(byte);
}

}  // namespace

Updates::Updates(Size size, bool with_power, size_t slice)
    : with_power_(with_power),
      slice_(slice),
      viewer_size_(size),
      level_(kDefaultLevel),
      dirty_(size) {
  dirty_.add(all_of(size));
}

void Updates::set_format(const PixelFormat& format) {
  next_format_ = format;
  if (format.needs_colour_map()) colour_map_due_ = true;
}

void Updates::forget_features() noexcept {
  level_ = kDefaultLevel;
  copy_rect_ = last_rect_ = desktop_size_ = extended_desktop_size_ = desktop_size_due_ = false;
}

// The viewer prefers what it names first.
void Updates::set_encodings(std::span<const int32_t> encodings) {
  forget_features();
  std::optional<Kind> kind;
  for (const int32_t encoding : encodings) set_encoding(encoding, kind);
  kind_ = kind.value_or(kRaw);
}

void Updates::set_encoding(int32_t encoding, std::optional<Kind>& kind) {
  const auto prefer = [&](Kind one) { kind = kind.value_or(one); };
  switch (encoding) {
    case encoding::kRaw:
      return prefer(kRaw);
    case encoding::kHextile:
      return prefer(kHextile);
    case encoding::kZrle:
      return prefer(kZrle);
    case encoding::kTight:
      return prefer(kTight);
    case encoding::kCopyRect:
      copy_rect_ = true;
      break;
    case encoding::kLastRect:
      last_rect_ = true;
      break;
    case encoding::kDesktopSize:
      desktop_size_ = true;
      break;
    case encoding::kExtendedDesktopSize:
      extended_desktop_size_ = desktop_size_due_ = true;
      break;
    case encoding::kCursor:
      cursor_due_ = true;
      break;
    case encoding::kExtendedKey:
      extended_key_due_ = true;
      break;
    case encoding::kXvp:
      power_offer_due_ = with_power_;
      break;
    default:
      if (encoding >= encoding::kCompressLevel0 && encoding <= encoding::kCompressLevel9)
        level_ = std::max(encoding - encoding::kCompressLevel0, 1);
  }
}

void Updates::request(const UpdateRequest& request) {
  if (!request.incremental) dirty_.add(request.rect);
  requested_ = requested_ ? joined(*requested_, request.rect) : request.rect;
}

bool Updates::resize_due() const noexcept {
  return dirty_.size() != viewer_size_ && (desktop_size_ || extended_desktop_size_);
}

// What both the screen and the viewer have.
Rect Updates::visible(Size size) const noexcept {
  return {.x = 0,
          .y = 0,
          .width = std::min(size.width, viewer_size_.width),
          .height = std::min(size.height, viewer_size_.height)};
}

// A viewer that has all of the picture, has nothing in the making, and asked for all.
bool Updates::can_scroll(Size size) const noexcept {
  const Rect all = all_of(size);
  return copy_rect_ && !under_way_ && size == viewer_size_ && requested_ &&
         clipped(*requested_, all) == all;
}

void Updates::picture_changed(const Change& change, Size size, bool now) {
  if (scroll_) {  // it was not written: the rows are sent themselves
    dirty_.add({.x = 0, .y = scroll_->first, .width = size.width, .height = scroll_->count});
    scroll_.reset();
  }
  if (change.resized) {
    dirty_ = change.tiles;
    rects_.clear();  // LastRect ends the update
    return;
  }
  if (!change.scroll || !now || !can_scroll(size)) return dirty_.add(change.tiles);
  scroll_ = change.scroll;
  dirty_.scroll(*scroll_);
  TileSet unexplained = change.tiles;
  unexplained.remove_rows(scroll_->first, size_t{scroll_->first} + scroll_->count);
  dirty_.add(unexplained);
}

bool Updates::messages_due() const noexcept {
  return colour_map_due_ || power_offer_due_ || power_refused_;
}

bool Updates::notices_due() const noexcept {
  return cursor_due_ || extended_key_due_ || desktop_size_due_ || desktop_size_refused_;
}

bool Updates::due() const {
  if (under_way_ || messages_due()) return true;
  if (!requested_) return false;
  return notices_due() || resize_due() || scroll_ ||
         dirty_.touches(clipped(*requested_, visible(dirty_.size())));
}

bool Updates::write(const Picture& picture, ByteWriter& out) {
  if (!under_way_) {
    put_messages(out);
    if (!due()) return false;
    begin(picture, out);
  }
  while (!rects_.empty()) {
    encode(picture, rects_.back(), out);
    rects_.pop_back();
    if (!last_rect_ || rects_.empty() || out.size() < slice_) continue;
    if (!open_ended_) set_count(out, kOpenEnded);
    open_ended_ = true;
    return true;
  }
  end(out);
  return false;
}

void Updates::begin(const Picture& picture, ByteWriter& out) {
  if (next_format_) format_ = *std::exchange(next_format_, std::nullopt);
  under_way_ = true;
  open_ended_ = false;
  count_ = 0;
  out.put(uint8_t{from_server::kUpdate});
  out.put(uint8_t{0});
  count_at_ = out.size();
  out.put(be16(0));
  put_notices(out);
  // The change of size stands alone: what else came with it would be lost in it.
  if (resize_due() || desktop_size_due_)
    put_resize(picture, out);
  else
    take_rects(picture, out);
  requested_.reset();
}

void Updates::put_messages(ByteWriter& out) {
  if (std::exchange(colour_map_due_, false)) put_colour_map(out);
  if (std::exchange(power_offer_due_, false)) put_xvp(kXvpInit, out);
  if (std::exchange(power_refused_, false)) put_xvp(kXvpFail, out);
}

void Updates::put_notices(ByteWriter& out) {
  if (std::exchange(cursor_due_, false)) put_cursor(out);
  if (std::exchange(extended_key_due_, false)) {
    put_rect(out, {}, encoding::kExtendedKey);
    ++count_;
  }
  if (std::exchange(desktop_size_refused_, false))
    put_desktop_size(viewer_size_, kByThisViewer, kProhibited, out);
}

void Updates::put_resize(const Picture& picture, ByteWriter& out) {
  const bool changed = viewer_size_ != picture.size();
  viewer_size_ = picture.size();
  if (extended_desktop_size_) {
    put_desktop_size(viewer_size_, kByServer, kSuccess, out);
  } else {
    put_rect(out, all_of(viewer_size_), encoding::kDesktopSize);
    ++count_;
  }
  desktop_size_due_ = false;
  if (changed) dirty_.add(all_of(viewer_size_));
}

void Updates::put_desktop_size(Size size, uint16_t reason, uint16_t status, ByteWriter& out) {
  put_rect(out, {.x = reason, .y = status, .width = size.width, .height = size.height},
           encoding::kExtendedDesktopSize);
  out.put(WireScreen{.width = size.width, .height = size.height});
  ++count_;
}

void Updates::put_cursor(ByteWriter& out) {
  put_rect(out,
           {.x = kCursorHotspot, .y = kCursorHotspot, .width = kCursorSize, .height = kCursorSize},
           encoding::kCursor);
  std::array<std::byte, 4> pixel;
  for (const uint8_t row : kCursorWhite) {
    for (int x = 0; x < kCursorSize; ++x) {
      const uint32_t value = format_.value((row << x & 0x80) != 0 ? 0xffffff : 0);
      format_.put(std::span(&value, 1), pixel.data());
      out.put(std::span<const std::byte>(pixel).first(format_.bytes()));
    }
  }
  out.put(std::as_bytes(std::span(kCursorMask)));
  ++count_;
}

void Updates::take_rects(const Picture& picture, ByteWriter& out) {
  if (scroll_) {
    put_rect(out,
             {.x = 0, .y = scroll_->first, .width = viewer_size_.width, .height = scroll_->count},
             encoding::kCopyRect);
    out.put(be16(0));
    out.put(be16(scroll_->from));
    ++count_;
    scroll_.reset();
  }
  const Rect wanted = clipped(*requested_, visible(picture.size()));
  for (const Rect& rect : dirty_.take(wanted, last_rect_ ? SIZE_MAX : kMostRects))
    for (const Rect& part : cut(rect, rect.width, Encoding::kMostPixels)) rects_.push_back(part);
  // Tiles reach beyond what a viewer has that could not follow a change of size.
  for (Rect& rect : rects_) rect = clipped(rect, visible(picture.size()));
  std::reverse(rects_.begin(), rects_.end());
}

void Updates::encode(const Picture& picture, const Rect& rect, ByteWriter& out) {
  auto& encoding = encodings_[kind_];
  if (!encoding) {
    constexpr std::array<std::unique_ptr<Encoding> (*)(), kKinds> kMake = {
        make_raw_encoding, make_hextile_encoding, make_zrle_encoding, make_tight_encoding};
    encoding = kMake[kind_]();
  }
  count_ += encoding->encode({.picture = picture, .format = format_, .level = level_}, rect, out);
}

void Updates::set_count(ByteWriter& out, size_t count) const {
  const be16 wire = static_cast<uint16_t>(count);
  std::memcpy(out.bytes().data() + count_at_, &wire, sizeof(wire));
}

void Updates::end(ByteWriter& out) {
  under_way_ = false;
  if (open_ended_)
    put_rect(out, {}, encoding::kLastRect);
  else
    set_count(out, count_);
}

}  // namespace vireo::display
