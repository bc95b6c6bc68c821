// vireo: virtual machines from the command line.
#include <malloc.h>

#include <exception>
#include <string>
#include <string_view>

#include "tools/vireo/completion.h"
#include "tools/vireo/doctor.h"
#include "tools/vireo/exec/exec.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/image.h"
#include "tools/vireo/message.h"
#include "tools/vireo/options.h"
#include "tools/vireo/run.h"
#include "tools/vireo/screenshot.h"
#include "tools/vireo/standard_streams.h"
#include "vireo/version.h"
#include "vmm/base/error.h"

namespace {

int run(int argc, char** argv) {
  vireo::cli::Options program("Vireo runs virtual machines on KVM", "vireo");
  program.version("--version", std::string("vireo ") + vireo::version());
  program.footer("'vireo COMMAND --help' tells all about a command.");
  vireo::cli::add_run(program);
  vireo::cli::add_exec(program);
  vireo::cli::add_doctor(program);
  vireo::cli::add_screenshot(program);
  program.command("image", vireo::cli::kImageSummary);
  vireo::cli::add_completion(program);
  const int status = vireo::cli::is_asked_for_words(argc, argv)
                         ? vireo::cli::print_words(program, {argv + 3, argv + argc})
                         : program.parse(argc, argv);
  if (status == vireo::cli::kOk) vireo::cli::flush_standard_output();
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  // Its statuses are the command's, but for one.
  const bool is_exec = argc > 1 && std::string_view(argv[1]) == "exec";
  // One heap for all threads: one each would cost address space and time at every start, and only
  // the loop's thread allocates while a guest runs.
  ::mallopt(M_ARENA_MAX, 1);
  try {
    vireo::cli::open_missing_standard_streams();
    if (vireo::cli::speaks_qemu()) return vireo::cli::run_image(argc, argv);
    if (argc > 1 && std::string_view(argv[1]) == "image")
      return vireo::cli::run_image(argc - 1, argv + 1);
    return run(argc, argv);
  } catch (const vireo::cli::UsageError& error) {
    vireo::cli::tell(error.what());
    return is_exec ? vireo::cli::kSandboxFailed : vireo::cli::kUsageError;
  } catch (const std::exception& error) {
    vireo::cli::tell(vireo::describe(error));
    return is_exec ? vireo::cli::kSandboxFailed : vireo::cli::kHostError;
  }
}
