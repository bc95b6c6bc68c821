// Reads the JSON objects that image names may be ("json:{…}", RFC 8259), as far as such names go:
// into members with dotted keys, "file.filename", in which the elements of arrays have their index.
//
// Pure; any thread. Errors: ConfigError that says what is wrong with the text.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace vireo {

// Numbers, true, false and null become their text; an empty object or array leaves nothing.
std::map<std::string, std::string> flatten_json(std::string_view text);

}  // namespace vireo
