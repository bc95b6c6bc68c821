#include "devices/display/rfb/vnc_password.h"

#include <sys/random.h>

#include <algorithm>

#include <nettle/des.h>

namespace vireo::display {

namespace {

// VNC takes the bits of each byte of the password in the reverse order.
uint8_t mirrored(uint8_t byte) noexcept {
  uint8_t result = 0;
  for (int bit = 0; bit < 8; ++bit)
    if ((byte >> bit & 1) != 0) result = static_cast<uint8_t>(result | 0x80 >> bit);
  return result;
}

}  // namespace

std::optional<VncChallenge> make_challenge() noexcept {
  VncChallenge challenge{};
  if (::getrandom(challenge.data(), challenge.size(), 0) != ssize_t{challenge.size()})
    return std::nullopt;
  return challenge;
}

VncChallenge expected_response(const VncChallenge& challenge, std::string_view password) {
  std::array<uint8_t, DES_KEY_SIZE> key{};
  for (size_t i = 0; i < std::min(password.size(), key.size()); ++i)
    key[i] = mirrored(static_cast<uint8_t>(password[i]));
  des_ctx des;
  ::des_set_key(&des, key.data());  // that a key is weak does not matter here
  VncChallenge response;
  ::des_encrypt(&des, response.size(), response.data(), challenge.data());
  return response;
}

bool same_response(const VncChallenge& expected, std::span<const std::byte> response) noexcept {
  if (response.size() != expected.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    difference |= expected[i] ^ std::to_integer<unsigned>(response[i]);
  return difference == 0;
}

}  // namespace vireo::display
