#include "tools/vireo/image/commit.h"

#include <cstdio>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "blockdev/job/commit.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/chain.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/job.h"
#include "tools/vireo/image/open.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

struct CommitArguments {
  ImageArguments image;
  std::string base, rate = "0";
  bool keep = false;
  ProgressArguments progress;
};

// The chain down to the base that is meant.
std::vector<blk::Spec> chain_to_base(Session& session, const CommitArguments& arguments) {
  const blk::Spec top = image_spec(arguments.image);
  std::vector<blk::Spec> chain = find_chain(session, top);
  if (chain.size() < 2)
    throw ConfigError(fmt::format("'{}' has no backing file to commit to", top.name()));
  if (arguments.base.empty()) {
    chain.resize(2);
    return chain;
  }
  // For qemu-img a relative name is one beside the overlay.
  const std::string name =
      speaks_qemu() ? blk::resolve_reference(top.name(), arguments.base) : arguments.base;
  const size_t base = find_in_chain(chain, name);
  if (base == 0 || base == chain.size())
    throw ConfigError(speaks_qemu() ? fmt::format("Did not find '{}' in the backing chain of '{}'",
                                                  arguments.base, top.name())
                                    : fmt::format("-b: '{}' is not an image below '{}'",
                                                  arguments.base, top.name()));
  chain.resize(base + 1);
  return chain;
}

// Only the top may be changed, to be emptied; all are locked until the end.
std::vector<std::unique_ptr<Image>> open_layers(Session& session, std::vector<blk::Spec> chain,
                                                bool empty_top) {
  std::vector<std::unique_ptr<Image>> layers;
  for (size_t i = 0; i + 1 < chain.size(); ++i) {
    chain[i].read_only = i > 0 || !empty_top;
    chain[i].no_backing = true;
    chain[i].below = {};
    layers.push_back(std::make_unique<Image>(session, chain[i]));
  }
  return layers;
}

void commit(Session& session, const CommitArguments& arguments) {
  const std::vector<blk::Spec> chain = chain_to_base(session, arguments);
  const bool empty_top = !arguments.keep && arguments.base.empty();
  const auto layers = open_layers(session, chain, empty_top);
  blk::Spec base_spec = chain.back();
  base_spec.read_only = false;
  base_spec.throttle.bps_write.rate = parse_size("-r", arguments.rate);
  Image base(session, base_spec);
  std::vector<blk::Disk*> disks;
  for (const auto& layer : layers) disks.push_back(&layer->disk());
  session.on_interrupt([&base] { base.disk().hurry(); });
  {
    Progress progress(arguments.progress);
    const auto result = session.run(
        blk::commit(blk::Layers(std::move(disks)), base.disk(), job_control(session, progress)));
    session.on_interrupt(nullptr);
    check_job(session, result, layers.front()->path(), base.path());
  }
  base.close();
  if (!empty_top) return;
  Image& top = *layers.front();
  top.check(session.run(top.need<blk::WithBacking>("backing file").clear()), "empty");
  top.close();
}

int run(const CommitArguments& arguments) {
  Session session;
  commit(session, arguments);
  if (!arguments.progress.quiet) std::printf("Image committed.\n");
  return kOk;
}

}  // namespace

void add_commit(Options& image) {
  auto arguments = std::make_shared<CommitArguments>();
  Options command = image.command("commit", "Bring what an overlay holds into an image below it");
  command.footer(
      "The image below grows if it is smaller. An overlay that was committed to the image right\n"
      "below it is empty afterwards, unless -d is given; other overlays of the images that "
      "changed\n"
      "are not valid any more. A commit that was interrupted can be repeated.");
  add_image_options(command, arguments->image);
  add_cache_option(command, "-t", arguments->image.cache);
  command.option("-b,--base", "FILE", arguments->base,
                 "Commit to this image of the chain, not to the one right below; implies -d");
  command.flag("-d,--keep", arguments->keep, "Do not empty the overlay");
  command.option("-r,--rate", "SIZE", arguments->rate, "Write at most so many bytes a second");
  add_progress_options(command, arguments->progress);
  command.action([arguments] { return run(*arguments); });
}

}  // namespace vireo::cli
