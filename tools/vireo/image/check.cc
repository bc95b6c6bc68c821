#include "tools/vireo/image/check.h"

#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/open.h"
#include "tools/vireo/image/progress.h"
#include "vmm/base/json.h"

namespace vireo::cli {

namespace {

using blk::CheckResult;
using blk::Repair;

struct CheckArguments {
  ImageArguments image;
  std::string repair;
  std::string output = "human";
  ProgressArguments progress;
};

CheckResult examine(Session& session, blk::Checkable& image, Repair repair,
                    const ProgressArguments& shown) {
  Progress progress(shown);
  const auto watch = [&](uint64_t done, uint64_t total) {
    progress.update(done, total);
    return !session.interrupted();
  };
  const CheckResult result = session.run(image.check(repair, watch));
  if (result.errors > 0) session.stop_if_interrupted();
  return result;
}

void print_repairs(const CheckResult& result) {
  std::printf(
      "The following inconsistencies were found and repaired:\n\n    %llu leaked clusters\n"
      "    %llu corruptions\n\nDouble checking the fixed image now...\n",
      static_cast<unsigned long long>(result.leaks_fixed),
      static_cast<unsigned long long>(result.corruptions_fixed));
}

void print_human(const CheckResult& result) {
  std::string text;
  if (result.errors + result.corruptions + result.leaks == 0)
    text += "No errors were found on the image.\n";
  if (result.corruptions > 0)
    text += fmt::format(
        "\n{} errors were found on the image.\n"
        "Data may be corrupted, or further writes to the image may corrupt it.\n",
        result.corruptions);
  if (result.leaks > 0)
    text += fmt::format(
        "\n{} leaked clusters were found on the image.\n"
        "This means waste of disk space, but no harm to data.\n",
        result.leaks);
  if (result.errors > 0)
    text += fmt::format("\n{} internal errors have occurred during the check.\n", result.errors);
  const auto percent = [](uint64_t part, uint64_t whole) {
    return static_cast<double>(part) * 100 / static_cast<double>(whole);
  };
  const uint64_t allocated = result.allocated_clusters, total = result.total_clusters;
  if (allocated > 0 && total > 0)
    text += fmt::format(
        "{}/{} = {:.2f}% allocated, {:.2f}% fragmented, {:.2f}% compressed clusters\n", allocated,
        total, percent(allocated, total), percent(result.fragmented_clusters, allocated),
        percent(result.compressed_clusters, allocated));
  text += fmt::format("Image end offset: {}\n", result.image_end_offset);
  std::fputs(text.c_str(), stdout);
}

// Counts of nothing are left out.
void print_json(const CheckResult& result, Image& image) {
  Json json = Json::object();
  const auto add = [&json](const char* key, uint64_t count) {
    if (count > 0) json.add(key, count);
  };
  add("image-end-offset", result.image_end_offset);
  add("total-clusters", result.total_clusters);
  add("corruptions", result.corruptions);
  add("corruptions-fixed", result.corruptions_fixed);
  add("leaks", result.leaks);
  add("leaks-fixed", result.leaks_fixed);
  json.add("check-errors", result.errors);
  add("allocated-clusters", result.allocated_clusters);
  add("fragmented-clusters", result.fragmented_clusters);
  add("compressed-clusters", result.compressed_clusters);
  json.add("filename", image.path()).add("format", image.node().format());
  std::printf("%s\n", json.pretty().c_str());
}

int status_of(const CheckResult& result) {
  if (result.errors > 0) return kCheckFailed;
  if (result.corruptions > 0) return kCheckCorrupt;
  return result.leaks > 0 ? kCheckLeaks : kOk;
}

blk::Spec spec_of(const CheckArguments& arguments) {
  blk::Spec spec = image_spec(arguments.image);
  spec.read_only = arguments.repair.empty();
  spec.no_backing = true;
  spec.for_repair = true;
  return spec;
}

int check(const CheckArguments& arguments) {
  Session session;
  Image image(session, spec_of(arguments));
  auto* const checkable = image.find<blk::Checkable>();
  if (checkable == nullptr) {
    complain(speaks_qemu() ? "This image format does not support checks"
                           : fmt::format("'{}' is a {} image, in which there is nothing to check",
                                         image.path(), image.node().format()));
    return kCheckNotSupported;
  }
  const Repair repair = arguments.repair.empty()    ? Repair::none
                        : arguments.repair == "all" ? Repair::all
                                                    : Repair::leaks;
  const bool human = arguments.output == "human";
  CheckResult result = examine(session, *checkable, repair, arguments.progress);
  if (result.errors == 0 && result.leaks_fixed + result.corruptions_fixed > 0) {
    if (human && !arguments.progress.quiet) print_repairs(result);
    const CheckResult repaired = result;
    result = examine(session, *checkable, Repair::none, arguments.progress);
    result.leaks_fixed = repaired.leaks_fixed;
    result.corruptions_fixed = repaired.corruptions_fixed;
  }
  if (!human)
    print_json(result, image);
  else if (!arguments.progress.quiet)
    print_human(result);
  if (repair != Repair::none) image.close();
  return status_of(result);
}

}  // namespace

void add_check(Options& image) {
  auto arguments = std::make_shared<CheckArguments>();
  Options command = image.command("check", "Check the consistency of an image");
  command.footer(R"(Exit status:
  0             no errors, or all were repaired
  1             the check could not be completed
  2             errors that may hurt data
  3             leaked clusters: space is wasted, no harm done
  63            the format has nothing to check
The backing file is not looked at and may be missing.)");
  add_image_options(command, arguments->image);
  command
      .option("-r,--repair", "WHAT", arguments->repair,
              "leaks: give leaked clusters back; all: repair whatever can be")
      .one_of({"leaks", "all"});
  add_cache_option(command, "-T", arguments->image.cache);
  add_output_option(command, arguments->output);
  add_progress_options(command, arguments->progress);
  command.action([arguments] { return check(*arguments); });
}

}  // namespace vireo::cli
