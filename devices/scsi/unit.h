// A SCSI logical unit over a disk of the block layer: a disk (SPC-4, SBC-3), or a CD-ROM drive
// (MMC-6), whose medium comes and goes. It knows no transport.
//
// Thread: its loop, which is the disk's. Commands overlap; the transport bounds how many there are.
// Owns the medium, which it closes when it is taken out and in close(). What the initiator sends is
// checked: lengths, block addresses and allocation lengths; nothing takes more memory than a few
// pages, for the data lie in the initiator's own buffers. What fails is told by sense data.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>

#include "blockdev/disk.h"
#include "devices/scsi/command.h"
#include "devices/scsi/inquiry.h"
#include "devices/scsi/optical.h"
#include "vmm/base/task.h"

namespace vireo::scsi {

// What happens to an unit; the power-on state is a unit that was just reset.
struct UnitState {
  bool reset_attention = true;    // the initiator is still to be told of the reset
  bool medium_attention = false;  // and that the medium may have changed
  bool removal_prevented = false;
  bool tray_open = false;  // what lies in it cannot be read
  MediaEvent event = MediaEvent::none;
  static void fields(auto& self, auto& archive) {
    archive("reset_attention", self.reset_attention)("medium_attention", self.medium_attention)(
        "removal_prevented", self.removal_prevented)("tray_open", self.tray_open)("event",
                                                                                  self.event);
  }
  bool operator==(const UnitState&) const = default;
};

enum class TrayResult : uint8_t {
  done,
  prevented,      // the guest holds the medium; it was asked to let go
  occupied,       // there is a medium in the tray
  not_removable,  // it is a disk
};

class Unit {
 public:
  // `medium` may be missing in a CD-ROM drive only.
  Unit(Identity identity, std::unique_ptr<blk::Disk> medium, const UnitState& state = {});

  UnitKind kind() const noexcept { return identity_.kind; }
  const UnitState& state() const noexcept { return state_; }
  Task<Reply> execute(Command command);
  // Of the logical unit (SAM-5, 6.3.3). The tray stays as it is: a guest that has ejected its
  // medium before it starts anew does not find it again.
  void reset() noexcept { state_ = {.tray_open = state_.tray_open}; }

  // Takes the medium out, and closes it when the commands under way have ended; the tray is open
  // then. `forced`: even if the guest prevents it.
  Task<TrayResult> eject(bool forced);
  // Puts a medium into the tray and closes that. The medium of a refused call is closed.
  Task<TrayResult> insert(std::unique_ptr<blk::Disk> medium);

  void hurry() noexcept;
  Task<std::error_code> close();

 private:
  // What a command works on, even if it is taken out meanwhile.
  struct Medium {
    std::shared_ptr<blk::Disk> disk;
    uint32_t block = 0;   // bytes
    uint64_t blocks = 0;  // at least one
  };
  struct Operation;
  static const Operation* find(Opcode opcode, UnitKind kind) noexcept;

  std::optional<Medium> medium() const;
  bool has_attention() const noexcept { return state_.reset_attention || state_.medium_attention; }
  Sense take_attention() noexcept;
  Sense absence() const noexcept;
  Tray tray() const;
  Provisioning provisioning() const;
  uint8_t device_specific() const;

  Reply test_unit_ready(const Command& command);
  Reply request_sense(const Command& command);
  Reply inquiry(const Command& command);
  Reply report_luns(const Command& command);
  Reply read_capacity_10(const Command& command);
  Reply read_capacity_16(const Command& command);
  Reply mode_sense_6(const Command& command);
  Reply mode_sense_10(const Command& command);
  std::optional<std::vector<std::byte>> mode_data(const Cdb& cdb) const;
  Sense mode_refusal(const Cdb& cdb) const noexcept;
  Reply prevent_removal(const Command& command);
  Reply read_toc(const Command& command);
  Reply get_configuration(const Command& command);
  Reply get_event_status(const Command& command);
  Reply read_disc_information(const Command& command);

  Task<Reply> start_stop(Command command);
  Task<Reply> read(Command command);
  Task<Reply> write(Command command);
  Task<Reply> verify(Command command);
  Task<Reply> synchronize(Command command);
  Task<Reply> unmap(Command command);
  Task<Reply> write_same(Command command);
  Task<Reply> repeat_block(Medium medium, BlockRange range, std::vector<std::byte> block);
  Reply move_tray(bool open);

  const Identity identity_;
  std::shared_ptr<blk::Disk> disk_;  // in the tray
  UnitState state_;
};

// Of a target that has other units: what it answers where there is none (SPC-4, 6.6.2, 6.33 and
// 6.39).
Reply answer_absent_unit(const Command& command);

}  // namespace vireo::scsi
