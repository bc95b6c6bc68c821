#include "devices/display/rfb_server.h"

#include <algorithm>
#include <list>
#include <optional>
#include <utility>

#include <fmt/core.h>

#include "devices/display/byte_stream.h"
#include "devices/display/input/keymap.h"
#include "devices/display/input/viewer_keys.h"
#include "devices/display/listener.h"
#include "devices/display/picture/picture.h"
#include "devices/display/rfb/login_throttle.h"
#include "devices/display/rfb/rfb_session.h"
#include "devices/display/rfb/vnc_password.h"
#include "devices/display/tls.h"
#include "devices/display/web/web_connection.h"
#include "devices/display/web/website.h"
#include "devices/display/who_gives_way.h"
#include "vmm/base/error.h"

namespace vireo::display {

namespace {

using std::chrono::milliseconds;

// While viewers wait: this long between two looks at the screen, and longer and longer while
// nothing changes. What has just been pressed shows soon, also when the guest takes its time.
constexpr milliseconds kShortest{16}, kLongest{100}, kAfterInput{4};
constexpr int kIdleShare = 4;  // the pause grows by a quarter
// The rest of the connections is for those who are not in yet.
constexpr size_t kMostConnections = 64, kMostViewers = 48;

// Whether a viewer that has neither a password nor TLS' secrecy may come from there.
void check_open(const Endpoint& endpoint, const RfbConfig& config) {
  if (endpoint.is_local() || config.open_to_all || !config.password.empty()) return;
  throw OpenToAllError(fmt::format(
      "everybody who reaches '{}' could use the screen: set a password, listen on 127.0.0.1 or a "
      "unix socket, or ask for a screen that is open to all",
      endpoint.text));
}

std::optional<Endpoint> endpoint_of(const std::string& text, const RfbConfig& config) {
  if (text.empty()) return std::nullopt;
  Endpoint endpoint = resolve_endpoint(text);
  check_open(endpoint, config);
  return endpoint;
}

RfbConfig checked(RfbConfig config) {
  if (config.password.size() > kMostPassword)
    throw ConfigError(
        fmt::format("the VNC password has {} bytes, and VNC knows {}: give a shorter one",
                    config.password.size(), kMostPassword));
  if (config.certificate.empty() != config.key.empty())
    throw ConfigError("TLS needs a certificate and its key: give both or none");
  return config;
}

std::unique_ptr<TlsCredentials> credentials_of(const RfbConfig& config) {
  if (config.certificate.empty()) return nullptr;
  return std::make_unique<TlsCredentials>(config.certificate, config.key);
}

std::unique_ptr<Website> website_of(const RfbConfig& config) {
  if (config.web.empty()) return nullptr;
  return std::make_unique<Website>(config.novnc);
}

std::unique_ptr<Listener> listen_at(const std::optional<Endpoint>& endpoint) {
  return endpoint ? std::make_unique<Listener>(*endpoint) : nullptr;
}

}  // namespace

// In this order: what can be refused is refused before anything listens.
struct RfbServer::State final : RfbHost {
  struct Connection {
    RfbSession session;
    WebConnection* web = nullptr;

    void close() noexcept {
      session.close();
      if (web != nullptr) web->close();
    }
  };

  // Among the connections, as long as it is there.
  class Known {
   public:
    Known(State& state, Connection& connection)
        : state_(state), at_(state.connections.insert(state.connections.end(), &connection)) {}
    Known(const Known&) = delete;
    Known& operator=(const Known&) = delete;
    ~Known() {
      if (state_.exclusive == &(*at_)->session) state_.exclusive = nullptr;
      state_.connections.erase(at_);
    }

   private:
    State& state_;
    const std::list<Connection*>::iterator at_;
  };

  State(EventLoop& event_loop, Screen& screen, Input& input_device, RfbConfig settings)
      : loop(event_loop),
        config(checked(std::move(settings))),
        keymap(config.keyboard),
        tls(credentials_of(config)),
        website(website_of(config)),
        session_config{.name = config.name,
                       .password = config.password,
                       .tls = tls.get(),
                       .power_button = static_cast<bool>(config.power_button),
                       .log = config.log},
        input(input_device),
        screen_picture(screen),
        throttle(event_loop) {
    const auto vnc_endpoint = endpoint_of(config.vnc, config);
    const auto web_endpoint = endpoint_of(config.web, config);
    vnc = listen_at(vnc_endpoint);
    web = listen_at(web_endpoint);
    if (vnc)
      vnc->start(loop, [this](UniqueFd socket, Peer peer) {
        accept(&State::serve_vnc, std::move(socket), std::move(peer));
      });
    if (website)
      web_config.emplace(WebConnection::Config{
          .website = *website, .tls = tls.get(), .has_password = !config.password.empty()});
    if (web)
      web->start(loop, [this](UniqueFd socket, Peer peer) {
        accept(&State::serve_web, std::move(socket), std::move(peer));
      });
  }

  // --- connections ---

  using Serve = Task<void> (State::*)(UniqueFd socket, Peer peer);

  // Those that give way end in a later turn of the loop: for so long there are some more.
  void accept(Serve serve, UniqueFd socket, Peer peer) {
    if (connections.size() >= 2 * kMostConnections) return;
    make_room(peer);
    serving.spawn((this->*serve)(std::move(socket), std::move(peer)));
  }

