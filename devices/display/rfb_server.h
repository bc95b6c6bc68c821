// An RFB (VNC) server, RFC 6143: shows one screen to several viewers, through sockets and through
// WebSockets to browsers, and gives their keys and pointers to one input.
//
// Thread: all of it on the loop; the constructor also before the loop runs. The screen and the
// input outlive the server. Nothing is polled while no viewer has asked for an update. What one
// viewer does is its own affair: it can neither hold up another nor make us keep more than about
// one picture for it. Connections and tries of passwords are bounded so that nobody keeps others
// out (who_gives_way.h, login_throttle.h). The constructor listens at once; it throws ConfigError,
// naming what is wrong, before anything listens when a setting cannot be.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "devices/display/screen.h"
#include "vmm/base/error.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/log.h"
#include "vmm/base/task.h"

namespace vireo::display {

struct RfbConfig {
  // What happens when a viewer asks for the screen alone: the others are sent away
  // (allow_exclusive), it is refused (force_shared), or nobody cares (ignore).
  enum class Sharing : uint8_t { allow_exclusive, force_shared, ignore };

  // "HOST:PORT", "[IPV6]:PORT" or "unix:PATH"; empty: not there. Port 0: any that is free.
  std::string vnc{};
  std::string web{};  // the page for browsers, and their WebSocket

  std::string name = "vireo";      // what viewers call the screen
  std::string keyboard = "en-us";  // the guest's layout, for viewers that send characters
  std::string password{};          // of VNC: 1…8 bytes; empty: none is asked for
  // PEM files, both or none. With them viewers must use TLS (VeNCrypt), browsers https.
  std::string certificate{};
  std::string key{};
  // Without a password only the unix socket and loopback are open; true: everything is.
  bool open_to_all = false;
  Sharing sharing = Sharing::allow_exclusive;
  std::string novnc = "/usr/share/novnc";  // where the page finds noVNC
  // What a viewer's power button does (RFB's xvp shutdown); none: viewers have no such button.
  std::function<void()> power_button{};
  Logger log{};
};

// The screen would be anybody's.
class OpenToAllError : public ConfigError {
 public:
  using ConfigError::ConfigError;
};

class RfbServer {
 public:
  RfbServer(EventLoop& loop, Screen& screen, Input& input, RfbConfig config);
  RfbServer(const RfbServer&) = delete;
  RfbServer& operator=(const RfbServer&) = delete;
  ~RfbServer();  // after stop()

  // Sends all viewers away, releases what they hold pressed, and ends listening. Idempotent.
  Task<void> stop();

  // Where it listens, as in the configuration but with the ports that are really taken: vnc, then
  // web.
  std::vector<std::string> addresses() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vireo::display
