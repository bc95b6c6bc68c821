#include "devices/display/tls.h"

#include <utility>

#include <fmt/core.h>
#include <gnutls/gnutls.h>

#include "vmm/base/error.h"
#include "vmm/base/shared_library.h"

namespace vireo::display {

namespace {

constexpr const char* kPriority = "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1";

}  // namespace

// The functions of the library that are used, and what is made with them once.
struct TlsCredentials::Gnutls {
  Gnutls() : library("libgnutls.so.30", "libgnutls30", "TLS for viewers needs") {
    library.find("gnutls_certificate_allocate_credentials", allocate);
    library.find("gnutls_certificate_free_credentials", free);
    library.find("gnutls_certificate_set_x509_key_file", set_key_file);
    library.find("gnutls_strerror", strerror);
    library.find("gnutls_init", init);
    library.find("gnutls_deinit", deinit);
    library.find("gnutls_priority_set_direct", set_priority);
    library.find("gnutls_credentials_set", set_credentials);
    library.find("gnutls_transport_set_int2", set_fd);
    library.find("gnutls_handshake", handshake);
    library.find("gnutls_error_is_fatal", is_fatal);
    library.find("gnutls_record_get_direction", direction);
    library.find("gnutls_record_recv", recv);
    library.find("gnutls_record_send", send);
    VMM_CHECK(allocate(&credentials) == GNUTLS_E_SUCCESS, "there is memory for credentials");
  }
  ~Gnutls() { free(credentials); }

  const SharedLibrary library;
  decltype(&::gnutls_certificate_allocate_credentials) allocate;
  decltype(&::gnutls_certificate_free_credentials) free;
  decltype(&::gnutls_certificate_set_x509_key_file) set_key_file;
  decltype(&::gnutls_strerror) strerror;
  decltype(&::gnutls_init) init;
  decltype(&::gnutls_deinit) deinit;
  decltype(&::gnutls_priority_set_direct) set_priority;
  decltype(&::gnutls_credentials_set) set_credentials;
  decltype(&::gnutls_transport_set_int2) set_fd;
  decltype(&::gnutls_handshake) handshake;
  decltype(&::gnutls_error_is_fatal) is_fatal;
  decltype(&::gnutls_record_get_direction) direction;
  decltype(&::gnutls_record_recv) recv;
  decltype(&::gnutls_record_send) send;
  gnutls_certificate_credentials_t credentials = nullptr;
};

class TlsCredentials::Stream final : public TlsStream {
 public:
  Stream(const Gnutls& gnutls, std::unique_ptr<SocketStream> socket)
      : gnutls_(gnutls), socket_(std::move(socket)) {
    usable_ = gnutls_.init(&session_, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) ==
                  GNUTLS_E_SUCCESS &&
              gnutls_.set_priority(session_, kPriority, nullptr) == GNUTLS_E_SUCCESS &&
              gnutls_.set_credentials(session_, GNUTLS_CRD_CERTIFICATE, gnutls_.credentials) ==
                  GNUTLS_E_SUCCESS;
    if (usable_) gnutls_.set_fd(session_, socket_->fd(), socket_->fd());
  }
  ~Stream() override { gnutls_.deinit(session_); }

  Task<bool> handshake() override {
    while (usable_) {
      const int result = gnutls_.handshake(session_);
      if (result == GNUTLS_E_SUCCESS) co_return true;
      const bool again = co_await may_go_on(result);
      if (!again) co_return false;
    }
    co_return false;
  }

  Task<size_t> read(std::span<std::byte> into) override {
    for (;;) {
      const ssize_t got = gnutls_.recv(session_, into.data(), into.size());
      if (got >= 0) {
        co_await socket_->be_fair(static_cast<size_t>(got));
        co_return static_cast<size_t>(got);
      }
      const bool again = co_await may_go_on(got);
      if (!again) co_return 0;
    }
  }

  Task<bool> write(std::span<const std::byte> from) override {
    while (!from.empty()) {
      const ssize_t sent = gnutls_.send(session_, from.data(), from.size());
      if (sent >= 0) {
        from = from.subspan(static_cast<size_t>(sent));
        continue;
      }
      const bool again = co_await may_go_on(sent);
      if (!again) co_return false;
    }
    co_return true;
  }

  void close() noexcept override { socket_->close(); }

 private:
  // After a call that did not succeed: waits until it can be repeated, which a peer that wants to
  // renegotiate must not ask for.
  Task<bool> may_go_on(ssize_t result) {
    const int error = static_cast<int>(result);
    if (error == GNUTLS_E_AGAIN) {
      const bool to_write = gnutls_.direction(session_) == 1;
      if (to_write) co_return co_await socket_->writable();
      co_return co_await socket_->readable();
    }
    co_return gnutls_.is_fatal(error) == 0 && error != GNUTLS_E_REHANDSHAKE;
  }

  const Gnutls& gnutls_;
  const std::unique_ptr<SocketStream> socket_;
  gnutls_session_t session_ = nullptr;
  bool usable_ = false;  // there was memory for the session
};

TlsCredentials::TlsCredentials(const std::string& certificate, const std::string& key) {
  auto gnutls = std::make_unique<Gnutls>();
  const int result = gnutls->set_key_file(gnutls->credentials, certificate.c_str(), key.c_str(),
                                          GNUTLS_X509_FMT_PEM);
  if (result == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
    throw ConfigError(fmt::format(
        "the certificate '{}' is not of the key '{}': give the key that it was made for",
        certificate, key));
  if (result < 0)
    throw ConfigError(fmt::format("cannot use the certificate '{}' with the key '{}': {}",
                                  certificate, key, gnutls->strerror(result)));
  gnutls_ = std::move(gnutls);
}

TlsCredentials::~TlsCredentials() = default;

std::unique_ptr<TlsStream> TlsCredentials::wrap(std::unique_ptr<SocketStream> socket) const {
  return std::make_unique<Stream>(*gnutls_, std::move(socket));
}

}  // namespace vireo::display
