#include "devices/scsi/command.h"

namespace vireo::scsi {

namespace {

constexpr uint32_t kMost6 = 256;  // what a length of 0 stands for in READ(6) and WRITE(6)

BlockRange range_of_6(const Cdb& cdb) noexcept {
  const uint32_t first = (cdb[1] & 0x1fU) << 16 | cdb.be16_at(2);
  return {first, cdb[4] != 0 ? cdb[4] : kMost6};
}

}  // namespace

// The three upper bits of the operation code tell the length (SPC-4, 4.2.5.1).
BlockRange range_of(const Cdb& cdb) noexcept {
  switch (static_cast<uint8_t>(cdb.opcode()) >> 5) {
    case 0:
      return range_of_6(cdb);
    case 4:
      return {cdb.be64_at(2), cdb.be32_at(10)};
    case 5:
      return {cdb.be32_at(2), cdb.be32_at(6)};
    default:
      return {cdb.be32_at(2), cdb.be16_at(7)};
  }
}

Reply answer(const Command& command, std::span<const std::byte> data, uint64_t allocated) noexcept {
  const auto given = data.first(std::min<uint64_t>(data.size(), allocated));
  if (given.size() > total_length(command.into)) return {.overrun = true};
  copy_to(command.into, given);
  return {.transferred = given.size()};
}

Reply answer_sense(const Command& command, const Sense& sense) noexcept {
  const auto data = sense_data(sense);
  return answer(command, bytes_of(data), command.cdb[4]);
}

}  // namespace vireo::scsi
