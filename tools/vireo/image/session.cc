#include "tools/vireo/image/session.h"

#include <unistd.h>

#include <system_error>

#include "tools/vireo/exit_status.h"

namespace vireo::cli {

Session::Session() : log_(Logger::to_stderr(LogLevel::warn)) {
  watch_ = signals_.watch(loop_, terminal_, {.terminate = [this] { interrupt(); }});
}

void Session::run_job(Task<void> task) {
  try {
    run(std::move(task));
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::operation_canceled) stop_if_interrupted();
    throw;
  }
}

void Session::interrupt() {
  if (std::exchange(interrupted_, true)) ::_exit(kStopped);
  if (hurry_) hurry_();
}

}  // namespace vireo::cli
