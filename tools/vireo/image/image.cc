#include "tools/vireo/image/image.h"

#include <cstdio>
#include <string_view>

#include <fmt/format.h>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/amend.h"
#include "tools/vireo/image/bench.h"
#include "tools/vireo/image/bitmap.h"
#include "tools/vireo/image/check.h"
#include "tools/vireo/image/commit.h"
#include "tools/vireo/image/compare.h"
#include "tools/vireo/image/convert.h"
#include "tools/vireo/image/create.h"
#include "tools/vireo/image/dd.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/format.h"
#include "tools/vireo/image/info.h"
#include "tools/vireo/image/io.h"
#include "tools/vireo/image/map.h"
#include "tools/vireo/image/measure.h"
#include "tools/vireo/image/rebase.h"
#include "tools/vireo/image/resize.h"
#include "tools/vireo/image/session.h"
#include "tools/vireo/image/snapshot.h"
#include "tools/vireo/options.h"
#include "tools/vireo/standard_streams.h"
#include "vireo/version.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

constexpr int kQemuFailure = 1;
constexpr int kCompareFailed = 2;  // 1: the images differ

constexpr const char* kFooter =
    R"(Formats are raw and qcow2. The format of an image is what -f says, else what its header says,
which a guest may have written: such an image opens no other file unless its name ends like its
format (.qcow2).
Sizes are bytes, or numbers with k, M, G, T, P or E, in powers of 1024.

Exit status, where a command does not say otherwise:
  0             done
  2             wrong options, or an image they name is missing or unusable
  4             the host could not do it (disk full, input/output error, …)
  10            stopped by SIGINT or SIGTERM; a second signal does not wait for the step under way
An interrupted job leaves its source as it was, removes a new target that is not complete and says
what else is not.

'vireo image COMMAND --help' tells all about a command.)";

void add_commands(Options& image) {
  add_amend(image);
  add_bench(image);
  add_bitmap(image);
  add_check(image);
  add_commit(image);
  add_compare(image);
  add_convert(image);
  add_create(image);
  add_dd(image);
  add_info(image);
  add_io(image);
  add_map(image);
  add_measure(image);
  add_rebase(image);
  add_resize(image);
  add_snapshot(image);
}

// Scripts look for the version of QEMU whose words and options these are.
std::string version_text() {
  if (!speaks_qemu()) return std::string("vireo ") + version();
  return fmt::format("{} version 7.2.0 (Vireo {})", program_name(), version());
}

int run_image_command(int argc, char** argv) {
  Options image(kImageSummary, speaks_qemu() ? program_name() : "vireo image");
  image.footer(kFooter);
  image.version("-V,--version", version_text());
  add_commands(image);
  const int status = image.parse(argc, argv);
  flush_standard_output();
  return status;
}

int run_io(int argc, char** argv) {
  Options io(kIoSummary, program_name());
  io.version("-V,--version", version_text());
  add_io_options(io);
  const int status = io.parse(argc, argv);
  flush_standard_output();
  return status;
}

// What `error` ends the command with, whose statuses say more than that it failed where it is check
// or compare.
int failure_status(const std::exception& error, std::string_view command) {
  if (command == "check") return kCheckFailed;
  if (speaks_qemu()) return command == "compare" ? kCompareFailed : kQemuFailure;
  const bool usage = dynamic_cast<const UsageError*>(&error) != nullptr ||
                     dynamic_cast<const ConfigError*>(&error) != nullptr;
  return usage ? kUsageError : kHostError;
}

}  // namespace

std::vector<std::string> image_candidates(const std::vector<std::string>& words) {
  Options image(kImageSummary, "vireo image");
  add_commands(image);
  return image.candidates(words);
}

int run_image(int argc, char** argv) {
  try {
    return dialect() == Dialect::qemu_io ? run_io(argc, argv) : run_image_command(argc, argv);
  } catch (const Interrupted& stop) {
    std::fprintf(stderr, "%s: %s\n", program_name(), stop.what());
    return kStopped;
  } catch (const std::exception& error) {
    complain(describe(error));
    return failure_status(error, argc > 1 ? argv[1] : "");
  }
}

}  // namespace vireo::cli
