// Sense data: why a command did not do what it was asked (SPC-4, 4.5). Plain values; any thread.
#pragma once

#include <array>
#include <cstdint>

namespace vireo::scsi {

enum class SenseKey : uint8_t {
  no_sense = 0,
  not_ready = 2,
  medium_error = 3,
  illegal_request = 5,
  unit_attention = 6,
  data_protect = 7,
};

struct Sense {
  SenseKey key = SenseKey::no_sense;
  uint8_t code = 0;       // ADDITIONAL SENSE CODE
  uint8_t qualifier = 0;  // ADDITIONAL SENSE CODE QUALIFIER
  bool operator==(const Sense&) const = default;
};

// By the names that SPC-4, table 49 gives them.
inline constexpr Sense kNoSense{};
inline constexpr Sense kNoMediumTrayClosed{SenseKey::not_ready, 0x3a, 0x01};
inline constexpr Sense kNoMediumTrayOpen{SenseKey::not_ready, 0x3a, 0x02};
inline constexpr Sense kReadError{SenseKey::medium_error, 0x11, 0x00};
inline constexpr Sense kWriteError{SenseKey::medium_error, 0x0c, 0x00};
inline constexpr Sense kParameterListLength{SenseKey::illegal_request, 0x1a, 0x00};
inline constexpr Sense kInvalidOpcode{SenseKey::illegal_request, 0x20, 0x00};
inline constexpr Sense kBlockOutOfRange{SenseKey::illegal_request, 0x21, 0x00};
inline constexpr Sense kInvalidField{SenseKey::illegal_request, 0x24, 0x00};
inline constexpr Sense kUnitNotSupported{SenseKey::illegal_request, 0x25, 0x00};
inline constexpr Sense kInvalidParameter{SenseKey::illegal_request, 0x26, 0x00};
inline constexpr Sense kNoSavedPages{SenseKey::illegal_request, 0x39, 0x00};
inline constexpr Sense kRemovalPrevented{SenseKey::illegal_request, 0x53, 0x02};
inline constexpr Sense kMediumChanged{SenseKey::unit_attention, 0x28, 0x00};
inline constexpr Sense kResetOccurred{SenseKey::unit_attention, 0x29, 0x00};
inline constexpr Sense kWriteProtected{SenseKey::data_protect, 0x27, 0x00};
inline constexpr Sense kNoSpace{SenseKey::data_protect, 0x27, 0x07};

// Fixed format, of a current error (4.5.3).
inline constexpr std::array<uint8_t, 18> sense_data(const Sense& sense) noexcept {
  std::array<uint8_t, 18> data{};
  data[0] = 0x70;
  data[2] = static_cast<uint8_t>(sense.key);
  data[7] = data.size() - 8;
  data[12] = sense.code;
  data[13] = sense.qualifier;
  return data;
}

}  // namespace vireo::scsi
