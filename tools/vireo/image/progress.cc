#include "tools/vireo/image/progress.h"

#include <unistd.h>

#include <cstdio>
#include <string>

namespace vireo::cli {

namespace {

constexpr auto kPause = std::chrono::milliseconds(100);
constexpr size_t kWidth = 40;

}  // namespace

void add_progress_options(Options& command, ProgressArguments& arguments) {
  command.flag("-p,--progress", arguments.show, "Print the progress (default: only on a terminal)");
  command.flag("-q,--quiet", arguments.quiet, "Print errors only");
}

Progress::Progress(const ProgressArguments& arguments) {
  if (arguments.quiet) return;
  if (arguments.show)
    style_ = Style::lines;
  else if (::isatty(STDERR_FILENO) == 1)
    style_ = Style::bar;
  if (style_ == Style::lines) show(0);
}

Progress::~Progress() {
  if (style_ == Style::lines) std::printf("\n");
  if (style_ == Style::bar && shown_ >= 0) std::fprintf(stderr, "\r\033[K");
}

void Progress::update(uint64_t done, uint64_t total) {
  if (style_ == Style::none) return;
  const bool complete = done >= total;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_ && !complete) return;
  next_ = now + kPause;
  const double fraction = complete ? 1 : static_cast<double>(done) / static_cast<double>(total);
  if (fraction != shown_) show(fraction);
}

void Progress::show(double fraction) {
  shown_ = fraction;
  if (style_ == Style::lines) {
    std::printf("    (%3.2f/100%%)\r", fraction * 100);
    std::fflush(stdout);
    return;
  }
  const auto filled = static_cast<size_t>(fraction * kWidth);
  const std::string bar = std::string(filled, '#') + std::string(kWidth - filled, '.');
  std::fprintf(stderr, "\r[%s] %5.1f%%", bar.c_str(), fraction * 100);
}

}  // namespace vireo::cli
