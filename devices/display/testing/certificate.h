// A certificate for localhost, and its key.
#pragma once

#include <string_view>

namespace vireo::display {

inline constexpr std::string_view kCertificate = R"(-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUUfiuHcv4eeJncAYcMt77u57G3QEwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMDEwMzcyOFoYDzIxMjYxMDI3
MTAzNzI4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARv2gxkiIND0o+vzDwvL3pMu/J6bE+iecdqdj9z5kZei8ze/cYAArIF
g/UmWn0BMpbwdjrEnUhqWliou9CwyKT7o28wbTAdBgNVHQ4EFgQUohrHnFYBR1om
eMyKDf6VQpkDVP4wHwYDVR0jBBgwFoAUohrHnFYBR1omeMyKDf6VQpkDVP4wDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgcA/2y3jE27PqxLxj7sdVuAyULEZIQgpODCae6woAKIQCIQCx
GDdTlDd4ArRatdTk7vG0eN6XtDnjPIeIxhd0Fhjevw==
-----END CERTIFICATE-----
)";
inline constexpr std::string_view kKey = R"(-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjnny0Uh+PBlmCMnI
ZrPjZhM2TaIpusdOe6ImdvC71QahRANCAARv2gxkiIND0o+vzDwvL3pMu/J6bE+i
ecdqdj9z5kZei8ze/cYAArIFg/UmWn0BMpbwdjrEnUhqWliou9CwyKT7
-----END PRIVATE KEY-----
)";

}  // namespace vireo::display
