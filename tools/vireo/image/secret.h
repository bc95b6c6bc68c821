// --object secret,…: passwords and keys of encrypted images, as QEMU takes them.
//
// Errors: ConfigError that names the key.
#pragma once

#include <string>
#include <vector>

#include "tools/vireo/options.h"

namespace vireo::cli {

// Throws when `text` is no "secret,id=NAME,data=TEXT" or "secret,id=NAME,file=PATH".
void check_secret(const std::string& text);

// --object, repeatable. No format here is encrypted, so that a secret is checked and has no use.
void add_secret_option(Options& command);

}  // namespace vireo::cli
