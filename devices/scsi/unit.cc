#include "devices/scsi/unit.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <utility>
#include <vector>

#include "devices/scsi/mode_pages.h"
#include "vmm/base/bytes.h"

namespace vireo::scsi {

// Either kind of function; who needs the medium is not called without one.
struct Unit::Operation {
  enum Kinds : uint8_t { kAny, kDisk, kCdrom };
  enum Needs : uint8_t {
    kNothing,    // served whatever has happened (SPC-4, 5.14, and MMC-6, 4.1.6)
    kAttention,  // not before the initiator knows what has happened
    kMedium,     // nor without a medium
  };
  Opcode opcode;
  Kinds kinds;
  Needs needs;
  Reply (Unit::*answer)(const Command&) = nullptr;
  Task<Reply> (Unit::*run)(Command) = nullptr;
};

const Unit::Operation* Unit::find(Opcode opcode, UnitKind kind) noexcept {
  using O = Operation;
  static constexpr auto kOperations = std::to_array<Operation>({
      {Opcode::inquiry, O::kAny, O::kNothing, &Unit::inquiry},
      {Opcode::report_luns, O::kAny, O::kNothing, &Unit::report_luns},
      {Opcode::request_sense, O::kAny, O::kNothing, &Unit::request_sense},
      {Opcode::test_unit_ready, O::kAny, O::kMedium, &Unit::test_unit_ready},
      {Opcode::read_capacity_10, O::kAny, O::kMedium, &Unit::read_capacity_10},
      {Opcode::service_action_in_16, O::kAny, O::kMedium, &Unit::read_capacity_16},
      {Opcode::mode_sense_6, O::kAny, O::kAttention, &Unit::mode_sense_6},
      {Opcode::mode_sense_10, O::kAny, O::kAttention, &Unit::mode_sense_10},
      {Opcode::prevent_allow_medium_removal, O::kCdrom, O::kAttention, &Unit::prevent_removal},
      {Opcode::read_toc, O::kCdrom, O::kMedium, &Unit::read_toc},
      {Opcode::get_configuration, O::kCdrom, O::kNothing, &Unit::get_configuration},
      {Opcode::get_event_status_notification, O::kCdrom, O::kNothing, &Unit::get_event_status},
      {Opcode::read_disc_information, O::kCdrom, O::kMedium, &Unit::read_disc_information},
      {Opcode::start_stop_unit, O::kAny, O::kAttention, nullptr, &Unit::start_stop},
      {Opcode::read_6, O::kDisk, O::kMedium, nullptr, &Unit::read},
      {Opcode::read_10, O::kAny, O::kMedium, nullptr, &Unit::read},
      {Opcode::read_12, O::kAny, O::kMedium, nullptr, &Unit::read},
      {Opcode::read_16, O::kAny, O::kMedium, nullptr, &Unit::read},
      {Opcode::write_6, O::kDisk, O::kMedium, nullptr, &Unit::write},
      {Opcode::write_10, O::kDisk, O::kMedium, nullptr, &Unit::write},
      {Opcode::write_12, O::kDisk, O::kMedium, nullptr, &Unit::write},
      {Opcode::write_16, O::kDisk, O::kMedium, nullptr, &Unit::write},
      {Opcode::verify_10, O::kAny, O::kMedium, nullptr, &Unit::verify},
      {Opcode::synchronize_cache_10, O::kAny, O::kMedium, nullptr, &Unit::synchronize},
      {Opcode::synchronize_cache_16, O::kDisk, O::kMedium, nullptr, &Unit::synchronize},
      {Opcode::unmap, O::kDisk, O::kMedium, nullptr, &Unit::unmap},
      {Opcode::write_same_10, O::kDisk, O::kMedium, nullptr, &Unit::write_same},
      {Opcode::write_same_16, O::kDisk, O::kMedium, nullptr, &Unit::write_same},
  });
  const auto other = kind == UnitKind::disk ? O::kCdrom : O::kDisk;
  const auto found = std::find_if(
      kOperations.begin(), kOperations.end(),
      [&](const Operation& known) { return known.opcode == opcode && known.kinds != other; });
  return found != kOperations.end() ? &*found : nullptr;
}

Unit::Unit(Identity identity, std::unique_ptr<blk::Disk> medium, const UnitState& state)
    : identity_(std::move(identity)), disk_(std::move(medium)), state_(state) {}

Task<Reply> Unit::execute(Command command) {
  const Operation* const operation = find(command.cdb.opcode(), kind());
  if (operation != nullptr && operation->needs == Operation::kNothing)
    co_return (this->*operation->answer)(command);
  if (has_attention()) co_return check_condition(take_attention());
  if (operation == nullptr) co_return check_condition(kInvalidOpcode);
  if (operation->needs == Operation::kMedium && !medium()) co_return check_condition(absence());
  if (operation->answer != nullptr) co_return (this->*operation->answer)(command);
  co_return co_await (this->*operation->run)(std::move(command));
}

// A part of a block at the end cannot be read.
std::optional<Unit::Medium> Unit::medium() const {
  if (!disk_ || state_.tray_open) return std::nullopt;
  const uint32_t block = kind() == UnitKind::cdrom ? kCdBlock : disk_->limits().logical_block;
  const uint64_t blocks = disk_->limits().size / block;
  if (blocks == 0) return std::nullopt;
  return Medium{disk_, block, blocks};
}

// The reset first: it is what else there is to tell that the initiator has to see anew.
Sense Unit::take_attention() noexcept {
  if (std::exchange(state_.reset_attention, false)) return kResetOccurred;
  state_.medium_attention = false;
  return kMediumChanged;
}

Sense Unit::absence() const noexcept {
  return state_.tray_open ? kNoMediumTrayOpen : kNoMediumTrayClosed;
}

Tray Unit::tray() const {
  const auto in = medium();
  return {state_.tray_open, in ? in->blocks : 0};
}

// --- what it says of itself ---

Reply Unit::test_unit_ready(const Command& /*command*/) {
  return {};
}

// SPC-4, 6.39: what the next command would end with, for sense data go with each status.
Reply Unit::request_sense(const Command& command) {
  if ((command.cdb[1] & 1) != 0) return check_condition(kInvalidField);  // descriptor format
  Sense sense = medium() ? kNoSense : absence();
  if (has_attention()) sense = take_attention();
  return answer_sense(command, sense);
}

Provisioning Unit::provisioning() const {
  if (!disk_ || kind() == UnitKind::cdrom) return {};
  const blk::Limits& limits = disk_->limits();
  const uint32_t block = limits.logical_block;
  const uint32_t optimal = std::clamp<uint32_t>(std::max(limits.optimal_block, limits.block), block,
                                                block * std::numeric_limits<uint16_t>::max());
  return {block, optimal, limits.can_discard && !limits.read_only};
}

Reply Unit::inquiry(const Command& command) {
  const bool vital = (command.cdb[1] & 1) != 0;
  const uint8_t page = command.cdb[2];
  const uint16_t allocated = command.cdb.be16_at(3);
  if (!vital && page != 0) return check_condition(kInvalidField);
  if (!vital) return answer(command, standard_inquiry(identity_), allocated);
  const auto data = vital_product_data(page, identity_, provisioning());
  return data ? answer(command, *data, allocated) : check_condition(kInvalidField);
}

// SPC-4, 6.33: this one, or the well-known ones, of which there are none.
Reply Unit::report_luns(const Command& command) {
  constexpr uint8_t kWellKnown = 1, kMostReport = 2;
  const uint8_t which = command.cdb[2];
  if (which > kMostReport) return check_condition(kInvalidField);
  const uint32_t length = which == kWellKnown ? 0 : 8;
  ByteWriter out;
  out.put(be32(length));
  out.zeros(4 + length);
  return answer(command, out.bytes(), command.cdb.be32_at(6));
}

Reply Unit::read_capacity_10(const Command& command) {
  const auto in = medium();
  ByteWriter out;
  out.put(be32(static_cast<uint32_t>(
      std::min<uint64_t>(in->blocks - 1, std::numeric_limits<uint32_t>::max()))));
  out.put(be32(in->block));
  return answer(command, out.bytes(), out.size());
}

Reply Unit::read_capacity_16(const Command& command) {
  constexpr uint8_t kThin = 0x80;  // LBPME
  constexpr uint32_t kMostPhysical = 4096;
  if ((command.cdb[1] & 0x1f) != kReadCapacity16) return check_condition(kInvalidField);
  const auto in = medium();
  const Provisioning blocks = provisioning();
  const uint32_t physical = std::min(std::bit_floor(blocks.optimal_block), kMostPhysical);
  ByteWriter out;
  out.put(be64(in->blocks - 1));
  out.put(be32(in->block));
  out.zeros(1);
  out.put(static_cast<uint8_t>(physical > in->block ? std::countr_zero(physical / in->block) : 0));
  out.put(blocks.can_unmap ? kThin : uint8_t{0});
  out.zeros(17);
  return answer(command, out.bytes(), command.cdb.be32_at(10));
}

// --- modes ---

uint8_t Unit::device_specific() const {
  constexpr uint8_t kReadOnly = 0x80, kForcedAccess = 0x10;
  if (kind() == UnitKind::cdrom) return 0;  // MMC-6 has no such field
  return disk_->limits().read_only ? kReadOnly | kForcedAccess : kForcedAccess;
}

Sense Unit::mode_refusal(const Cdb& cdb) const noexcept {
  constexpr uint8_t kSaved = 3;
  return cdb[2] >> 6 == kSaved ? kNoSavedPages : kInvalidField;
}

// SPC-4, 6.11: without saved values or subpages. The default values are the current ones.
std::optional<std::vector<std::byte>> Unit::mode_data(const Cdb& cdb) const {
  constexpr uint8_t kChangeable = 1, kSaved = 3, kAllSubpages = 0xff;
  const uint8_t control = cdb[2] >> 6, subpage = cdb[3];
  if (control == kSaved || (subpage != 0 && subpage != kAllSubpages)) return std::nullopt;
  const auto page = static_cast<uint8_t>(cdb[2] & 0x3f);
  return mode_pages({page, control == kChangeable}, kind(), state_.removal_prevented);
}

Reply Unit::mode_sense_6(const Command& command) {
  const auto pages = mode_data(command.cdb);
  if (!pages) return check_condition(mode_refusal(command.cdb));
  ByteWriter out;
  out.put(static_cast<uint8_t>(3 + pages->size()));
  out.zeros(1);
  out.put(device_specific());
  out.zeros(1);
  out.put(std::span<const std::byte>(*pages));
  return answer(command, out.bytes(), command.cdb[4]);
}

Reply Unit::mode_sense_10(const Command& command) {
  const auto pages = mode_data(command.cdb);
  if (!pages) return check_condition(mode_refusal(command.cdb));
  ByteWriter out;
  out.put(be16(static_cast<uint16_t>(6 + pages->size())));
  out.zeros(1);
  out.put(device_specific());
  out.zeros(4);
  out.put(std::span<const std::byte>(*pages));
  return answer(command, out.bytes(), command.cdb.be16_at(7));
}

// --- CD-ROMs ---

// MMC-6, 6.16: the persistent kind, too, is of the one initiator that there is.
Reply Unit::prevent_removal(const Command& command) {
  state_.removal_prevented = (command.cdb[4] & 1) != 0;
  return {};
}

Reply Unit::read_toc(const Command& command) {
  const auto data = table_of_contents(command.cdb, medium()->blocks);
  return data ? answer(command, *data, command.cdb.be16_at(7)) : check_condition(kInvalidField);
}

Reply Unit::read_disc_information(const Command& command) {
  if ((command.cdb[1] & 7) != 0) return check_condition(kInvalidField);
  return answer(command, disc_information(), command.cdb.be16_at(7));
}

Reply Unit::get_configuration(const Command& command) {
  if ((command.cdb[1] & 3) == 3) return check_condition(kInvalidField);
  return answer(command, configuration(command.cdb, tray()), command.cdb.be16_at(7));
}

// 6.7: only who polls is answered. An event that was told is over.
Reply Unit::get_event_status(const Command& command) {
  constexpr uint8_t kMediaClass = 0x10;
  if ((command.cdb[1] & 1) == 0) return check_condition(kInvalidField);
  const bool wanted = (command.cdb[4] & kMediaClass) != 0;
  const auto data = event_status(wanted, state_.event, tray());
  const Reply reply = answer(command, data, command.cdb.be16_at(7));
  constexpr size_t kUpToTheEvent = 5;
  if (wanted && reply.transferred >= kUpToTheEvent) state_.event = MediaEvent::none;
  return reply;
}

Reply Unit::move_tray(bool open) {
  if (open && state_.removal_prevented) return check_condition(kRemovalPrevented);
  if (state_.tray_open == open) return {};
  state_.tray_open = open;
  state_.medium_attention = !open && disk_ != nullptr;
  state_.event = open ? MediaEvent::removal : MediaEvent::new_media;
  return {};
}

Task<TrayResult> Unit::eject(bool forced) {
  if (kind() != UnitKind::cdrom) co_return TrayResult::not_removable;
  if (state_.removal_prevented && !forced) {
    state_.event = MediaEvent::eject_request;
    co_return TrayResult::prevented;
  }
  state_.removal_prevented = false;
  move_tray(true);
  const std::shared_ptr<blk::Disk> out = std::exchange(disk_, nullptr);
  if (out) co_await out->close();
  co_return TrayResult::done;
}

Task<TrayResult> Unit::insert(std::unique_ptr<blk::Disk> medium) {
  const bool removable = kind() == UnitKind::cdrom;
  if (!removable || disk_) {
    co_await medium->close();
    co_return removable ? TrayResult::occupied : TrayResult::not_removable;
  }
  disk_ = std::move(medium);
  state_.tray_open = true;  // to be put in
  move_tray(false);
  co_return TrayResult::done;
}

void Unit::hurry() noexcept {
  if (disk_) disk_->hurry();
}

Task<std::error_code> Unit::close() {
  const std::shared_ptr<blk::Disk> disk = disk_;
  if (!disk) co_return std::error_code();
  co_return co_await disk->close();
}

// --- no unit ---

Reply answer_absent_unit(const Command& command) {
  switch (command.cdb.opcode()) {
    case Opcode::inquiry: {
      std::vector<std::byte> data = standard_inquiry({});
      data[0] = std::byte{0x7f};  // it cannot be there
      return answer(command, data, command.cdb.be16_at(3));
    }
    case Opcode::report_luns: {
      ByteWriter out;
      out.put(be32(8));
      out.zeros(12);
      return answer(command, out.bytes(), command.cdb.be32_at(6));
    }
    case Opcode::request_sense:
      return answer_sense(command, kUnitNotSupported);
    default:
      return check_condition(kUnitNotSupported);
  }
}

}  // namespace vireo::scsi
