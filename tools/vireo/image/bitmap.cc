#include "tools/vireo/image/bitmap.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/bitmaps.h"
#include "tools/vireo/image/open.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

struct BitmapAction {
  enum class What : uint8_t { add, remove, clear, enable, disable, merge };
  What what = What::add;
  std::string source{};  // of merge
};

struct BitmapArguments {
  ImageArguments image;
  std::string name;
  std::vector<BitmapAction> actions;
  std::string granularity;
  std::string source_file, source_format;
};

using What = BitmapAction::What;

bool has(const BitmapArguments& arguments, What what) {
  return std::any_of(arguments.actions.begin(), arguments.actions.end(),
                     [what](const BitmapAction& action) { return action.what == what; });
}

void check_arguments(const BitmapArguments& arguments) {
  if (arguments.actions.empty())
    throw ConfigError("say what to do: --add, --remove, --clear, --enable, --disable or --merge");
  if (!arguments.granularity.empty() && !has(arguments, What::add))
    throw ConfigError("-g: the granularity is one of a new bitmap; it needs --add");
  if (!arguments.source_file.empty() && !has(arguments, What::merge))
    throw ConfigError("-b: the source file is one of --merge");
  if (!arguments.source_format.empty() && arguments.source_file.empty())
    throw ConfigError("-F: the format is one of a source file; it needs -b");
}

std::unique_ptr<Image> open_source(Session& session, const BitmapArguments& arguments) {
  if (arguments.source_file.empty()) return nullptr;
  blk::Spec spec = image_spec({.path = arguments.source_file, .format = arguments.source_format});
  spec.read_only = true;
  spec.no_backing = true;
  return std::make_unique<Image>(session, spec);
}

Task<std::error_code> perform(blk::WithBitmaps& image, blk::WithBitmaps& source,
                              const BitmapAction& action, const std::string& name,
                              uint64_t granularity) {
  switch (action.what) {
    case What::add:
      return image.add_bitmap(name, granularity);
    case What::remove:
      return image.remove_bitmap(name);
    case What::clear:
      return image.clear_bitmap(name);
    case What::enable:
      return image.enable_bitmap(name, true);
    case What::disable:
      return image.enable_bitmap(name, false);
    case What::merge:
      break;
  }
  return image.merge_bitmap(name, source, action.source);
}

const char* word_of(What what) {
  static constexpr const char* kWords[] = {"add", "remove", "clear", "enable", "disable", "merge"};
  return kWords[static_cast<size_t>(what)];
}

int bitmap(const BitmapArguments& arguments) {
  check_arguments(arguments);
  Session session;
  const std::unique_ptr<Image> source = open_source(session, arguments);
  blk::Spec spec = image_spec(arguments.image);
  spec.no_backing = true;  // nothing of the disk is read
  Image image(session, spec);
  auto& with = image.need<blk::WithBitmaps>("bitmaps");
  auto& other = source ? source->need<blk::WithBitmaps>("bitmaps") : with;
  const uint64_t granularity = arguments.granularity.empty()
                                   ? default_granularity(image.node().facts())
                                   : parse_size("-g", arguments.granularity);
  for (const BitmapAction& action : arguments.actions) {
    if (action.what == What::merge)
      check_bitmap(other, action.source, source ? source->path() : image.path());
    if (action.what != What::add) check_bitmap(with, arguments.name, image.path());
    const std::error_code error =
        session.run(perform(with, other, action, arguments.name, granularity));
    check_bitmap_change(error, word_of(action.what), arguments.name, image.path());
  }
  image.close();
  return kOk;
}

void add_actions(Options& command, BitmapArguments& arguments) {
  const auto action = [&](What what, const std::string& help) {
    command.flag(
        fmt::format("--{}", word_of(what)),
        [&arguments, what] { arguments.actions.push_back({.what = what}); }, help);
  };
  action(What::add, "Make the bitmap, enabled");
  action(What::remove, "Remove it");
  action(What::clear, "Call nothing dirty any longer");
  action(What::enable, "Record what is written from now on");
  action(What::disable, "Record nothing any longer");
  command.option(
      "--merge", "SOURCE",
      [&arguments](const std::string& source) {
        arguments.actions.push_back({.what = What::merge, .source = source});
      },
      "Call dirty what the bitmap SOURCE does, too");
}

}  // namespace

void add_bitmap(Options& image) {
  auto arguments = std::make_shared<BitmapArguments>();
  Options command = image.command("bitmap", "Change a persistent dirty bitmap of a qcow2 image");
  command.footer(
      "A bitmap says which parts of a disk were written since it was made or cleared: what an\n"
      "incremental backup has to copy. Several actions are done in the order in which they are\n"
      "given.\n\n"
      "Examples:\n"
      "  vireo image bitmap --add disk.qcow2 monday\n"
      "  vireo image bitmap --merge monday --disable disk.qcow2 week");
  add_image_options(command, arguments->image);
  command.operand("BITMAP", arguments->name, "The bitmap's name").require();
  add_actions(command, *arguments);
  command.option("-g,--granularity", "SIZE", arguments->granularity,
                 "Bytes of the disk for each bit of a new one (default: a cluster, 4k to 64k)");
  command.option("-b,--source-file", "FILE", arguments->source_file,
                 "The image that SOURCE is in (default: this one)");
  command.option("-F,--source-format", "FMT", arguments->source_format, "Its format");
  command.action([arguments] { return bitmap(*arguments); });
}

}  // namespace vireo::cli
