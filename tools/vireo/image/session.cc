#include "tools/vireo/image/session.h"

#include <unistd.h>

#include "tools/vireo/exit_status.h"

namespace vireo::cli {

Session::Session() : log_(Logger::to_stderr(LogLevel::warn)) {
  watch_ = signals_.watch(loop_, terminal_, [this] { interrupt(); });
}

void Session::interrupt() {
  if (std::exchange(interrupted_, true)) ::_exit(kStopped);
}

}  // namespace vireo::cli
