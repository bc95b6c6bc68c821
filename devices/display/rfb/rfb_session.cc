#include "devices/display/rfb/rfb_session.h"

#include <algorithm>
#include <array>
#include <new>
#include <string_view>
#include <utility>

#include <fmt/core.h>

namespace vireo::display {

namespace {

constexpr be32 kOk = 0, kFailed = 1;  // SecurityResult
constexpr std::string_view kNoMemory = "there is no memory for it";
constexpr uint8_t kVencryptMajor = 0, kVencryptMinor = 2;

}  // namespace

RfbSession::RfbSession(EventLoop& loop, RfbHost& host, const RfbSessionConfig& config,
                       const Keymap& keymap, SharedInput& input, Peer peer)
    : loop_(loop), host_(host), config_(config), peer_(std::move(peer)), keys_(keymap, input) {}

Task<void> RfbSession::run(std::unique_ptr<SocketStream> socket) {
  socket_ = std::move(socket);
  stream_ = socket_.get();
  co_await serve();
}

Task<void> RfbSession::run(ByteStream& stream) {
  stream_ = &stream;
  co_await serve();
}

// A viewer that there is no memory for is sent away, and nobody else notices.
Task<void> RfbSession::serve() {
  try {
    co_await converse();
  } catch (const std::bad_alloc&) {
    log_end(kNoMemory);
  }
  close();
  keys_.release_all();
}

Task<void> RfbSession::converse() {
  in_.emplace(*stream_, kMaxMessage);
  expect_within(config_.kGreetingTime);
  const bool good = co_await handshake();
  deadline_.reset();
  if (good && !closing_) {
    config_.log.info("vnc", fmt::format("{} sees the screen", peer_.text));
    Scope writing([this](const std::exception_ptr&) { close(); });
    writing.spawn(write_updates());
    co_await read_to_end();
    co_await writing.join();
    config_.log.info("vnc", fmt::format("{} is gone", peer_.text));
  }
}

Task<void> RfbSession::read_to_end() {
  try {
    co_await read_messages();
  } catch (const std::bad_alloc&) {
    log_end(kNoMemory);
  }
  close();
  due_.set();
}

void RfbSession::close() noexcept {
  if (std::exchange(closing_, true)) return;
  if (stream_ != nullptr) stream_->close();
  wake_ = loop_.after(std::chrono::nanoseconds(0), [this] { turn_.set(); });
}

void RfbSession::expect_within(std::chrono::seconds time) {
  deadline_ = loop_.after(time, [this] { close(); });
}

Worth RfbSession::worth() const noexcept {
  if (!is_active()) return has_greeted_ ? Worth::proves : Worth::silent;
  return busy_ || updates_->waiting() ? Worth::looks : Worth::idle;
}

void RfbSession::log_end(std::string_view why) const {
  config_.log.guest_noise("vnc", fmt::format("{} is sent away: {}", peer_.text, why));
}

// --- handshake (7.1) ---

Task<bool> RfbSession::handshake() {
  const std::optional<Version> version = co_await agree_on_version();
  if (!version) co_return false;
  const bool known = co_await authenticate(*version);
  if (!known) co_return false;
  co_return co_await initialise();
}

Task<std::optional<Version>> RfbSession::agree_on_version() {
  const auto greeting = bytes_of_text(kProtocol);
  const bool sent = co_await stream_->write(greeting);
  const bool got = sent && co_await in_->have(kProtocol.size());
  if (!got) co_return std::nullopt;
  const std::optional<Version> version = parse_version(in_->bytes().first(kProtocol.size()));
  in_->consume(kProtocol.size());
  if (!version) log_end("it does not speak RFB 3");
  co_return version;
}

// What we ask for is one thing: TLS, the password, or nothing.
uint8_t RfbSession::security_type() const noexcept {
  if (config_.tls != nullptr && socket_) return security::kVencrypt;
  return config_.password.empty() ? security::kNone : security::kVnc;
}

Task<bool> RfbSession::authenticate(Version version) {
  if (host_.is_full())
    co_return co_await refuse_connection(
        version, "as many viewers see the screen as may: close one of them");
  const uint8_t type = security_type();
  bool offered = false;
  if (version == Version::v3_3)
    offered = co_await announce_security();
  else
    offered = co_await offer_security(version);
  if (!offered) co_return false;
  if (type == security::kVencrypt) {
    const bool secure = co_await vencrypt();
    if (!secure) co_return false;
  }
  has_greeted_ = true;
  if (!config_.password.empty()) co_return co_await check_password(version);
  // Without a check there is a result only since 3.8 (7.1.3), and behind TLS.
  if (version != Version::v3_8 && type == security::kNone) co_return true;
  co_return co_await put(kOk);
}

Task<bool> RfbSession::offer_security(Version version) {
  const uint8_t type = security_type();
  const std::array<uint8_t, 2> offer{1, type};
  const bool sent = co_await put(offer);
  const bool got = sent && co_await in_->have(1);
  if (!got) co_return false;
  const auto chosen = std::to_integer<uint8_t>(in_->bytes().front());
  in_->consume(1);
  if (chosen == type) co_return true;
  co_return co_await refuse(version, "it chose a security type that was not offered");
}

// 3.3 lets the server choose, and knows no TLS.
Task<bool> RfbSession::announce_security() {
  const uint8_t type = security_type();
  const be32 wire_type = type;
  if (type != security::kVencrypt) co_return co_await put(wire_type);
  const std::string_view why = "this server asks for TLS (VeNCrypt), which RFB 3.3 has not";
  co_return co_await refuse_connection(Version::v3_3, why);
}

// In the place of the security types (7.1.2).
Task<bool> RfbSession::refuse_connection(Version version, std::string_view why) {
  log_end(why);
  ByteWriter out;
  if (version == Version::v3_3)
    out.put(be32(security::kInvalid));
  else
    out.put(uint8_t{0});
  out.put(be32(static_cast<uint32_t>(why.size())));
  out.put(bytes_of_text(why));
  const std::vector<std::byte> bytes = out.take();
  co_await stream_->write(bytes);
  co_return false;
}

Task<bool> RfbSession::vencrypt() {
  const bool agreed = co_await agree_on_vencrypt();
  if (!agreed) {
    log_end("it does not agree on VeNCrypt 0.2 with X.509");
    co_return false;
  }
  const bool secure = co_await start_tls();
  if (!secure) log_end("it does not agree on TLS");
  co_return secure;
}

Task<bool> RfbSession::agree_on_vencrypt() {
  const std::array<uint8_t, 2> ours{kVencryptMajor, kVencryptMinor};
  const bool sent = co_await put(ours);
  const bool got = sent && co_await in_->have(ours.size());
  if (!got) co_return false;
  const bool same = std::ranges::equal(in_->bytes().first(ours.size()), bytes_of(ours));
  in_->consume(ours.size());
  const uint8_t status = same ? 0 : 0xff;
  const bool told = co_await put(status);
  if (!told || !same) co_return false;

  const be32 subtype = config_.password.empty() ? security::kX509None : security::kX509Vnc;
  const uint8_t count = 1;
  const bool counted = co_await put(count);
  const bool offered = counted && co_await put(subtype);
  const bool chosen = offered && co_await in_->have(sizeof(subtype));
  if (!chosen) co_return false;
  const bool agreed = std::ranges::equal(in_->bytes().first(sizeof(subtype)), bytes_of(subtype));
  in_->consume(sizeof(subtype));
  const uint8_t answer = agreed ? 1 : 0;
  const bool answered = co_await put(answer);
  co_return answered&& agreed;
}

// Nothing may have come before TLS that would be taken for what comes inside it.
Task<bool> RfbSession::start_tls() {
  if (closing_ || !in_->bytes().empty()) co_return false;
  tls_ = config_.tls->wrap(std::move(socket_));
  stream_ = tls_.get();
  in_.emplace(*stream_, kMaxMessage);
  co_return co_await tls_->handshake();
}

Task<bool> RfbSession::check_password(Version version) {
  expect_within(config_.kPasswordTime);
  const std::optional<VncChallenge> made = make_challenge();
  if (!made) co_return co_await refuse(version, "the host gives no random bytes");
  const VncChallenge challenge = *made;
  const bool sent = co_await put(challenge);
  const bool got = sent && co_await in_->have(challenge.size());
  if (!got) co_return false;
  const VncChallenge expected = expected_response(challenge, config_.password);
  expect_within(config_.kJudgeTime);
  const bool right = co_await is_right(expected);
  if (closing_) co_return false;
  expect_within(config_.kGreetingTime);
  if (!right) co_return co_await refuse(version, "the password is wrong");
  co_return co_await put(kOk);
}

// Guessing is slow: an answer is looked at when its turn has come.
Task<bool> RfbSession::is_right(VncChallenge expected) {
  LoginThrottle::Answer answer(host_.logins(), peer_.origin, turn_);
  co_await turn_.wait();
  if (closing_) co_return false;
  const bool same = same_response(expected, in_->bytes().first(expected.size()));
  in_->consume(expected.size());
  if (same)
    answer.was_right();
  else
    answer.was_wrong();
  co_return same;
}

// Since 3.8 with the reason (7.1.3).
Task<bool> RfbSession::refuse(Version version, std::string_view why) {
  log_end(why);
  ByteWriter out;
  out.put(kFailed);
  if (version == Version::v3_8) {
    out.put(be32(static_cast<uint32_t>(why.size())));
    out.put(bytes_of_text(why));
  }
  const auto bytes = out.take();
  co_await stream_->write(bytes);
  co_return false;
}

Task<bool> RfbSession::initialise() {
  const bool got = co_await in_->have(1);
  if (!got) co_return false;
  const bool shared = in_->bytes().front() != std::byte{0};
  in_->consume(1);
  if (!host_.admit(*this, shared)) {
    log_end("another viewer has the screen alone, or it asks for that, or there are too many");
    co_return false;
  }
  const Size size = host_.fresh_picture().size();
  updates_.emplace(size, config_.power_button);
  ByteWriter out;
  out.put(WireServerInit{.width = size.width,
                         .height = size.height,
                         .format = PixelFormat().wire(),
                         .name_length = static_cast<uint32_t>(config_.name.size())});
  out.put(bytes_of_text(config_.name));
  const auto bytes = out.take();
  co_return co_await stream_->write(bytes);
}

// --- messages (7.5) ---

Task<void> RfbSession::read_messages() {
  while (!closing_) {
    ParsedMessage parsed = parse_message(in_->bytes());
    if (parsed.status == ParsedMessage::Status::invalid) co_return log_end("it sent nonsense");
    if (parsed.status == ParsedMessage::Status::incomplete) {
      const bool more = co_await in_->more();
      if (!more) co_return;
      continue;
    }
    in_->consume(parsed.length);
    const bool good = co_await handle(std::move(parsed.message));
    if (!good) co_return;
  }
}

Task<bool> RfbSession::handle(ViewerMessage message) {
  if (const auto* text = std::get_if<CutText>(&message)) co_return co_await in_->skip(text->length);
  if (const auto* format = std::get_if<SetPixelFormat>(&message)) co_return take(*format);
  if (const auto* encodings = std::get_if<SetEncodings>(&message)) take(*encodings);
  if (const auto* request = std::get_if<UpdateRequest>(&message)) take(*request);
  if (const auto* power = std::get_if<XvpRequest>(&message)) take(*power);
  if (std::holds_alternative<SetDesktopSize>(message)) updates_->refuse_desktop_size();
  if (const auto* key = std::get_if<KeyEvent>(&message)) {
    keys_.key(*key);
    host_.viewer_acts();
  }
  if (const auto* pointer = std::get_if<PointerEvent>(&message)) {
    keys_.pointer(*pointer, host_.picture().size());
    host_.viewer_acts();
  }
  if (!busy_ && updates_->due()) due_.set();
  co_return true;
}

bool RfbSession::take(const SetPixelFormat& message) {
  const std::optional<PixelFormat> format = PixelFormat::from_wire(message.format);
  if (!format) {
    log_end("it wants pixels of a format that there is not");
    return false;
  }
  updates_->set_format(*format);
  return true;
}

void RfbSession::take(const SetEncodings& message) {
  updates_->set_encodings(message.encodings);
}

void RfbSession::take(const UpdateRequest& message) {
  if (!message.incremental) host_.fresh_picture();
  updates_->request(message);
  host_.viewer_waits();
}

void RfbSession::take(const XvpRequest& message) {
  if (message.code == XvpRequest::Code::shutdown && config_.power_button)
    host_.press_power();
  else
    updates_->refuse_power();
}

// --- updates ---

void RfbSession::picture_changed(const Change& change, Size size) {
  if (!is_active()) return;
  updates_->picture_changed(change, size, !busy_);
  if (!busy_ && updates_->due()) due_.set();
}

Task<void> RfbSession::write_updates() {
  while (!closing_) {
    co_await due_.wait();
    due_.reset();
    busy_ = true;
    while (!closing_ && updates_->due()) {
      ByteWriter out;
      updates_->write(host_.picture(), out);
      const std::vector<std::byte> bytes = out.take();
      const bool sent = co_await stream_->write(bytes);
      if (!sent) close();
    }
    busy_ = false;
    if (is_waiting()) host_.viewer_waits();
  }
}

}  // namespace vireo::display
