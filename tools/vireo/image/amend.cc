#include "tools/vireo/image/amend.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "blockdev/format/format.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/create_options.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/open.h"
#include "tools/vireo/image/progress.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

constexpr uint64_t kSector = 512;

struct AmendArguments {
  ImageArguments image;
  std::vector<std::string> options;
  bool force = false;
  ProgressArguments progress;
};

// Of all formats whose images can be changed.
std::string changes_help() {
  std::string help;
  for (const blk::Format& format : blk::formats())
    if (format.check_changes != nullptr)
      help += fmt::format("Options that 'amend' changes of {} images:\n{}", format.name,
                          blk::change_help(format.keys()));
  return help;
}

std::string changeable(const blk::ImageKeys& keys) {
  std::vector<std::string_view> names;
  for (const blk::ImageKey& key : keys)
    if (!key.change.empty()) names.push_back(key.name);
  std::ranges::sort(names);
  return fmt::format("{}", fmt::join(names, ", "));
}

void check_keys(const blk::KeyTexts& given, const blk::ImageKeys& keys) {
  for (const auto& [name, text] : given) {
    const blk::ImageKey* const key = blk::find_key(keys, name);
    if (key == nullptr)
      throw ConfigError(
          fmt::format("-o: there is no '{}': the keys are {}", name, changeable(keys)));
    if (key->change.empty())
      throw ConfigError(fmt::format(
          "-o: {} is chosen when an image is made; convert it into a new one instead", name));
  }
}

blk::Changeable& need_changeable(Image& image) {
  if (image.find<blk::Changeable>() == nullptr && speaks_qemu())
    throw ConfigError(
        fmt::format("Format driver '{}' does not support option amendment", image.node().format()));
  return image.need<blk::Changeable>("options that can be changed");
}

void check(const blk::KeyTexts& given, Image& image, bool force) {
  const blk::Format& format = *blk::find_format(image.node().format());
  check_keys(given, format.keys());
  in_options([&] { format.check_changes(given); });
  const auto size = given.find("size");
  if (size == given.end() || force) return;
  const uint64_t end = (parse_size("-o: size", size->second) + kSector - 1) / kSector * kSector;
  if (end < image.size())
    throw ConfigError(
        fmt::format("'{}' would lose the {} bytes behind its new end; add --force if "
                    "that is meant",
                    image.path(), image.size() - end));
}

int amend(const AmendArguments& arguments) {
  if (asks_for_help(arguments.options)) {
    std::fputs(changes_help().c_str(), stdout);
    return kOk;
  }
  if (arguments.options.empty()) throw ConfigError("-o: say what is to change (-o help)");
  const blk::KeyTexts given = read_options(arguments.options);
  Session session;
  Image image(session, image_spec(arguments.image));
  blk::Changeable& with = need_changeable(image);
  check(given, image, arguments.force);
  Progress progress(arguments.progress);
  const auto watch = [&](uint64_t done, uint64_t total) {
    progress.update(done, total);
    return !session.interrupted();
  };
  const std::error_code error = session.run(with.change(given, watch));
  if (error == std::errc::operation_canceled) session.stop_if_interrupted();
  if (error == std::errc::value_too_large)
    throw ConfigError(
        fmt::format("cannot amend '{}': a cluster is in use more often than counts "
                    "of that width can say; its snapshots share clusters",
                    image.path()));
  image.check(error, "amend");
  image.close();
  progress.update(1, 1);
  return kOk;
}

}  // namespace

void add_amend(Options& image) {
  auto arguments = std::make_shared<AmendArguments>();
  Options command = image.command("amend", "Change the options of an existing qcow2 image");
  command.footer(
      "What the disk shows stays the same, and so does what its snapshots show. An amend that was\n"
      "interrupted can be repeated.\n\n"
      "Example:\n"
      "  vireo image amend -o compat=1.1,lazy_refcounts=on disk.qcow2");
  add_image_options(command, arguments->image);
  add_cache_option(command, "-t", arguments->image.cache);
  command.option("-o", "OPTIONS", arguments->options,
                 "What is to change: KEY=VALUE[,...]; -o help lists them");
  command.flag("--force", arguments->force, "Permit to lose what is behind a new end of the disk");
  add_progress_options(command, arguments->progress);
  command.action([arguments] { return amend(*arguments); });
}

}  // namespace vireo::cli
