#include "tools/vireo/image/snapshot.h"

#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/format.h"
#include "tools/vireo/image/open.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

struct SnapshotArguments {
  ImageArguments image;
  bool list = false, quiet = false;
  std::string create, apply, remove;
};

int list(Session& session, const SnapshotArguments& arguments) {
  const blk::Spec spec = image_spec(arguments.image);
  const blk::ImageDescription image = describe_image(session, spec);
  warn_of_ending(spec, image.format);
  if (image.facts.snapshots.empty()) return kOk;
  std::printf("Snapshot list:\n%s", snapshot_table(image.facts.snapshots).c_str());
  return kOk;
}

// What an error of the image means here.
void check(std::error_code error, const std::string& action, const std::string& name,
           const Image& image) {
  if (error && speaks_qemu() && action == "take")
    throw ConfigError(fmt::format("Could not create snapshot '{}': {} ({})", name,
                                  -error.default_error_condition().value(), error.message()));
  if (error && speaks_qemu())
    throw ConfigError(
        action == "delete"
            ? fmt::format("Could not delete snapshot '{}': snapshot not found", name)
            : fmt::format("Could not apply snapshot '{}': Failed to load snapshot: {}", name,
                          error.message()));
  if (error == std::errc::no_such_file_or_directory)
    throw ConfigError(fmt::format("'{}' has no snapshot '{}'; snapshot -l lists them", image.path(),
                                  printable(name)));
  if (error == std::errc::file_exists)
    throw ConfigError(fmt::format("'{}' has a snapshot '{}' already", image.path(), name));
  if (error == std::errc::not_supported)
    throw ConfigError(fmt::format("cannot {} snapshot '{}' of '{}': {}", action, printable(name),
                                  image.path(), error.message()));
  image.check(error, fmt::format("{} snapshot '{}' of", action, printable(name)));
}

// The id of what is to be deleted: as for qemu-img, a name comes before an id that is spelt alike.
std::string id_of(const blk::ImageFacts& image, const std::string& name) {
  for (const auto& snapshot : image.snapshots)
    if (snapshot.name == name) return snapshot.id;
  return name;
}

int change(Session& session, const SnapshotArguments& arguments) {
  blk::Spec spec = image_spec(arguments.image);
  spec.no_backing = true;  // only tables change
  Image image(session, spec);
  auto& with = image.need<blk::WithSnapshots>("snapshots");
  const auto& [create, apply, remove] =
      std::tie(arguments.create, arguments.apply, arguments.remove);
  if (!create.empty()) check(session.run(with.create_snapshot(create)), "take", create, image);
  if (!apply.empty()) check(session.run(with.apply_snapshot(apply)), "return to", apply, image);
  if (!remove.empty())
    check(session.run(with.delete_snapshot(id_of(image.node().facts(), remove))), "delete", remove,
          image);
  image.close();
  return kOk;
}

int snapshot(const SnapshotArguments& arguments) {
  Session session;
  const bool changes =
      !(arguments.create.empty() && arguments.apply.empty() && arguments.remove.empty());
  return changes ? change(session, arguments) : list(session, arguments);
}

}  // namespace

void add_snapshot(Options& image) {
  auto arguments = std::make_shared<SnapshotArguments>();
  Options command = image.command("snapshot", "List, take, return to and delete snapshots");
  command.footer(
      "The snapshots are those inside a qcow2 image; they are named by id or by name.\n"
      "A machine that runs on the image must be stopped first, but for -l -U.");
  add_image_options(command, arguments->image);
  Options actions = command.choice("what to do", "one of these; -l when none is");
  actions.flag("-l,--list", arguments->list, "List the snapshots");
  actions.option("-c,--create", "NAME", arguments->create, "Take one");
  actions.option("-a,--apply", "SNAPSHOT", arguments->apply,
                 "Return to it: what was written since is lost");
  actions.option("-d,--delete", "SNAPSHOT", arguments->remove, "Delete it");
  command.flag("-q,--quiet", arguments->quiet, "Print errors only");
  command.action([arguments] { return snapshot(*arguments); });
}

}  // namespace vireo::cli
