// TLS for viewers, through gnutls, which is loaded when a certificate is configured.
//
// Thread: the loop's; the constructor of TlsCredentials anywhere. Versions 1.2 and 1.3.
#pragma once

#include <memory>
#include <string>

#include "devices/display/byte_stream.h"

namespace vireo::display {

// The server's side of TLS on a socket.
class TlsStream : public ByteStream {
 public:
  // Before anything else. False: there is no agreement, and the stream is of no use.
  virtual Task<bool> handshake() = 0;
};

// A certificate with its key, from PEM files. It outlives the streams made with it.
class TlsCredentials {
 public:
  // Throws ConfigError naming the files when they cannot be read or do not fit each other.
  TlsCredentials(const std::string& certificate, const std::string& key);
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;
  ~TlsCredentials();

  std::unique_ptr<TlsStream> wrap(std::unique_ptr<SocketStream> socket) const;

 private:
  struct Gnutls;
  class Stream;
  std::unique_ptr<const Gnutls> gnutls_;
};

}  // namespace vireo::display
