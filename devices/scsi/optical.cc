#include "devices/scsi/optical.h"

#include <algorithm>
#include <concepts>

#include "vmm/base/bytes.h"

namespace vireo::scsi {

namespace {

constexpr uint8_t kDataTrack = 0x14;  // ADR 1: position; CONTROL: data, copying prohibited
constexpr uint8_t kLeadOut = 0xaa;
constexpr uint64_t kFramesPerSecond = 75;
constexpr uint64_t kMostCdBlocks = kFramesPerSecond * 60 * 80;  // more make it a DVD

// The bytes of a length field, which counts what follows it, and `body`.
template <std::unsigned_integral T>
std::vector<std::byte> with_length(ByteWriter& body) {
  ByteWriter out;
  out.put(Be<T>(static_cast<T>(body.size())));
  out.put(body.bytes());
  return out.take();
}

// A block's address, or its time on the disc, which begins after a pause of two seconds (4.2.3.5).
void put_address(ByteWriter& out, uint64_t block, bool as_time) {
  if (!as_time) return out.put(be32(static_cast<uint32_t>(std::min<uint64_t>(block, ~0U))));
  const uint64_t frames = block + 2 * kFramesPerSecond;
  const uint64_t seconds = frames / kFramesPerSecond;
  out.zeros(1);
  out.put(static_cast<uint8_t>(std::min<uint64_t>(seconds / 60, 0xff)));
  out.put(static_cast<uint8_t>(seconds % 60));
  out.put(static_cast<uint8_t>(frames % kFramesPerSecond));
}

void put_track(ByteWriter& out, uint8_t number, uint64_t block, bool as_time) {
  out.zeros(1);
  out.put(kDataTrack);
  out.put(number);
  out.zeros(1);
  put_address(out, block, as_time);
}

struct Feature {
  uint16_t code;
  bool current;
  bool persistent;
  uint8_t version;
  std::vector<uint8_t> data;
};

constexpr uint16_t kNoProfile = 0, kCdRomProfile = 0x08, kDvdRomProfile = 0x10;

uint16_t profile_of(const Tray& tray) noexcept {
  if (tray.blocks == 0) return kNoProfile;
  return tray.blocks <= kMostCdBlocks ? kCdRomProfile : kDvdRomProfile;
}

// 5.3: the features that a drive that only reads has.
std::vector<Feature> features_of(uint16_t profile) {
  const bool cd = profile == kCdRomProfile, dvd = profile == kDvdRomProfile;
  const auto is = [](bool current) { return static_cast<uint8_t>(current ? 1 : 0); };
  return {
      // Profile List.
      {0x00, true, true, 0, {0, kDvdRomProfile, is(dvd), 0, 0, kCdRomProfile, is(cd), 0}},
      // Core: the interface is SCSI; INQUIRY of any length and device busy events.
      {0x01, true, true, 2, {0, 0, 0, 1, 1, 0, 0, 0}},
      // Removable Medium: a tray that can be locked and that ejects.
      {0x03, true, true, 0, {1 << 5 | 8 | 1, 0, 0, 0}},
      // Random Readable: of blocks of 2048 bytes, by one.
      {0x10, cd || dvd, false, 0, {0, 0, 8, 0, 0, 1, 0, 0}},
      {0x1e, cd, false, 2, {0, 0, 0, 0}},   // CD Read
      {0x1f, dvd, false, 1, {0, 0, 0, 0}},  // DVD Read
  };
}

void put(ByteWriter& out, const Feature& feature) {
  out.put(be16(feature.code));
  out.put(static_cast<uint8_t>(feature.version << 2 | (feature.persistent ? 2 : 0) |
                               (feature.current ? 1 : 0)));
  out.put(static_cast<uint8_t>(feature.data.size()));
  out.put(std::as_bytes(std::span(feature.data)));
}

// 6.6.2.2: RT tells whether all features from a number on are asked for, the current ones, or one.
bool asked_for(const Cdb& cdb, const Feature& feature) noexcept {
  constexpr uint8_t kAll = 0, kCurrent = 1;
  const uint8_t request = cdb[1] & 3;
  const uint16_t start = cdb.be16_at(2);
  if (request == kAll) return feature.code >= start;
  if (request == kCurrent) return feature.code >= start && feature.current;
  return feature.code == start;
}

std::vector<std::byte> tracks(uint8_t first, bool as_time, uint64_t blocks) {
  ByteWriter body;
  body.put(uint8_t{1});  // the first track and the last
  body.put(uint8_t{1});
  if (first <= 1) put_track(body, 1, 0, as_time);
  put_track(body, kLeadOut, blocks, as_time);
  return with_length<uint16_t>(body);
}

std::vector<std::byte> sessions(bool as_time) {
  ByteWriter body;
  body.put(uint8_t{1});  // the first session and the last
  body.put(uint8_t{1});
  put_track(body, 1, 0, as_time);
  return with_length<uint16_t>(body);
}

}  // namespace

std::optional<std::vector<std::byte>> table_of_contents(const Cdb& cdb, uint64_t blocks) {
  constexpr uint8_t kTracks = 0, kSessions = 1;
  const bool as_time = (cdb[1] & 2) != 0;
  const uint8_t format = cdb[2] & 0xf;
  const uint8_t first = cdb[6];
  if (format == kSessions) return sessions(as_time);
  if (format != kTracks || (first > 1 && first != kLeadOut)) return std::nullopt;
  return tracks(first, as_time, blocks);
}

std::vector<std::byte> disc_information() {
  constexpr uint8_t kComplete = 3 << 2 | 2;  // the last session, and the disc
  ByteWriter body;
  body.put(kComplete);
  for (int i = 0; i < 4; ++i) body.put(uint8_t{1});  // first track, sessions, first and last track
  body.put(uint8_t{0x20});                           // URU: its use is not restricted
  body.zeros(25);
  body.put(uint8_t{0});
  return with_length<uint16_t>(body);
}

std::vector<std::byte> configuration(const Cdb& cdb, const Tray& tray) {
  const uint16_t profile = profile_of(tray);
  ByteWriter body;
  body.zeros(2);
  body.put(be16(profile));
  for (const Feature& feature : features_of(profile))
    if (asked_for(cdb, feature)) put(body, feature);
  return with_length<uint32_t>(body);
}

std::vector<std::byte> event_status(bool wanted, MediaEvent event, const Tray& tray) {
  constexpr uint8_t kMediaClass = 4, kNoEventAvailable = 0x80;
  ByteWriter body;
  body.put(wanted ? kMediaClass : kNoEventAvailable);
  body.put(uint8_t{1 << kMediaClass});  // the classes that there are
  if (wanted) {
    body.put(static_cast<uint8_t>(event));
    body.put(static_cast<uint8_t>((tray.open ? 1 : 0) | (tray.blocks != 0 ? 2 : 0)));
    body.zeros(2);
  }
  return with_length<uint16_t>(body);
}

}  // namespace vireo::scsi
