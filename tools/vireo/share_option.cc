#include "tools/vireo/share_option.h"

#include <set>

#include <fmt/format.h>

#include "tools/vireo/parse.h"
#include "vmm/base/error.h"

namespace vireo::cli {

const char* const kShareHelp =
    R"(What --share SPEC is made of; a first part without a key is the directory:
  path=DIR, tag=T    the guest mounts the directory by its tag
  readonly=on        the guest cannot change anything
  security=MODEL     what the files that the guest makes are on the host:
                       none          as the guest has them; where the host does not let users be
                                     changed, it stays quiet
                       passthrough   as the guest has them, or not at all; for root
                       mapped-xattr  owners, modes and device nodes are kept in attributes
                                     user.virtfs.*, as by QEMU
                       mapped-file   the same in files .virtfs_metadata/NAME, for file systems
                                     without attributes
  squash=UID:GID     all that the guest makes belongs to this user and group of the host
  msize=SIZE         the longest message, up to 1M (1M)
)";

namespace {

p9::Security parse_security(const std::string& word) {
  if (word == "none") return p9::Security::none;
  if (word == "passthrough") return p9::Security::passthrough;
  if (word == "mapped-xattr") return p9::Security::mapped_xattr;
  if (word == "mapped-file") return p9::Security::mapped_file;
  throw ConfigError(fmt::format(
      "--share: security={}: it is none, passthrough, mapped-xattr or mapped-file", word));
}

uint32_t parse_message_size(const std::string& text) {
  const uint64_t bytes = parse_size("--share: msize", text);
  if (bytes < p9::kMinMessage || bytes > p9::kMaxMessage)
    throw ConfigError(fmt::format("--share: msize={}: it is {} to {} bytes", text, p9::kMinMessage,
                                  p9::kMaxMessage));
  return static_cast<uint32_t>(bytes);
}

dev::P9Config parse_share(const std::string& text) {
  const KeyValues keys("--share", text, "path",
                       {"path", "tag", "readonly", "security", "squash", "msize"});
  dev::P9Config config;
  config.tag = keys.need("tag");
  if (config.tag.size() > dev::P9::kMaxTag)
    throw ConfigError(
        fmt::format("--share: the tag '{}' is longer than {} bytes", config.tag, dev::P9::kMaxTag));
  config.share.directory = keys.need("path");
  config.share.read_only = keys.flag("readonly", false);
  config.share.security = parse_security(keys.get("security", "none"));
  config.share.max_message = parse_message_size(keys.get("msize", "1M"));
  if (const auto squash = keys.find("squash")) {
    const auto [uid, gid] = parse_owner("--share: squash", *squash);
    config.share.squash = p9::Owner{uid, gid};
  }
  return config;
}

}  // namespace

std::vector<dev::P9Config> parse_shares(const std::vector<std::string>& texts) {
  std::vector<dev::P9Config> shares;
  std::set<std::string> tags;
  for (const std::string& text : texts) {
    shares.push_back(parse_share(text));
    if (!tags.insert(shares.back().tag).second)
      throw ConfigError(fmt::format("--share: two shares have the tag '{}'", shares.back().tag));
  }
  return shares;
}

}  // namespace vireo::cli
