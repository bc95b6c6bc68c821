// A network at the other end of a Unix socket: passt, QEMU's -netdev stream or dgram, another VMM.
// Frames have no headers there, so the guest leaves nothing undone.
//
// Thread: the loop's. A stream whose other end goes is a link that goes down; it is connected to
// again as soon as somebody listens there.
#pragma once

#include <memory>
#include <string>

#include "devices/net/backend.h"
#include "devices/net/socket_config.h"
#include "vmm/base/log.h"

namespace vireo::dev {

// Connects, or binds; throws ConfigError and std::system_error.
std::unique_ptr<NetBackend> open_socket_net(const std::string& name, const SocketNetConfig& config,
                                            const Logger& log);

}  // namespace vireo::dev
