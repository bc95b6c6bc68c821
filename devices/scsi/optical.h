// What a CD-ROM drive tells of its disc and of itself (MMC-6): one session with one data track.
// Plain values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "devices/scsi/command.h"

namespace vireo::scsi {

inline constexpr uint32_t kCdBlock = 2048;  // bytes

// Media events (MMC-6, 6.7.2.5).
enum class MediaEvent : uint8_t { none = 0, eject_request = 1, new_media = 2, removal = 3 };

struct Tray {
  bool open = false;
  uint64_t blocks = 0;  // of the disc that can be read; 0: there is none
};

// READ TOC/PMA/ATIP; nothing when it asks for what a pressed disc does not have (6.26).
std::optional<std::vector<std::byte>> table_of_contents(const Cdb& cdb, uint64_t blocks);
// READ DISC INFORMATION, standard (6.21).
std::vector<std::byte> disc_information();
// GET CONFIGURATION (6.6).
std::vector<std::byte> configuration(const Cdb& cdb, const Tray& tray);
// GET EVENT STATUS NOTIFICATION of the media class, or that there is no other class (6.7).
std::vector<std::byte> event_status(bool wanted, MediaEvent event, const Tray& tray);

}  // namespace vireo::scsi
