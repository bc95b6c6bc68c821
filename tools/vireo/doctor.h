// `vireo doctor`: can this host run virtual machines, and what to do if not.
#pragma once

#include <string>
#include <vector>

#include "tools/vireo/options.h"

namespace vireo::cli {

struct Finding {
  enum class Grade : uint8_t { good, note, bad };
  Grade grade = Grade::good;
  std::string subject{};  // "kvm", "tap", … stable, for scripts
  std::string text{};     // what is so
  std::string advice{};   // what to do; empty when nothing
};

// Everything that is looked at. Ordinary guests can run when none is bad.
std::vector<Finding> examine_host();

// Adds the command.
void add_doctor(Options& program);

}  // namespace vireo::cli
