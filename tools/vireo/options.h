// The options of a command: declared with their help, bound to variables, then read from argv.
//
// The parser behind it is a large header, which only options.cc reads.
// Thread: the main one. What is bound must live until parse() has returned. Errors: UsageError,
// which says what is wrong with the command line.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace vireo::cli {

// How the values of some options are completed.
using Completions = std::map<const CLI::Option*,
                             std::function<std::vector<std::string>(const std::string& written)>>;

// One option that is declared, to say more of it.
class Option {
 public:
  Option(Completions& completions, CLI::Option& option)
      : completions_(&completions), option_(&option) {}

  Option& show_default();                        // in the help: what the variable holds now
  Option& say_default(const std::string& text);  // the same of what holds no variable
  Option& require(bool required = true);
  Option& one_of(const std::vector<std::string>& words);
  Option& within(uint64_t least, uint64_t most);  // for numbers
  Option& exclude(const Option& other);
  // For shells that complete its value: gives what the part of it that has been written may become.
  using Complete = std::function<std::vector<std::string>(const std::string& written)>;
  Option& complete(Complete complete);

 private:
  Completions* completions_;
  CLI::Option* option_;
};

// A program, one of its commands, or a group of a command's options. Copies mean the same one.
class Options {
 public:
  // `program`: what the usage line calls it.
  Options(const std::string& summary, const std::string& program);

  // One of them has to be given. Of an option that is given twice the last value counts.
  Options command(const std::string& name, const std::string& summary);
  // At most one of the group's options may be given.
  Options choice(const std::string& name, const std::string& summary);

  // `names`: "-f,--format". `value`: what the help calls the option's value.
  Option flag(const std::string& names, bool& given, const std::string& help);
  Option option(const std::string& names, const std::string& value, std::string& text,
                const std::string& help);
  Option option(const std::string& names, const std::string& value,
                std::optional<std::string>& text, const std::string& help);
  Option option(const std::string& names, const std::string& value, uint64_t& number,
                const std::string& help);
  // May be given several times; each adds one text.
  Option option(const std::string& names, const std::string& value, std::vector<std::string>& texts,
                const std::string& help);
  // These are told each time that they are given, in the order of the command line.
  Option flag(const std::string& names, std::function<void()> given, const std::string& help);
  Option option(const std::string& names, const std::string& value,
                std::function<void(const std::string&)> given, const std::string& help);
  // A word that belongs to no option, or all such words that are left.
  Option operand(const std::string& name, std::string& text, const std::string& help);
  Option operand(const std::string& name, std::optional<std::string>& text,
                 const std::string& help);
  Option operands(const std::string& name, std::vector<std::string>& texts,
                  const std::string& help);

  void footer(const std::string& text);
  // With lines before it that are made only when the help is asked for.
  void footer(std::function<std::string()> before, const std::string& text);
  void version(const std::string& names, const std::string& text);
  // What the command does; its result is the exit status.
  void action(std::function<int()> action);

  // What the words behind the program's name may go on with (candidates.h).
  std::vector<std::string> candidates(const std::vector<std::string>& words) const;
  // Reads the command line and returns what the command's action did, or 0 after --help.
  int parse(int argc, char** argv);

 private:
  struct Program;
  Options(std::shared_ptr<Program> program, CLI::App& app)
      : program_(std::move(program)), app_(&app) {}

  std::shared_ptr<Program> program_;
  CLI::App* app_;
};

}  // namespace vireo::cli
