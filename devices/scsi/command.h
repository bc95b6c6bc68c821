// A SCSI command and what comes of it. Plain values; any thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "blockdev/node.h"
#include "devices/scsi/sense.h"
#include "vmm/base/bytes.h"

namespace vireo::scsi {

enum class Opcode : uint8_t {
  test_unit_ready = 0x00,
  request_sense = 0x03,
  read_6 = 0x08,
  write_6 = 0x0a,
  inquiry = 0x12,
  mode_sense_6 = 0x1a,
  start_stop_unit = 0x1b,
  prevent_allow_medium_removal = 0x1e,
  read_capacity_10 = 0x25,
  read_10 = 0x28,
  write_10 = 0x2a,
  verify_10 = 0x2f,
  synchronize_cache_10 = 0x35,
  write_same_10 = 0x41,
  unmap = 0x42,
  read_toc = 0x43,
  get_configuration = 0x46,
  get_event_status_notification = 0x4a,
  read_disc_information = 0x51,
  mode_sense_10 = 0x5a,
  read_16 = 0x88,
  write_16 = 0x8a,
  synchronize_cache_16 = 0x91,
  write_same_16 = 0x93,
  service_action_in_16 = 0x9e,
  report_luns = 0xa0,
  read_12 = 0xa8,
  write_12 = 0xaa,
};
inline constexpr uint8_t kReadCapacity16 = 0x10;  // a service action of service_action_in_16

// A command descriptor block (SPC-4, 4.2); bytes that did not come are zero.
class Cdb {
 public:
  static constexpr size_t kMaxLength = 32;

  Cdb() = default;
  explicit Cdb(std::span<const std::byte> bytes) noexcept {
    std::copy_n(bytes.begin(), std::min(bytes.size(), bytes_.size()),
                std::as_writable_bytes(std::span(bytes_)).begin());
  }

  Opcode opcode() const noexcept { return Opcode{bytes_[0]}; }
  uint8_t operator[](size_t at) const noexcept { return bytes_[at]; }
  // `at` is a place of a big-endian T, which lies inside.
  template <Wire T>
  T get(size_t at) const noexcept {
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof(value));
    return value;
  }
  uint16_t be16_at(size_t at) const noexcept { return get<be16>(at); }
  uint32_t be32_at(size_t at) const noexcept { return get<be32>(at); }
  uint64_t be64_at(size_t at) const noexcept { return get<be64>(at); }

 private:
  std::array<uint8_t, kMaxLength> bytes_{};
};

// The blocks that a command is about, of any length of CDB (SPC-4, 4.2.2).
struct BlockRange {
  uint64_t first = 0;
  uint32_t count = 0;
};
BlockRange range_of(const Cdb& cdb) noexcept;

struct Command {
  Cdb cdb{};
  IoVecs from{};  // data-out buffer; the memory outlives the command
  IoVecs into{};  // data-in buffer
};

enum class Status : uint8_t { good = 0x00, check_condition = 0x02 };  // SAM-5, 5.3.1

struct Reply {
  Status status = Status::good;
  Sense sense{};             // of check_condition
  uint64_t transferred = 0;  // bytes of either buffer, from its start
  bool overrun = false;      // the buffer is too short for the command, which did nothing
};

inline Reply check_condition(const Sense& sense) noexcept {
  return {.status = Status::check_condition, .sense = sense};
}
// REQUEST SENSE's answer.
Reply answer_sense(const Command& command, const Sense& sense) noexcept;
// Puts an answer into the data-in buffer: no more of it than the initiator allocates.
Reply answer(const Command& command, std::span<const std::byte> data, uint64_t allocated) noexcept;

}  // namespace vireo::scsi
