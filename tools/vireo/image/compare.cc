#include "tools/vireo/image/compare.h"

#include <algorithm>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "blockdev/job/compare.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/job.h"
#include "tools/vireo/image/open.h"

namespace vireo::cli {

namespace {

using blk::Comparison;

constexpr int kDiffer = 1;
constexpr int kUnreadable = 4;  // as qemu-img tells it from an image that cannot be opened

struct CompareArguments {
  ImageArguments first, second;
  bool strict = false;
  ProgressArguments progress;
};

std::unique_ptr<Image> open(Session& session, const CompareArguments& arguments,
                            ImageArguments image) {
  image.cache = arguments.first.cache;
  image.force_share = arguments.first.force_share;
  image.path_is_options = arguments.first.path_is_options;
  blk::Spec spec = image_spec(image);
  spec.read_only = true;
  return std::make_unique<Image>(session, spec);
}

Comparison run(Session& session, const CompareArguments& arguments, Image& first, Image& second) {
  Progress progress(arguments.progress);
  const blk::Source one(first.disk()), two(second.disk());
  return session.run(blk::compare(one, two, arguments.strict, job_control(session, progress)));
}

// The words are qemu-img's.
int verdict(const CompareArguments& arguments, const std::string& text, int status) {
  if (!arguments.progress.quiet) std::printf("%s\n", text.c_str());
  return status;
}

int unreadable(const CompareArguments& arguments, const blk::JobResult& failure,
               bool sizes_differ) {
  const bool first = failure.side == blk::JobResult::Side::source;
  complain(fmt::format("Error while reading offset {} of {}: {}", failure.offset,
                       first ? arguments.first.path : arguments.second.path,
                       failure.error.message()));
  return sizes_differ ? verdict(arguments, "Warning: Image size mismatch!", kUnreadable)
                      : kUnreadable;
}

int compare(const CompareArguments& arguments) {
  Session session;
  const auto first = open(session, arguments, arguments.first);
  const auto second = open(session, arguments, arguments.second);
  const bool sizes_differ = first->size() != second->size();
  if (arguments.strict && sizes_differ)
    return verdict(arguments, "Strict mode: Image size mismatch!", kDiffer);
  const Comparison result = run(session, arguments, *first, *second);
  if (result.failure.error && speaks_qemu())
    return unreadable(arguments, result.failure, sizes_differ);
  check_job(session, result.failure, first->path(), second->path());
  const bool in_both = result.verdict != Comparison::Verdict::same &&
                       result.offset < std::min(first->size(), second->size());
  if (sizes_differ && !in_both) verdict(arguments, "Warning: Image size mismatch!", kOk);
  switch (result.verdict) {
    case Comparison::Verdict::content_differs:
      return verdict(arguments, fmt::format("Content mismatch at offset {}!", result.offset),
                     kDiffer);
    case Comparison::Verdict::allocation_differs:
      return verdict(arguments,
                     fmt::format("Strict mode: Offset {} block status mismatch!", result.offset),
                     kDiffer);
    case Comparison::Verdict::same:
      break;
  }
  return verdict(arguments, "Images are identical.", kOk);
}

}  // namespace

void add_compare(Options& image) {
  auto arguments = std::make_shared<CompareArguments>();
  Options command = image.command("compare", "Tell whether two images show the same");
  command.footer(
      "A longer image may go on with zeros. Exit status: 0 they show the same, 1 they do not, 2 "
      "and\n"
      "more when that cannot be told.");
  command.option("-f", "FMT", arguments->first.format,
                 "Format of the first (default: what the header says)");
  command.option("-F", "FMT", arguments->second.format, "Format of the second");
  add_name_options(command, arguments->first);
  add_cache_option(command, "-T", arguments->first.cache, "Cache of both");
  command.flag("-s,--strict", arguments->strict, "Size and allocation have to agree as well");
  command.flag("-U,--force-share", arguments->first.force_share,
               "Open them although another program may be writing to them");
  add_progress_options(command, arguments->progress);
  command.operand("FILE1", arguments->first.path, "An image").require();
  command.operand("FILE2", arguments->second.path, "Another").require();
  command.action([arguments] { return compare(*arguments); });
}

}  // namespace vireo::cli
