// One viewer of the RFB server: handshake, its messages, its updates.
//
// Thread: the loop's. Owns its stream. It keeps one update at most, and makes the next only when
// that has gone out: a viewer that does not read has only itself to wait for.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "devices/display/byte_stream.h"
#include "devices/display/input/viewer_keys.h"
#include "devices/display/peer.h"
#include "devices/display/picture/picture.h"
#include "devices/display/rfb/login_throttle.h"
#include "devices/display/rfb/rfb_wire.h"
#include "devices/display/rfb/updates.h"
#include "devices/display/rfb/vnc_password.h"
#include "devices/display/tls.h"
#include "devices/display/who_gives_way.h"
#include "vmm/base/async_sync.h"
#include "vmm/base/log.h"

namespace vireo::display {

class RfbSession;

// What a session needs of its server.
class RfbHost {
 public:
  virtual ~RfbHost() = default;
  // The picture as it is now, read anew when nobody has done so lately.
  virtual const Picture& fresh_picture() = 0;
  virtual const Picture& picture() const = 0;
  // A viewer waits for changes; it has pressed something, and looks for the answer.
  virtual void viewer_waits() = 0;
  virtual void viewer_acts() = 0;
  // As many viewers see the screen as may.
  virtual bool is_full() const = 0;
  virtual LoginThrottle& logins() = 0;
  // Whether the session may see the screen, which may cost others their place.
  virtual bool admit(RfbSession& session, bool shared) = 0;
  virtual void press_power() = 0;
};

struct RfbSessionConfig {
  std::string name;
  std::string password;
  const TlsCredentials* tls = nullptr;  // must be used
  bool power_button = false;
  Logger log;
  // How long a viewer may take for what software says by itself, a user for the password, and the
  // answer to wait until it is judged. Nobody keeps a place for longer without seeing the screen.
  static constexpr std::chrono::seconds kGreetingTime{5}, kPasswordTime{30}, kJudgeTime{10};
};

class RfbSession {
 public:
  RfbSession(EventLoop& loop, RfbHost& host, const RfbSessionConfig& config, const Keymap& keymap,
             SharedInput& input, Peer peer);
  RfbSession(const RfbSession&) = delete;
  RfbSession& operator=(const RfbSession&) = delete;

  // Until the viewer is gone. One of the two, once. On a plain socket TLS is asked for when there
  // are credentials; another stream belongs to the caller, who has done that.
  Task<void> run(std::unique_ptr<SocketStream> socket);
  Task<void> run(ByteStream& stream);

  // Sends the viewer away, in a later turn of the loop.
  void close() noexcept;
  const Peer& peer() const noexcept { return peer_; }
  bool is_closing() const noexcept { return closing_; }
  // How much would be lost with the connection.
  Worth worth() const noexcept;
  // Sees the screen.
  bool is_active() const noexcept { return updates_.has_value() && !closing_; }
  bool is_waiting() const noexcept { return is_active() && !busy_ && updates_->waiting(); }
  void picture_changed(const Change& change, Size size);

 private:
  template <class T>
  Task<bool> put(T value) {
    const auto bytes = bytes_of(value);
    co_return co_await stream_->write(bytes);
  }
  Task<bool> handshake();
  Task<std::optional<Version>> agree_on_version();
  Task<bool> authenticate(Version version);
  uint8_t security_type() const noexcept;
  Task<bool> offer_security(Version version);
  Task<bool> announce_security();
  Task<bool> vencrypt();
  Task<bool> agree_on_vencrypt();
  Task<bool> start_tls();
  Task<bool> check_password(Version version);
  Task<bool> is_right(VncChallenge expected);
  void expect_within(std::chrono::seconds time);
  Task<bool> refuse_connection(Version version, std::string_view why);
  Task<bool> refuse(Version version, std::string_view why);
  Task<bool> initialise();
  Task<void> serve();
  Task<void> converse();
  Task<void> read_to_end();

  Task<void> read_messages();
  Task<bool> handle(ViewerMessage message);
  void take(const SetEncodings& message);
  bool take(const SetPixelFormat& message);
  void take(const UpdateRequest& message);
  void take(const XvpRequest& message);
  Task<void> write_updates();
  void log_end(std::string_view why) const;

  EventLoop& loop_;
  RfbHost& host_;
  const RfbSessionConfig& config_;
  const Peer peer_;
  std::unique_ptr<SocketStream> socket_;  // until it is TLS'
  std::unique_ptr<TlsStream> tls_;
  ByteStream* stream_ = nullptr;  // the one to use
  std::optional<InputBuffer> in_;
  bool closing_ = false;
  bool has_greeted_ = false;  // and chosen what it was offered
  EventLoop::Registration deadline_;
  Event turn_;  // to have its password judged; also set when the session closes
  EventLoop::Registration wake_;

  ViewerKeys keys_;
  std::optional<Updates> updates_;
  Event due_;
  bool busy_ = false;  // an update is going out
};

}  // namespace vireo::display
