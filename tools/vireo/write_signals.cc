#include "tools/vireo/write_signals.h"

#include <csignal>

namespace vireo::cli {

void turn_write_signals_into_errors() {
  constexpr int kSignals[] = {SIGPIPE, SIGXFSZ};
  sigset_t set;
  sigemptyset(&set);
  for (const int number : kSignals) sigaddset(&set, number);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  for (const int number : kSignals) ::signal(number, SIG_DFL);
}

}  // namespace vireo::cli
