#include "devices/display/client/screenshot.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "devices/display/listener.h"
#include "devices/display/rfb/pixel_format.h"
#include "devices/display/rfb/rfb_wire.h"
#include "devices/display/rfb/vnc_password.h"
#include "vmm/base/error.h"

namespace vireo::display {

namespace {

constexpr uint16_t kMostPixels = 8192;  // in a row or column
constexpr size_t kRoom = kMostPixels * sizeof(uint32_t);
constexpr uint32_t kMostText = 1 << 20;
// No colour has it: where nothing has come yet.
constexpr uint32_t kMissing = 0xff000000;

constexpr uint8_t kBell = 2, kCutText = 3;

class Taker {
 public:
  Taker(EventLoop& loop, UniqueFd socket, std::string password)
      : stream_(loop, std::move(socket)), password_(std::move(password)) {
    deadline_ = loop.after(kScreenshotTime, [this] {
      late_ = true;
      stream_.close();
    });
  }

  Task<Screenshot> take() {
    co_await agree_on_version();
    co_await authenticate();
    co_await initialise();
    while (std::ranges::find(shot_.pixels, kMissing) != shot_.pixels.end()) {
      co_await ask();
      bool updated = false;
      while (!updated) updated = co_await message();
    }
    co_return std::move(shot_);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    if (late_) throw ConfigError("the screen's server says nothing");
    throw ConfigError(why);
  }

  Task<void> need(size_t count) {
    const bool there = co_await in_.have(count);
    if (!there) fail("the screen's server has closed the connection");
  }
  Task<void> pass_over(size_t count) {
    const bool there = co_await in_.skip(count);
    if (!there) fail("the screen's server has closed the connection");
  }
  template <Wire T>
  Task<T> get() {
    co_await need(sizeof(T));
    const T value = ByteReader(in_.bytes()).get<T>();
    in_.consume(sizeof(T));
    co_return value;
  }
  template <Wire T>
  Task<void> put(T value) {
    const auto bytes = bytes_of(value);
    const bool sent = co_await stream_.write(bytes);
    if (!sent) fail("the screen's server has closed the connection");
  }
  Task<std::string> reason() {
    const be32 length = co_await get<be32>();
    const size_t count = std::min<size_t>(length, 200);
    co_await need(count);
    const auto bytes = in_.bytes().first(count);
    co_return std::string(reinterpret_cast<const char*>(bytes.data()), count);
  }

  Task<void> agree_on_version() {
    co_await need(kProtocol.size());
    const auto version = parse_version(in_.bytes().first(kProtocol.size()));
    if (!version) fail("what listens there is no VNC server");
    version_ = *version;
    const auto answer = in_.bytes().first(kProtocol.size());
    const std::vector<std::byte> line(answer.begin(), answer.end());
    in_.consume(kProtocol.size());
    const auto old = bytes_of_text("RFB 003.003\n");
    const std::span<const std::byte> ours = version_ == Version::v3_3 ? old : std::span(line);
    const bool sent = co_await stream_.write(ours);
    if (!sent) fail("the screen's server has closed the connection");
  }

  Task<void> authenticate() {
    uint8_t type = security::kInvalid;
    if (version_ == Version::v3_3) {
      const be32 only = co_await get<be32>();
      type = static_cast<uint8_t>(std::min<uint32_t>(only, 0xff));
    } else {
      type = co_await choose_type();
    }
    if (type == security::kInvalid) {
      const std::string why = co_await reason();
      fail(fmt::format("the screen's server refuses: {}", why));
    }
    if (type == security::kVnc)
      co_await prove_password();
    else if (type != security::kNone)
      fail(
          "the screen's server asks for TLS, which a screenshot does not speak: take it with a "
          "viewer that does (VeNCrypt)");
    if (type == security::kNone && version_ != Version::v3_8) co_return;
    const be32 result = co_await get<be32>();
    if (result != 0) fail("the screen's server refuses: is the password right?");
  }

