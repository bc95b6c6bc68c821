// Passwords come in files: a command line is everybody's to read.
#pragma once

#include <string>

namespace vireo::display {

// The first line of the file, which must not be empty. Errors name the option.
std::string read_password(const std::string& option, const std::string& path);

}  // namespace vireo::display
