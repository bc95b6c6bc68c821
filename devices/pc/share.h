// A directory that the guest can mount, as `vireo run --share` and descriptions in JSON tell it.
// Plain values; any thread.
#pragma once

#include <string_view>

#include "devices/pc/keys.h"
#include "devices/virtio/p9.h"

namespace vireo::pc {

using ShareSpec = dev::P9Config;

Keys keys_of(ShareSpec& share);
// What no key by itself can tell. Throws ConfigError that begins with `of`.
void check(std::string_view of, const ShareSpec& share);

}  // namespace vireo::pc
