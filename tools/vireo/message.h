// What the command says to its user, on standard error, in which nothing can steer a terminal. A
// reader of standard error that has stopped is waited for for a second, then the line is lost. Any
// thread.
#pragma once

#include <string_view>

namespace vireo::cli {

// One line, "vireo: TEXT".
void tell(std::string_view text);
// The same for a text whose ends of lines are ours: the first line, and the others as they are.
void tell_lines(std::string_view text);

}  // namespace vireo::cli