  void make_room(const Peer& newcomer) {
    std::vector<Connection*> open;
    std::vector<Place> places;
    for (Connection* connection : connections) {
      if (connection->session.is_closing()) continue;
      open.push_back(connection);
      places.push_back({connection->session.peer().origin, connection->session.worth()});
    }
    if (open.size() < kMostConnections) return;
    const std::optional<size_t> first = who_gives_way(places);
    VMM_CHECK(first, "there are fewer viewers than connections");
    config.log.guest_noise("vnc", fmt::format("too many connections: {} gives way to {}",
                                              open[*first]->session.peer().text, newcomer.text));
    open[*first]->close();
  }

  size_t viewers() const {
    return static_cast<size_t>(std::ranges::count_if(
        connections, [](const Connection* connection) { return connection->session.is_active(); }));
  }
  bool is_full() const override { return viewers() >= kMostViewers; }
  LoginThrottle& logins() override { return throttle; }

  Task<void> serve_vnc(UniqueFd socket, Peer peer) {
    Connection connection{.session{loop, *this, session_config, keymap, input, std::move(peer)}};
    const Known known(*this, connection);
    auto stream = std::make_unique<SocketStream>(loop, std::move(socket));
    co_await connection.session.run(std::move(stream));
  }

  Task<void> serve_web(UniqueFd socket, Peer peer) {
    Connection connection{.session{loop, *this, session_config, keymap, input, std::move(peer)}};
    WebConnection browser(loop, *web_config, connection.session);
    connection.web = &browser;
    const Known known(*this, connection);
    auto stream = std::make_unique<SocketStream>(loop, std::move(socket));
    co_await browser.run(std::move(stream));
  }

  Task<void> stop() {
    if (vnc) vnc->stop();
    if (web) web->stop();
    for (Connection* connection : connections) connection->close();
    co_await serving.join();
    look_timer.reset();
  }

  bool admit(RfbSession& session, bool shared) override {
    if (is_full()) return false;
    if (config.sharing == RfbConfig::Sharing::ignore) return true;
    if (config.sharing == RfbConfig::Sharing::force_shared) return shared;
    if (shared && exclusive != nullptr && exclusive->is_active()) return false;
    exclusive = shared ? nullptr : &session;
    if (shared) return true;
    for (Connection* connection : connections)
      if (&connection->session != &session && connection->session.is_active())
        connection->session.close();
    return true;
  }

  void press_power() override { config.power_button(); }

  // --- the picture ---

  const Picture& picture() const override { return screen_picture; }

  const Picture& fresh_picture() override {
    if (!looked_at || loop.now() - *looked_at >= kShortest) look();
    return screen_picture;
  }

  void viewer_waits() override { look_by(looked_at ? *looked_at + pause : loop.now()); }

  void viewer_acts() override {
    pause = kAfterInput;
    if (is_waited_for()) look_by(loop.now() + pause);
  }

  bool is_waited_for() const {
    return std::any_of(connections.begin(), connections.end(), [](const Connection* connection) {
      return connection->session.is_waiting();
    });
  }

  void look_by(EventLoop::Clock::time_point due) {
    if (look_timer && look_due <= due) return;
    look_due = due;
    look_timer = loop.after(due - loop.now(), [this] {
      look_timer.reset();
      if (is_waited_for()) look();
      if (is_waited_for()) viewer_waits();
    });
  }

  void look() {
    looked_at = loop.now();
    const Change change = screen_picture.refresh();
    pause = change.tiles.empty() ? std::min(pause + pause / kIdleShare, kLongest) : kShortest;
    for (Connection* connection : connections)
      connection->session.picture_changed(change, screen_picture.size());
  }

  EventLoop& loop;
  const RfbConfig config;
  const Keymap keymap;
  const std::unique_ptr<TlsCredentials> tls;
  const std::unique_ptr<Website> website;
  const RfbSessionConfig session_config;
  std::optional<WebConnection::Config> web_config;
  SharedInput input;
  Picture screen_picture;
  LoginThrottle throttle;

  std::unique_ptr<Listener> vnc, web;
  std::list<Connection*> connections;  // each in the frame of its task
  Scope serving{[this](const std::exception_ptr&) {
    config.log.error("vnc", "there is no memory for a viewer, which is sent away");
  }};
  RfbSession* exclusive = nullptr;  // the viewer that has the screen alone, or had it

  std::optional<EventLoop::Clock::time_point> looked_at;
  milliseconds pause = kShortest;
  EventLoop::Clock::time_point look_due;  // of look_timer
  EventLoop::Registration look_timer;
};

RfbServer::RfbServer(EventLoop& loop, Screen& screen, Input& input, RfbConfig config)
    : state_(std::make_unique<State>(loop, screen, input, std::move(config))) {}

RfbServer::~RfbServer() = default;

Task<void> RfbServer::stop() {
  co_await state_->stop();
}

std::vector<std::string> RfbServer::addresses() const {
  std::vector<std::string> addresses;
  for (const auto* listener : {&state_->vnc, &state_->web})
    if (*listener) addresses.push_back((*listener)->address());
  return addresses;
}

}  // namespace vireo::display
