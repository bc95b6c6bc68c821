#include "tools/vireo/image/session.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <system_error>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/format.h"
#include "tools/vireo/image/qemu_words.h"

namespace vireo::cli {

namespace {

void print_finding(const std::string& line) {
  std::fprintf(stderr, "%s\n", printable(line).c_str());
}

// A command's lines are as many as its findings, so the log's limit, which is for machines that run
// on, stays out of it: on this clock a second passes between two lines.
Logger make_log(QemuFindings& findings) {
  const auto later = [now = Logger::Clock::time_point{}]() mutable {
    return now += std::chrono::seconds(1);
  };
  // Scripts that compare what QEMU's programs print get its words here, too. Every line is written:
  // who reads a command's findings may be slow.
  const auto print = [&findings](LogLevel, std::string_view, std::string_view text) {
    if (speaks_qemu())
      findings.add(std::string(text));
    else
      complain(std::string(text));
  };
  return Logger(LogLevel::warn, print, later);
}

}  // namespace

Session::Session() : findings_(print_finding), log_(make_log(findings_)) {
  watch_ = signals_.watch(loop_, terminal_, {.terminate = [this](int) { interrupt(); }});
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
