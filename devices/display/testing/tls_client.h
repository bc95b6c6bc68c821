// The client's side of TLS, over whatever carries its bytes: for tests, which trust any
// certificate. Thread: the test's.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <functional>
#include <span>
#include <string_view>

#include <gnutls/gnutls.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/base/shared_library.h"

namespace vireo::display {

class TlsClient {
 public:
  // As send() and recv() on a socket that does not block: what they moved, or -1 with errno.
  struct Transport {
    std::function<ssize_t(std::span<const std::byte>)> push;
    std::function<ssize_t(std::span<std::byte>)> pull;
  };

  explicit TlsClient(Transport transport) : transport_(std::move(transport)) {
    VMM_CHECK(library().allocate(&credentials_) == GNUTLS_E_SUCCESS &&
                  library().init(&session_, GNUTLS_CLIENT | GNUTLS_NONBLOCK) == GNUTLS_E_SUCCESS &&
                  library().set_priority(session_, "NORMAL", nullptr) == GNUTLS_E_SUCCESS &&
                  library().set_credentials(session_, GNUTLS_CRD_CERTIFICATE, credentials_) ==
                      GNUTLS_E_SUCCESS,
              "a TLS session can be made");
    library().set_pointer(session_, this);
    library().set_push(session_, push);
    library().set_pull(session_, pull);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;
  ~TlsClient() {
    library().deinit(session_);
    library().free(credentials_);
  }

  enum class Result : uint8_t { done, again, failed };
  Result handshake() { return result_of(library().handshake(session_)); }
  Result send(std::string_view text) {
    return result_of(library().send(session_, text.data(), text.size()));
  }

 private:
  struct Functions {
    Functions() {
      library.find("gnutls_certificate_allocate_credentials", allocate);
      library.find("gnutls_certificate_free_credentials", free);
      library.find("gnutls_init", init);
      library.find("gnutls_deinit", deinit);
      library.find("gnutls_priority_set_direct", set_priority);
      library.find("gnutls_credentials_set", set_credentials);
      library.find("gnutls_transport_set_ptr", set_pointer);
      library.find("gnutls_transport_set_push_function", set_push);
      library.find("gnutls_transport_set_pull_function", set_pull);
      library.find("gnutls_handshake", handshake);
      library.find("gnutls_record_send", send);
    }
    const SharedLibrary library{"libgnutls.so.30", "libgnutls30", "TLS for viewers needs"};
    decltype(&::gnutls_certificate_allocate_credentials) allocate;
    decltype(&::gnutls_certificate_free_credentials) free;
    decltype(&::gnutls_init) init;
    decltype(&::gnutls_deinit) deinit;
    decltype(&::gnutls_priority_set_direct) set_priority;
    decltype(&::gnutls_credentials_set) set_credentials;
    decltype(&::gnutls_transport_set_ptr) set_pointer;
    decltype(&::gnutls_transport_set_push_function) set_push;
    decltype(&::gnutls_transport_set_pull_function) set_pull;
    decltype(&::gnutls_handshake) handshake;
    decltype(&::gnutls_record_send) send;
  };
  static const Functions& library() {
    static const Functions functions;
    return functions;
  }

  static ssize_t push(gnutls_transport_ptr_t client, const void* from, size_t length) {
    return static_cast<TlsClient*>(client)->transport_.push(
        {static_cast<const std::byte*>(from), length});
  }
  static ssize_t pull(gnutls_transport_ptr_t client, void* into, size_t length) {
    return static_cast<TlsClient*>(client)->transport_.pull(
        {static_cast<std::byte*>(into), length});
  }
  static Result result_of(ssize_t result) noexcept {
    if (result >= 0) return Result::done;
    return result == GNUTLS_E_AGAIN ? Result::again : Result::failed;
  }

  const Transport transport_;
  gnutls_certificate_credentials_t credentials_ = nullptr;
  gnutls_session_t session_ = nullptr;
};

}  // namespace vireo::display
