// The networks that an interface can be connected to, by what they were asked for.
//
// Thread: control.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "devices/net/backend.h"
#include "devices/net/socket_config.h"
#include "devices/net/tap_config.h"
#include "devices/net/user_config.h"
#include "vmm/base/log.h"

namespace vireo::dev {

using NetSpec = std::variant<UserNetConfig, TapConfig, SocketNetConfig>;

// `name` is the interface's, for the log. Throws ConfigError and std::system_error, with one
// sentence that names what can not be had.
std::unique_ptr<NetBackend> open_net(const std::string& name, const NetSpec& spec,
                                     const Logger& log);

}  // namespace vireo::dev
