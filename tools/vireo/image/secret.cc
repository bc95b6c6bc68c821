#include "tools/vireo/image/secret.h"

#include <fmt/format.h>

#include "tools/vireo/image/image_name.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

constexpr const char* kType = "secret";

}  // namespace

void check_secret(const std::string& text) {
  ImageOptions keys = parse_image_options(text);
  const bool named = keys.contains("qom-type");
  const std::string type = named ? keys["qom-type"] : text.substr(0, text.find(','));
  if (type != kType)
    throw ConfigError(fmt::format("--object {}: only objects of the type secret are known", type));
  keys.erase(named ? "qom-type" : kType);
  if (keys["id"].empty()) throw ConfigError("--object secret: its id is missing; write id=NAME");
  if (keys.contains("data") == keys.contains("file"))
    throw ConfigError("--object secret: write either data=TEXT or file=PATH");
  for (const auto& [key, value] : keys)
    if (key != "id" && key != "data" && key != "file" && key != "format" && key != "keyid" &&
        key != "iv")
      throw ConfigError(fmt::format("--object secret: '{}' is not known", key));
}

void add_secret_option(Options& command) {
  command.option("--object", "OBJECT", check_secret,
                 "secret,id=NAME,data=TEXT or file=PATH: checked, for images that are encrypted");
}

}  // namespace vireo::cli
