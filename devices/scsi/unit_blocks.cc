// The commands of a unit that read or change blocks of its medium (SBC-3, 5).
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "devices/scsi/unit.h"
#include "vmm/base/bytes.h"

namespace vireo::scsi {

namespace {

constexpr size_t kBounce = 64 << 10;  // bytes of our own for one command

bool fits(const BlockRange& range, uint64_t blocks) noexcept {
  return range.first <= blocks && range.count <= blocks - range.first;
}

uint64_t bytes_in(const BlockRange& range, uint32_t block) noexcept {
  return uint64_t{range.count} * block;
}

// RDPROTECT, WRPROTECT and VRPROTECT: no medium here has protection information (4.22).
bool asks_for_protection(const Cdb& cdb) noexcept {
  const bool short_form = static_cast<uint8_t>(cdb.opcode()) < 0x20;
  return !short_form && cdb[1] >> 5 != 0;
}

bool forced_access(const Cdb& cdb) noexcept {
  constexpr uint8_t kForced = 8;
  return cdb.opcode() != Opcode::write_6 && (cdb[1] & kForced) != 0;
}

bool lacks_space(std::error_code error) noexcept {
  return error == std::errc::no_space_on_device ||
         error == std::error_code(EDQUOT, std::system_category());
}

Reply written(std::error_code error, uint64_t transferred = 0) noexcept {
  if (!error) return {.transferred = transferred};
  if (error == std::errc::read_only_file_system) return check_condition(kWriteProtected);
  return check_condition(lacks_space(error) ? kNoSpace : kWriteError);
}

iovec buffer_of(std::vector<std::byte>& bytes, uint64_t length) noexcept {
  return {bytes.data(), static_cast<size_t>(length)};
}

}  // namespace

Task<Reply> Unit::read(Command command) {
  const Medium in = *medium();
  const BlockRange range = range_of(command.cdb);
  if (asks_for_protection(command.cdb)) co_return check_condition(kInvalidField);
  if (!fits(range, in.blocks)) co_return check_condition(kBlockOutOfRange);
  const uint64_t length = bytes_in(range, in.block);
  if (length > total_length(command.into)) co_return Reply{.overrun = true};
  if (length == 0) co_return Reply{};
  IoVecs into = slice(command.into, 0, length);
  const std::error_code error = co_await in.disk->read(range.first * in.block, std::move(into));
  if (error) co_return check_condition(kReadError);
  co_return Reply{.transferred = length};
}

Task<Reply> Unit::write(Command command) {
  const Medium in = *medium();
  const BlockRange range = range_of(command.cdb);
  if (asks_for_protection(command.cdb)) co_return check_condition(kInvalidField);
  if (!fits(range, in.blocks)) co_return check_condition(kBlockOutOfRange);
  const uint64_t length = bytes_in(range, in.block);
  if (length > total_length(command.from)) co_return Reply{.overrun = true};
  if (in.disk->limits().read_only) co_return check_condition(kWriteProtected);
  if (length == 0) co_return Reply{};
  const blk::WriteFlags flags{.fua = forced_access(command.cdb)};
  IoVecs from = slice(command.from, 0, length);
  const std::error_code error =
      co_await in.disk->write(range.first * in.block, std::move(from), flags);
  co_return written(error, length);
}

// 5.31: without BYTCHK it is enough that the blocks can be read.
Task<Reply> Unit::verify(Command command) {
  constexpr uint8_t kCompare = 6;
  const Medium in = *medium();
  const BlockRange range = range_of(command.cdb);
  if (asks_for_protection(command.cdb) || (command.cdb[1] & kCompare) != 0)
    co_return check_condition(kInvalidField);
  if (!fits(range, in.blocks)) co_return check_condition(kBlockOutOfRange);
  std::vector<std::byte> bounce(kBounce);
  const uint64_t end = (range.first + range.count) * in.block;
  for (uint64_t at = range.first * in.block; at < end; at += bounce.size()) {
    IoVecs into{buffer_of(bounce, std::min<uint64_t>(bounce.size(), end - at))};
    const std::error_code error = co_await in.disk->read(at, std::move(into));
    if (error) co_return check_condition(kReadError);
  }
  co_return Reply{};
}

// 5.20: all of the cache, whatever range is asked for; it is never wrong to write more.
Task<Reply> Unit::synchronize(Command command) {
  const Medium in = *medium();
  if (!fits(range_of(command.cdb), in.blocks)) co_return check_condition(kBlockOutOfRange);
  const std::error_code error = co_await in.disk->flush();
  co_return written(error);
}

// MMC-6, 6.47, and SBC-3, 5.22: a tray moves, and who stops a disk wants its cache written. There
// is nothing that turns, so that a stopped disk serves commands like one that starts by itself.
Task<Reply> Unit::start_stop(Command command) {
  constexpr uint8_t kStart = 1, kTrayMoves = 2, kPowerCondition = 0xf0;
  const uint8_t what = command.cdb[4];
  const bool start = (what & kStart) != 0;
  if ((what & kPowerCondition) != 0) co_return Reply{};
  if (kind() == UnitKind::cdrom) co_return (what & kTrayMoves) != 0 ? move_tray(!start) : Reply{};
  const std::shared_ptr<blk::Disk> disk = disk_;
  if (start) co_return Reply{};
  const std::error_code error = co_await disk->flush();
  co_return written(error);
}

namespace {

struct UnmapHeader {
  be16 data_length;
  be16 ranges_length;
  be32 reserved;
};
struct UnmapRange {
  be64 first;
  be32 count;
  be32 reserved;
};

// 5.28.2: what the initiator sends with UNMAP.
struct UnmapList {
  std::optional<Sense> wrong{};
  std::vector<BlockRange> ranges{};
};

UnmapList read_unmap_list(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const auto header = reader.get<UnmapHeader>();
  if (!reader.ok()) return {.wrong = kParameterListLength};
  const size_t length = std::min<size_t>(header.ranges_length, reader.rest().size());
  const size_t count = length / sizeof(UnmapRange);
  if (count > kMaxUnmapRanges) return {.wrong = kInvalidParameter};
  UnmapList list;
  for (size_t i = 0; i < count; ++i) {
    const auto range = reader.get<UnmapRange>();
    list.ranges.push_back({range.first, range.count});
  }
  return list;
}

}  // namespace

Task<Reply> Unit::unmap(Command command) {
  constexpr uint8_t kAnchor = 1;
  constexpr size_t kMostBytes = sizeof(UnmapHeader) + (kMaxUnmapRanges + 1) * sizeof(UnmapRange);
  const Medium in = *medium();
  const size_t length = command.cdb.be16_at(7);
  if (!provisioning().can_unmap) co_return check_condition(kInvalidOpcode);
  if ((command.cdb[1] & kAnchor) != 0) co_return check_condition(kInvalidField);
  if (length > total_length(command.from)) co_return Reply{.overrun = true};
  if (length == 0) co_return Reply{};
  std::vector<std::byte> parameters(std::min(length, kMostBytes));
  copy_from(parameters, command.from);
  const UnmapList list = read_unmap_list(parameters);
  if (list.wrong) co_return check_condition(*list.wrong);
  for (const BlockRange& range : list.ranges) {
    if (!fits(range, in.blocks)) co_return check_condition(kBlockOutOfRange);
    if (range.count > kMaxUnmapBytes / in.block) co_return check_condition(kInvalidParameter);
  }
  for (const BlockRange& range : list.ranges) {
    const uint64_t bytes = bytes_in(range, in.block);
    const std::error_code error = co_await in.disk->discard(range.first * in.block, bytes);
    if (error) co_return written(error);
  }
  co_return Reply{.transferred = length};
}

// 5.44 and 5.45. A block of zeros, or none (NDOB), may unmap; another is written over and over.
Task<Reply> Unit::write_same(Command command) {
  constexpr uint8_t kUnmap = 8, kAnchor = 0x10, kNoBlock = 1;
  const Medium in = *medium();
  const BlockRange range = range_of(command.cdb);
  const bool may_unmap = (command.cdb[1] & kUnmap) != 0;
  const bool no_block =
      command.cdb.opcode() == Opcode::write_same_16 && (command.cdb[1] & kNoBlock) != 0;
  const bool can_be = range.count != 0 && range.count <= kMaxWriteSameBytes / in.block &&
                      (!may_unmap || provisioning().can_unmap);
  if (asks_for_protection(command.cdb) || (command.cdb[1] & kAnchor) != 0 || !can_be)
    co_return check_condition(kInvalidField);
  if (!fits(range, in.blocks)) co_return check_condition(kBlockOutOfRange);
  if (in.disk->limits().read_only) co_return check_condition(kWriteProtected);
  std::vector<std::byte> block(in.block);
  if (!no_block && total_length(command.from) < block.size()) co_return Reply{.overrun = true};
  if (!no_block) copy_from(block, command.from);
  if (!all_zero(block)) co_return co_await repeat_block(in, range, std::move(block));
  const blk::ZeroFlags flags{.may_unmap = may_unmap};
  const uint64_t length = bytes_in(range, in.block);
  const std::error_code error = co_await in.disk->zero(range.first * in.block, length, flags);
  co_return written(error, no_block ? 0 : block.size());
}

Task<Reply> Unit::repeat_block(Medium medium, BlockRange range, std::vector<std::byte> block) {
  std::vector<std::byte> bounce(std::min<uint64_t>(kBounce, bytes_in(range, medium.block)));
  for (size_t at = 0; at < bounce.size(); at += block.size())
    std::copy(block.begin(), block.end(), bounce.begin() + static_cast<ptrdiff_t>(at));
  const uint64_t end = (range.first + range.count) * medium.block;
  for (uint64_t at = range.first * medium.block; at < end; at += bounce.size()) {
    IoVecs from{buffer_of(bounce, std::min<uint64_t>(bounce.size(), end - at))};
    const std::error_code error = co_await medium.disk->write(at, std::move(from));
    if (error) co_return written(error);
  }
  co_return Reply{.transferred = block.size()};
}

}  // namespace vireo::scsi
