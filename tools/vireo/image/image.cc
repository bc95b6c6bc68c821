#include "tools/vireo/image/image.h"

#include <cstdio>
#include <cstring>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/bench.h"
#include "tools/vireo/image/check.h"
#include "tools/vireo/image/commit.h"
#include "tools/vireo/image/compare.h"
#include "tools/vireo/image/convert.h"
#include "tools/vireo/image/create.h"
#include "tools/vireo/image/dd.h"
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
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

constexpr const char* kFooter =
    R"(Formats are raw and qcow2. The format of an image is what -f says, or the ending of its name
(.qcow2, .raw, .img); it is never guessed from the content, which a guest may have written.
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
  add_bench(image);
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

int run_command(int argc, char** argv) {
  Options image(kImageSummary, "vireo image");
  image.footer(kFooter);
  add_commands(image);
  return image.parse(argc, argv);
}

}  // namespace

int run_image(int argc, char** argv) {
  // The statuses of check say what was found; errors must not look like findings.
  const bool is_check = argc > 1 && std::strcmp(argv[1], "check") == 0;
  try {
    return run_command(argc, argv);
  } catch (const Interrupted& stop) {
    std::fprintf(stderr, "vireo: %s\n", stop.what());
    return kStopped;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vireo: %s\n", printable(describe(error)).c_str());
    if (is_check) return kCheckFailed;
    const bool usage = dynamic_cast<const UsageError*>(&error) != nullptr ||
                       dynamic_cast<const ConfigError*>(&error) != nullptr;
    return usage ? kUsageError : kHostError;
  }
}

}  // namespace vireo::cli
