#include "tools/vireo/command_line.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>
#include <sstream>
#include <utility>

#include <CLI/CLI.hpp>  // the parts that App.hpp declares only
#include <fmt/format.h>

#include "tools/vireo/exit_status.h"

namespace vireo::cli {

namespace {

// The number of characters to insert, take away or replace (Levenshtein's distance).
size_t distance(std::string_view from, std::string_view to) {
  std::vector<size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < from.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < to.size(); ++j) {
      const size_t replaced = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 26> kQemus{{
    {"-m", "--memory SIZE"},
    {"-smp", "--cpus N"},
    {"-kernel", "--kernel FILE"},
    {"-initrd", "--initrd FILE"},
    {"-append", "--append STR"},
    {"-drive", "--disk path=FILE,format=raw|qcow2"},
    {"-hda", "--disk FILE"},
    {"-blockdev", "--disk path=FILE,format=raw|qcow2"},
    {"-cdrom", "--cdrom FILE"},
    {"-serial", "--serial"},
    {"-netdev", "--net"},
    {"-nic", "--net"},
    {"-net", "--net"},
    {"-virtfs", "--share path=DIR,tag=NAME"},
    {"-fsdev", "--share path=DIR,tag=NAME"},
    {"-vnc", "--display vnc=ADDRESS:PORT"},
    {"-display", "--display"},
    {"-name", "--name NAME"},
    {"-no-reboot", "--no-reboot"},
    {"-device", "--disk, --net or --debug-exit"},
    {"-enable-kvm", "nothing, KVM is always used"},
    {"-accel", "nothing, KVM is always used"},
    {"-cpu", "nothing, the guest has the host's processor"},
    {"-nographic", "nothing, the serial port is on the terminal"},
    {"-machine", "nothing, there is one kind of machine"},
    {"-M", "nothing, there is one kind of machine"},
}};

std::vector<std::string> names_of_commands(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) names.push_back(command->get_name());
  return names;
}

std::vector<std::string> names_of_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

[[noreturn]] void fail(const std::string& why) {
  throw UsageError(why + " (try --help)");
}

std::string did_you_mean(const std::string& known) {
  return known.empty() ? "" : fmt::format(", did you mean {}?", known);
}

void check_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  const std::string word = argv[1];
  const auto known = names_of_commands(app);
  if (known.empty() || std::find(known.begin(), known.end(), word) != known.end()) return;
  fail(fmt::format("there is no command '{}'{}", word, did_you_mean(nearest(word, known))));
}

// "unknown option --memroy, did you mean --memory?", and for those of QEMU's that starts a machine
// all of them at once.
void check_options(const CLI::App& command) {
  const bool runs = command.get_name() == "run";
  std::vector<std::string> of_qemu;
  for (const std::string& word : command.remaining()) {
    const std::string option = word.substr(0, word.find('='));
    if (!option.starts_with('-') || option.size() < 2) continue;
    if (const auto ours = in_place_of_qemus(option); runs && !ours.empty())
      of_qemu.push_back(fmt::format("for {} write {}", option, ours));
    else if (of_qemu.empty())
      fail(fmt::format("{} has no option {}{}", command.get_name(), option,
                       did_you_mean(nearest(option, names_of_options(command)))));
  }
  if (!of_qemu.empty())
    fail(fmt::format("{} does not have QEMU's options: {}", command.get_name(),
                     fmt::join(of_qemu, "; ")));
}

// Words that nobody knows explain why something else is missing.
[[noreturn]] void explain(const CLI::App& app, const CLI::ParseError& error) {
  for (const CLI::App* command : app.get_subcommands()) check_options(*command);
  check_options(app);
  fail(error.what());
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t least = word.size() / 3 + 2;  // further off, it is another word
  for (const std::string& candidate : candidates) {
    const size_t steps = distance(word, candidate);
    if (steps < least && steps < candidate.size()) best = candidate, least = steps;
  }
  return best;
}

std::string_view in_place_of_qemus(std::string_view option) {
  const auto* const found = std::find_if(kQemus.begin(), kQemus.end(),
                                         [&](const auto& pair) { return pair.first == option; });
  return found == kQemus.end() ? std::string_view() : found->second;
}

void parse_command_line(CLI::App& app, int argc, char** argv) {
  check_command(app, argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) explain(app, error);
    std::ostringstream text;
    app.exit(error, text, text);  // --help, --version
    std::fputs(text.str().c_str(), stdout);
  }
}

}  // namespace vireo::cli
