#include "tools/vireo/image/session.h"

#include <unistd.h>

#include <cstdio>
#include <string>
#include <system_error>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/format.h"
#include "tools/vireo/image/qemu_words.h"

namespace vireo::cli {

namespace {

// Scripts that compare what QEMU's programs print get its words here, too.
Logger make_log() {
  if (!speaks_qemu()) return Logger::to_stderr(LogLevel::warn);
  return Logger(LogLevel::warn, [](LogLevel, std::string_view, std::string_view text) {
    std::fprintf(stderr, "%s\n", printable(qemu_finding(std::string(text))).c_str());
  });
}

}  // namespace

Session::Session() : log_(make_log()) {
  watch_ = signals_.watch(loop_, terminal_, {.terminate = [this] { interrupt(); }});
}

void Session::run_job(Task<void> task) {
  try {
    run(std::move(task));
  } catch (const std::system_error& error) {
    const bool cut_short =
        error.code() == std::errc::operation_canceled || error.code() == std::errc::interrupted;
    if (cut_short) stop_if_interrupted();
    throw;
  }
}

void Session::interrupt() {
  interrupted_ = true;
  if (hurry_) hurry_();
}

}  // namespace vireo::cli
