// How far a long job is, shown to a person or a script that waits.
//
// With -p, lines as qemu-img prints them go to standard output: "    (45.20/100%)" and a carriage
// return. Without it, a bar is drawn on standard error if that is a terminal; -q shows nothing.
// Thread: the session's.
#pragma once

#include <chrono>
#include <cstdint>

#include "tools/vireo/options.h"

namespace vireo::cli {

struct ProgressArguments {
  bool show = false;   // -p
  bool quiet = false;  // -q
};
void add_progress_options(Options& command, ProgressArguments& arguments);

class Progress {
 public:
  explicit Progress(const ProgressArguments& arguments);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();  // gives the line back

  // Cheap enough for every step: shows something new at most ten times a second.
  void update(uint64_t done, uint64_t total);

 private:
  enum class Style : uint8_t { none, lines, bar };
  void show(double fraction);

  Style style_ = Style::none;
  std::chrono::steady_clock::time_point next_{};
  double shown_ = -1;
};

}  // namespace vireo::cli
