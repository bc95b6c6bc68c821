#include "tools/vireo/image/session.h"

#include <system_error>

namespace vireo::cli {

Session::Session() : log_(Logger::to_stderr(LogLevel::warn)) {
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
