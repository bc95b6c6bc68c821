#include "devices/pc/cdrom.h"

#include "devices/pc/boot.h"

namespace vireo::pc {

Keys keys_of(CdromSpec& cdrom) {
  blk::Spec& image = cdrom.image;
  return Keys()
      .word(
          {"path", "FILE",
           "the image of the disc, or a block device; without it, the drive is empty"},
          [&image](const std::string& path) { image.location = path; },
          [&image] { return image.name(); })
      .text({"id", "NAME", "what the drive is called (cdrom0, cdrom1, …)"}, cdrom.id)
      .choice<std::string>({"format", "raw|qcow2", "the image's format, whatever its name (raw)"},
                           image.format, {{"raw", "raw"}, {"qcow2", "qcow2"}})
      .word(
          {"bootindex", "N", "a BIOS tries the drive or disk with the least first; see --boot"},
          [&cdrom](const std::string& text) { cdrom.bootindex = parse_bootindex(text); },
          [&cdrom] { return cdrom.bootindex ? std::to_string(*cdrom.bootindex) : ""; });
}

}  // namespace vireo::pc
