#include "tools/vireo/options.h"

#include <utility>

#include <CLI/CLI.hpp>

#include "tools/vireo/candidates.h"
#include "tools/vireo/command_line.h"
#include "tools/vireo/exit_status.h"

namespace vireo::cli {

Option& Option::show_default() {
  option_->capture_default_str();
  return *this;
}

Option& Option::say_default(const std::string& text) {
  option_->default_str(text);
  return *this;
}

Option& Option::require(bool required) {
  option_->required(required);
  return *this;
}

Option& Option::one_of(const std::vector<std::string>& words) {
  option_->check(CLI::IsMember(words));
  return *this;
}

Option& Option::within(uint64_t least, uint64_t most) {
  option_->check(CLI::Range(least, most));
  return *this;
}

Option& Option::exclude(const Option& other) {
  option_->excludes(other.option_);
  return *this;
}

Option& Option::complete(Complete complete) {
  (*completions_)[option_] = std::move(complete);
  return *this;
}

struct Options::Program {
  Program(const std::string& summary, const std::string& name) : app(summary, name) {}

  CLI::App app;
  Completions completions;
  int status = kOk;
};

Options::Options(const std::string& summary, const std::string& program)
    : program_(std::make_shared<Program>(summary, program)), app_(&program_->app) {
  app_->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

Options Options::command(const std::string& name, const std::string& summary) {
  app_->require_subcommand(1);
  return {program_, *app_->add_subcommand(name, summary)};
}

Options Options::choice(const std::string& name, const std::string& summary) {
  CLI::App& group = *app_->add_option_group(name, summary);
  group.require_option(0, 1);
  return {program_, group};
}

Option Options::flag(const std::string& names, bool& given, const std::string& help) {
  return Option(program_->completions, *app_->add_flag(names, given, help));
}

Option Options::option(const std::string& names, const std::string& value, std::string& text,
                       const std::string& help) {
  return Option(program_->completions, *app_->add_option(names, text, help)->type_name(value));
}

Option Options::option(const std::string& names, const std::string& value,
                       std::optional<std::string>& text, const std::string& help) {
  return Option(program_->completions, *app_->add_option(names, text, help)->type_name(value));
}

Option Options::option(const std::string& names, const std::string& value, uint64_t& number,
                       const std::string& help) {
  return Option(program_->completions, *app_->add_option(names, number, help)->type_name(value));
}

Option Options::option(const std::string& names, const std::string& value,
                       std::vector<std::string>& texts, const std::string& help) {
  CLI::Option& option = *app_->add_option(names, texts, help)->type_name(value);
  option.expected(1)->allow_extra_args(false);
  option.multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  return Option(program_->completions, option);
}

Option Options::flag(const std::string& names, std::function<void()> given,
                     const std::string& help) {
  return Option(program_->completions,
                *app_->add_flag_callback(names, std::move(given), help)->trigger_on_parse());
}

Option Options::option(const std::string& names, const std::string& value,
                       std::function<void(const std::string&)> given, const std::string& help) {
  CLI::Option& option = *app_->add_option_function(names, std::move(given), help);
  return Option(program_->completions, *option.type_name(value)->trigger_on_parse());
}

Option Options::operand(const std::string& name, std::string& text, const std::string& help) {
  return Option(program_->completions, *app_->add_option(name, text, help)->type_name(""));
}

Option Options::operand(const std::string& name, std::optional<std::string>& text,
                        const std::string& help) {
  return Option(program_->completions, *app_->add_option(name, text, help)->type_name(""));
}

Option Options::operands(const std::string& name, std::vector<std::string>& texts,
                         const std::string& help) {
  return Option(program_->completions, *app_->add_option(name, texts, help)->type_name(""));
}

void Options::footer(const std::string& text) {
  app_->footer(text);
}

void Options::footer(std::function<std::string()> before, const std::string& text) {
  app_->footer(text);
  app_->footer(std::move(before));
}

void Options::version(const std::string& names, const std::string& text) {
  app_->set_version_flag(names, text);
}

void Options::action(std::function<int()> action) {
  app_->callback([&status = program_->status, action = std::move(action)] { status = action(); });
}

std::vector<std::string> Options::candidates(const std::vector<std::string>& words) const {
  return cli::candidates(*app_, program_->completions, words);
}

int Options::parse(int argc, char** argv) {
  parse_command_line(*app_, argc, argv);
  return program_->status;
}

}  // namespace vireo::cli
