// What the command says to its user, on standard error. Any thread.
#pragma once

#include <string_view>

namespace vireo::cli {

// One line, "vireo: TEXT", in which nothing can steer a terminal. A reader of standard error that
// has stopped is waited for for a second, then the line is lost.
void tell(std::string_view text);

}  // namespace vireo::cli
