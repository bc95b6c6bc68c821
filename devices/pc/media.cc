#include "devices/pc/media.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "blockdev/open.h"
#include "devices/pc/cdrom.h"
#include "vmm/base/error.h"

namespace vireo::pc {

namespace {

size_t target_of(const Pc& pc, std::string_view drive) {
  const auto found = std::find(pc.scsi_units.begin(), pc.scsi_units.end(), drive);
  if (found == pc.scsi_units.end())
    throw ConfigError(fmt::format("the machine has no CD-ROM drive '{}'", drive));
  return static_cast<size_t>(found - pc.scsi_units.begin());
}

void check_removable(scsi::TrayResult result, std::string_view drive) {
  if (result == scsi::TrayResult::not_removable)
    throw ConfigError(fmt::format("'{}' is a disk, not a CD-ROM drive", drive));
}

}  // namespace

bool eject(Vm& machine, const Pc& pc, std::string_view drive, bool forced) {
  machine.expect_loops();
  const size_t target = target_of(pc, drive);
  const auto result = call(machine.env().loop, pc.scsi->eject(target, forced));
  check_removable(result, drive);
  return result != scsi::TrayResult::prevented;
}

void insert(Vm& machine, const Pc& pc, std::string_view drive, std::string_view disc) {
  machine.expect_loops();
  const size_t target = target_of(pc, drive);
  CdromSpec spec;
  keys_of(spec).assign(drive, pairs_of(disc, "path"));
  if (spec.image.name().empty())
    throw ConfigError(fmt::format("{}: 'path' is missing: which disc is to be put in?", drive));
  EventLoop& loop = machine.env().loop;
  const blk::Host host{loop, machine.env().platform.pool, machine.config().log};
  auto medium = call(loop, blk::open_disk(host, std::string(drive), spec.image));
  const auto result = call(loop, pc.scsi->insert(target, std::move(medium)));
  check_removable(result, drive);
  if (result == scsi::TrayResult::occupied)
    throw ConfigError(fmt::format("the drive '{}' has a disc: eject that first", drive));
}

}  // namespace vireo::pc
