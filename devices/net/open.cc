#include "devices/net/open.h"

#include "devices/net/socket.h"
#include "devices/net/tap.h"
#include "devices/net/user.h"

namespace vireo::dev {

namespace {

struct Opener {
  const std::string& name;
  const Logger& log;

  std::unique_ptr<NetBackend> operator()(const UserNetConfig& config) const {
    return std::make_unique<UserNet>(name, config, log);
  }
  std::unique_ptr<NetBackend> operator()(const TapConfig& config) const {
    return std::make_unique<TapNet>(name, open_tap(config), config.vhost, log);
  }
  std::unique_ptr<NetBackend> operator()(const SocketNetConfig& config) const {
    return open_socket_net(name, config, log);
  }
};

}  // namespace

std::unique_ptr<NetBackend> open_net(const std::string& name, const NetSpec& spec,
                                     const Logger& log) {
  return std::visit(Opener{name, log}, spec);
}

}  // namespace vireo::dev
