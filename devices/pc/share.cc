#include "devices/pc/share.h"

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::pc {

namespace {

void set_tag(std::string& tag, const std::string& text) {
  if (text.size() > dev::P9::kMaxTag)
    throw ConfigError(fmt::format("the tag is longer than {} bytes", dev::P9::kMaxTag));
  tag = text;
}

void set_squash(std::optional<p9::Owner>& squash, const std::string& text) {
  const auto [uid, gid] = parse_owner("", text);
  squash = p9::Owner{uid, gid};
}

std::string text_of(const std::optional<p9::Owner>& owner) {
  return owner ? fmt::format("{}:{}", owner->uid, owner->gid) : "";
}

}  // namespace

Keys keys_of(ShareSpec& config) {
  using p9::Security;
  p9::ShareConfig& share = config.share;
  return Keys()
      .text({"path", "DIR", "the directory"}, share.directory)
      .word(
          {"tag", "T", "what the guest mounts the directory by, up to 31 bytes"},
          [&config](const std::string& text) { set_tag(config.tag, text); },
          [&config] { return config.tag; })
      .flag({"readonly", "on", "the guest cannot change anything"}, share.read_only)
      .choice<Security>(
          {"security", "MODEL",
           "what the files that the guest makes are on the host: none: as the guest has them, and "
           "where the host does not let their owner be changed, it stays quiet; passthrough: as "
           "the "
           "guest has them, or not at all, for root; mapped-xattr: owners, modes and device nodes "
           "are kept in attributes user.virtfs.*, as by QEMU; mapped-file: the same in files "
           ".virtfs_metadata/NAME, for file systems without attributes"},
          share.security,
          {{"none", Security::none},
           {"passthrough", Security::passthrough},
           {"mapped-xattr", Security::mapped_xattr},
           {"mapped-file", Security::mapped_file}})
      .word(
          {"squash", "UID:GID",
           "all that the guest makes belongs to this user and group of the host"},
          [&share](const std::string& text) { set_squash(share.squash, text); },
          [&share] { return text_of(share.squash); })
      .size({"msize", "SIZE", "the longest message, up to 1M (1M)"}, share.max_message,
            p9::kMinMessage, p9::kMaxMessage);
}

void check(std::string_view of, const ShareSpec& share) {
  if (share.tag.empty()) throw ConfigError(fmt::format("{}: 'tag' is missing", of));
  if (share.share.directory.empty()) throw ConfigError(fmt::format("{}: 'path' is missing", of));
}

}  // namespace vireo::pc
