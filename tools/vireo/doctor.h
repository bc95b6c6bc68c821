// `vireo doctor`: can this host run virtual machines, and what to do if not.
#pragma once

#include <string>
#include <vector>

#include <CLI/App.hpp>

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

// Adds the subcommand; its exit status goes to `status` when it was run.
void add_doctor(CLI::App& app, int& status);

}  // namespace vireo::cli
