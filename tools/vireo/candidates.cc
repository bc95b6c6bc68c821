#include "tools/vireo/candidates.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <string_view>

#include <CLI/CLI.hpp>

namespace vireo::cli {

namespace {

using Words = std::vector<std::string>;

// "FILE" stands for something else; "auto" and "stdio" stand for themselves.
bool is_literal(std::string_view word) {
  return !word.empty() && std::ranges::none_of(word, [](unsigned char c) {
    return std::isupper(c) != 0 || c == ':' || c == '[';
  });
}

// Of "stdio|null|file:PATH": those that are written as they stand.
Words literals(const std::string& values) {
  Words found;
  size_t from = 0;
  while (from <= values.size()) {
    const size_t bar = std::min(values.find('|', from), values.size());
    if (std::string word = values.substr(from, bar - from); is_literal(word))
      found.push_back(std::move(word));
    from = bar + 1;
  }
  return found;
}

Words options_of(const CLI::App& command) {
  Words names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  for (const CLI::App* group : command.get_subcommands(nullptr))
    if (group->get_name().empty()) std::ranges::copy(options_of(*group), std::back_inserter(names));
  return names;
}

Words commands_of(const CLI::App& program) {
  Words names;
  for (const CLI::App* command : program.get_subcommands(nullptr))
    if (!command->get_name().empty()) names.push_back(command->get_name());
  return names;
}

// The option whose value the word after `word` is; null: that is none's.
const CLI::Option* waiting(const CLI::App& command, const std::string& word) {
  if (!word.starts_with('-')) return nullptr;
  const CLI::Option* option = command.get_option_no_throw(word);
  return option != nullptr && option->get_items_expected_max() > 0 ? option : nullptr;
}

Words values_of(const CLI::Option& option, const Completions& completions,
                const std::string& written) {
  const auto found = completions.find(&option);
  return found == completions.end() ? literals(option.get_type_name()) : found->second(written);
}

const CLI::App& command_of(const CLI::App& program, const Words& words) {
  if (words.size() > 1)
    for (const CLI::App* command : program.get_subcommands(nullptr))
      if (command->get_name() == words[0]) return *command;
  return program;
}

}  // namespace

Words candidates(const CLI::App& program, const Completions& completions, const Words& words) {
  if (words.empty()) return {};
  const CLI::App& command = command_of(program, words);
  const std::string& written = words.back();
  const CLI::Option* option =
      words.size() > 1 ? waiting(command, words[words.size() - 2]) : nullptr;
  Words next = option != nullptr          ? values_of(*option, completions, written)
               : written.starts_with('-') ? options_of(command)
                                          : commands_of(command);
  std::erase_if(next, [&](const std::string& word) { return !word.starts_with(written); });
  return next;
}

Words complete_keys(const std::vector<pc::Keys::Description>& keys, const std::string& written) {
  const size_t comma = written.rfind(',');
  const size_t from = comma == std::string::npos ? 0 : comma + 1;
  const std::string before = written.substr(0, from);
  const size_t equals = written.find('=', from);
  Words words;
  for (const auto& [key, is_flag, value, values] : keys) {
    const std::string name(key.name);
    if (equals == std::string::npos)
      words.push_back(before + name + (key.values.empty() ? "" : "="));
    else if (written.substr(from, equals - from) == name)
      for (const std::string& word : values.empty() ? literals(std::string(key.values)) : values)
        words.push_back(written.substr(0, equals + 1) + word);
  }
  return words;
}

}  // namespace vireo::cli