  // The first of its types that we know; else what it offers.
  Task<uint8_t> choose_type() {
    const uint8_t count = co_await get<uint8_t>();
    if (count == 0) co_return security::kInvalid;
    co_await need(count);
    uint8_t chosen = security::kVencrypt;
    for (const std::byte offered : in_.bytes().first(count)) {
      const auto type = std::to_integer<uint8_t>(offered);
      if (type == security::kNone || (type == security::kVnc && chosen != security::kNone))
        chosen = type;
    }
    in_.consume(count);
    if (chosen != security::kVencrypt) co_await put(chosen);
    co_return chosen;
  }

  Task<void> prove_password() {
    if (password_.empty()) fail("the screen's server asks for a password");
    const VncChallenge challenge = co_await get<VncChallenge>();
    const VncChallenge response = expected_response(challenge, password_);
    co_await put(response);
  }

  Task<void> initialise() {
    const uint8_t shared = 1;
    co_await put(shared);
    const WireServerInit init = co_await get<WireServerInit>();
    if (init.name_length > kMostText || init.width == 0 || init.width > kMostPixels ||
        init.height == 0 || init.height > kMostPixels)
      fail("the screen's server has no screen that could be");
    co_await pass_over(init.name_length);
    shot_.size = {.width = init.width, .height = init.height};
    shot_.pixels.assign(size_t{init.width} * init.height, kMissing);
    ByteWriter out;
    out.put(be32(0));  // SetPixelFormat
    out.put(PixelFormat().wire());
    out.put(be32(0x02000001));  // SetEncodings, of one
    out.put(be32(encoding::kRaw));
    const std::vector<std::byte> bytes = out.take();
    co_await stream_.write(bytes);
  }

  Task<void> ask() {
    ByteWriter out;
    out.put(uint8_t{3});
    out.put(uint8_t{0});
    out.put(be32(0));
    out.put(be16(shot_.size.width));
    out.put(be16(shot_.size.height));
    const std::vector<std::byte> bytes = out.take();
    co_await stream_.write(bytes);
  }

  // True when it was an update.
  Task<bool> message() {
    const uint8_t type = co_await get<uint8_t>();
    if (type == from_server::kUpdate) {
      co_await update();
      co_return true;
    }
    if (type == kCutText) {
      co_await pass_over(3);
      const be32 length = co_await get<be32>();
      if (length > kMostText) fail("the screen's server sends too much");
      co_await pass_over(length);
    } else if (type != kBell) {
      fail("what listens there is no VNC server that could be understood");
    }
    co_return false;
  }

  Task<void> update() {
    co_await pass_over(1);
    const be16 count = co_await get<be16>();
    for (size_t i = 0; i < count; ++i) {
      const WireRect rect = co_await get<WireRect>();
      if (rect.encoding != encoding::kRaw || rect.x + rect.width > shot_.size.width ||
          rect.y + rect.height > shot_.size.height)
        fail("the screen's server sends what it was not asked for");
      co_await raw(rect);
    }
  }

  Task<void> raw(WireRect rect) {
    const size_t length = rect.width * sizeof(uint32_t);
    for (size_t y = rect.y; y < size_t{rect.y} + rect.height; ++y) {
      co_await need(length);
      uint32_t* const row = shot_.pixels.data() + y * shot_.size.width + rect.x;
      std::memcpy(row, in_.bytes().data(), length);
      for (size_t x = 0; x < rect.width; ++x) row[x] &= ~kMissing;
      in_.consume(length);
    }
  }

  SocketStream stream_;
  InputBuffer in_{stream_, kRoom};
  const std::string password_;
  EventLoop::Registration deadline_;
  bool late_ = false;
  Version version_ = Version::v3_8;
  Screenshot shot_;
};

}  // namespace

UniqueFd connect_to_screen(const std::string& address) {
  Endpoint endpoint = resolve_endpoint(address);
  if (endpoint.is_unix()) {
    const sockaddr_un name = unix_address(endpoint.unix_path);
    std::memcpy(&endpoint.address, &name, sizeof(name));
    endpoint.length = sizeof(name);
  }
  UniqueFd socket(::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("cannot make a socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&endpoint.address),
                endpoint.length) != 0)
    throw_errno(fmt::format("cannot connect to the screen at '{}'", address));
  return socket;
}

Task<Screenshot> take_screenshot(EventLoop& loop, UniqueFd socket, std::string password) {
  Taker taker(loop, std::move(socket), std::move(password));
  co_return co_await taker.take();
}

}  // namespace vireo::display
