#include "tools/vireo/completion.h"

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/image.h"

namespace vireo::cli {

namespace {

// Each asks vireo itself what may come next; where it says nothing, the shell offers files.
// Bash takes "=" and ":" for ends of words, so its words are read off the line, and what stands
// before the last such character is taken off what it is given.
constexpr const char* kBash = R"(_vireo() {
  local line=${COMP_LINE:0:COMP_POINT} words=()
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  local written=${words[-1]}
  mapfile -t COMPREPLY < <("${words[0]}" completion words "${words[@]:1}" 2>/dev/null)
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
  COMPREPLY=("${COMPREPLY[@]#"${written%"${written##*[=:]}"}"}")
}
complete -o default -F _vireo vireo
)";
constexpr const char* kZsh = R"(#compdef vireo
_vireo() {
  local -a found
  found=("${(@f)$("${words[1]}" completion words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  found=("${(@)found:#}")
  if (( $#found )); then
    local -a keys rest
    keys=("${(@M)found:#*=}") rest=("${(@)found:#*=}")
    (( $#keys )) && compadd -S '' -- "${keys[@]}"
    (( $#rest )) && compadd -- "${rest[@]}"
  else
    _files
  fi
}
if [[ $funcstack[1] == _vireo ]]; then _vireo "$@"; else compdef _vireo vireo; fi
)";
constexpr const char* kFish = R"(function __vireo_words
  set -l words (commandline -opc) (commandline -ct)
  $words[1] completion words $words[2..-1] 2>/dev/null
end
complete -c vireo -f -n 'test (count (__vireo_words)) -gt 0' -a '(__vireo_words)'
)";

constexpr const char* kFooter = R"(For bash, in ~/.bashrc:   source <(vireo completion bash)
For zsh, in ~/.zshrc:     source <(vireo completion zsh)
For fish:                 vireo completion fish > ~/.config/fish/completions/vireo.fish)";

std::vector<std::string> next_words(const Options& program, const std::vector<std::string>& words) {
  if (words.size() > 1 && words[0] == "image")
    return image_candidates({words.begin() + 1, words.end()});
  return program.candidates(words);
}

const char* script_of(std::string_view shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  if (shell == "fish") return kFish;
  throw UsageError(
      fmt::format("completion: '{}' is no shell that is known: bash, zsh, fish", shell));
}

}  // namespace

bool is_asked_for_words(int argc, char** argv) {
  return argc > 2 && std::string_view(argv[1]) == "completion" &&
         std::string_view(argv[2]) == "words";
}

int print_words(const Options& program, const std::vector<std::string>& words) {
  for (const std::string& word : next_words(program, words)) std::puts(word.c_str());
  return kOk;
}

void add_completion(Options& program) {
  Options command =
      program.command("completion", "Print the script by which a shell completes vireo's options");
  auto shell = std::make_shared<std::string>();
  command.operand("SHELL", *shell, "bash, zsh or fish").require();
  command.footer(kFooter);
  command.action([shell] {
    std::fputs(script_of(*shell), stdout);
    return kOk;
  });
}

}  // namespace vireo::cli
