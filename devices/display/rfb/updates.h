// What one viewer has asked for and does not have yet, and the updates that make up for it.
//
// Pure but for the picture it reads; one thread. Keeps a byte for each tile, the encodings'
// streams, and nothing that grows with what a viewer asks for.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "devices/display/picture/picture.h"
#include "devices/display/rfb/encoding.h"
#include "devices/display/rfb/pixel_format.h"
#include "devices/display/rfb/rfb_wire.h"
#include "vmm/base/bytes.h"

namespace vireo::display {

class Updates {
 public:
  // A screen of 1920×1080. Cutting is for the largest screens: there are viewers (vncsnapshot) that
  // say they know LastRect and wait for ever after it.
  static constexpr size_t kSlice = 8 << 20;

  // The size that the viewer was told; `with_power`: there is a power button to offer.
  Updates(Size size, bool with_power, size_t slice = kSlice);

  void set_format(const PixelFormat& format);
  void set_encodings(std::span<const int32_t> encodings);
  void request(const UpdateRequest& request);
  void refuse_desktop_size() { desktop_size_refused_ = extended_desktop_size_; }
  void refuse_power() { power_refused_ = true; }

  // `now`: whatever this makes due is written before the picture changes again.
  void picture_changed(const Change& change, Size size, bool now);

  // The viewer waits for changes.
  bool waiting() const noexcept { return requested_.has_value(); }
  // There is something to write.
  bool due() const;
  // Appends it: all of it, or, to a viewer that lets us, about a slice of it. True: the update goes
  // on with the next call, which comes before any other is begun.
  bool write(const Picture& picture, ByteWriter& out);

 private:
  enum Kind : uint8_t { kRaw, kHextile, kZrle, kTight, kKinds };

  void forget_features() noexcept;
  void set_encoding(int32_t encoding, std::optional<Kind>& kind);
  bool messages_due() const noexcept;
  bool notices_due() const noexcept;
  bool resize_due() const noexcept;
  bool can_scroll(Size size) const noexcept;
  Rect visible(Size size) const noexcept;
  void begin(const Picture& picture, ByteWriter& out);
  void put_messages(ByteWriter& out);
  void put_notices(ByteWriter& out);
  void put_resize(const Picture& picture, ByteWriter& out);
  void put_desktop_size(Size size, uint16_t reason, uint16_t status, ByteWriter& out);
  void put_cursor(ByteWriter& out);
  void take_rects(const Picture& picture, ByteWriter& out);
  void encode(const Picture& picture, const Rect& rect, ByteWriter& out);
  void set_count(ByteWriter& out, size_t count) const;
  void end(ByteWriter& out);

  // What the viewer is, wants and can.
  const bool with_power_;
  const size_t slice_;
  Size viewer_size_;
  PixelFormat format_;
  std::optional<PixelFormat> next_format_;  // from the next update on
  Kind kind_ = kRaw;
  int level_;
  bool copy_rect_ = false;
  bool last_rect_ = false;
  bool desktop_size_ = false;
  bool extended_desktop_size_ = false;

  // What it has to be told. Notes, not messages: a viewer that asks again and reads nothing is
  // told once.
  bool colour_map_due_ = false;
  bool power_offer_due_ = false;
  bool power_refused_ = false;
  bool cursor_due_ = false;
  bool extended_key_due_ = false;
  bool desktop_size_due_ = false;
  bool desktop_size_refused_ = false;
  std::optional<Rect> requested_;
  TileSet dirty_;
  std::optional<Scroll> scroll_;  // before `dirty_`

  // The update under way.
  std::vector<Rect> rects_;  // still to be written, the last one first
  bool under_way_ = false;
  bool open_ended_ = false;  // its end is told by LastRect, not by its count
  size_t count_ = 0;
  size_t count_at_ = 0;
  std::array<std::unique_ptr<Encoding>, kKinds> encodings_;
};

}  // namespace vireo::display
