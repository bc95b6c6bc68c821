// VNC authentication (RFC 6143, 7.2.2): a challenge, enciphered by DES with the password as key.
//
// Pure; any thread. The method is as old as it is weak: 8 characters, and no secrecy afterwards.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace vireo::display {

constexpr size_t kMostPassword = 8;
using VncChallenge = std::array<uint8_t, 16>;

// None when the host gives no random bytes.
std::optional<VncChallenge> make_challenge() noexcept;
// What a viewer that knows the password answers; of a longer one the first eight bytes count.
VncChallenge expected_response(const VncChallenge& challenge, std::string_view password);
// Takes the same time wherever they differ.
bool same_response(const VncChallenge& expected, std::span<const std::byte> response) noexcept;

}  // namespace vireo::display
