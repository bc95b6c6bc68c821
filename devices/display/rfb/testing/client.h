// A viewer with a connection: speaks with a server that runs on the same loop, which it steps while
// it waits.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <arpa/inet.h>

#include "devices/display/rfb/testing/viewer.h"
#include "vmm/base/bytes.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/fd.h"

namespace vireo::display {

class Client {
 public:
  using Bytes = Viewer::Bytes;

  // "unix:PATH" or "127.0.0.1:PORT".
  Client(EventLoop& loop, const std::string& address) : loop_(loop) {
    sockaddr_storage to{};
    socklen_t length = 0;
    if (address.starts_with("unix:")) {
      auto& unix_name = reinterpret_cast<sockaddr_un&>(to);
      unix_name.sun_family = AF_UNIX;
      std::strcpy(unix_name.sun_path, address.c_str() + 5);
      length = sizeof(unix_name);
    } else {
      auto& in_name = reinterpret_cast<sockaddr_in&>(to);
      in_name.sin_family = AF_INET;
      in_name.sin_port =
          htons(static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
      in_name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      length = sizeof(in_name);
    }
    socket_.reset(::socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&to), length) != 0)
      throw_errno("cannot connect to " + address);
  }

  void leave() { socket_.reset(); }
  int fd() const { return socket_.get(); }

  void send(std::span<const std::byte> bytes) {
    if (write_all(socket_.get(), bytes)) throw std::runtime_error("cannot send");
  }
  void send(std::string_view text) { send(bytes_of_text(text)); }
  void send(std::initializer_list<int> values) {
    Bytes bytes;
    for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
    send(bytes);
  }
  template <class T>
  void send_wire(const T& value) {
    send(bytes_of(value));
  }

  // Exactly so many; throws when the server ends the connection before.
  Bytes read(size_t length) {
    Bytes bytes(length);
    int idle = 0;
    received += length;
    for (size_t at = 0; at < length;) {
      const ssize_t got = ::recv(socket_.get(), bytes.data() + at, length - at, MSG_DONTWAIT);
      if (got > 0)
        at += static_cast<size_t>(got);
      else if (got < 0 && errno == EAGAIN && ++idle < kPatience)
        loop_.step(std::chrono::milliseconds(5));
      else
        throw std::runtime_error(idle == kPatience ? "the server is silent" : "the server is gone");
    }
    return bytes;
  }
  std::string text(size_t length) {
    const Bytes bytes = read(length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  template <class T>
  T get() {
    const Bytes bytes = read(sizeof(T));
    return ByteReader(bytes).get<T>();
  }
  // Whatever still comes is read.
  bool is_sent_away() {
    try {
      for (;;) read(1);
    } catch (const std::runtime_error& error) {
      return error.what() == std::string("the server is gone");
    }
  }

  // 3.8 without a password, and all of the features.
  void join(bool shared = true, std::vector<int32_t> encodings = {encoding::kTight}) {
    send(read(12));
    if (text(2) != std::string("\1\1", 2)) throw std::runtime_error("not without a password");
    send({1});
    if (get<be32>() != 0) throw std::runtime_error("refused");
    init(shared);
    set_encodings(encodings);
  }
  void init(bool shared) {
    send({shared ? 1 : 0});
    const auto answer = get<WireServerInit>();
    name = text(answer.name_length);
    viewer.resize({answer.width, answer.height});
  }
  void set_encodings(const std::vector<int32_t>& encodings) {
    ByteWriter out;
    out.put(uint8_t{2});
    out.put(uint8_t{0});
    out.put(be16(static_cast<uint16_t>(encodings.size())));
    for (const int32_t number : encodings) out.put(be32(static_cast<uint32_t>(number)));
    send(out.take());
  }
  void set_format(const WirePixelFormat& wire) {
    send({0, 0, 0, 0});
    send_wire(wire);
    viewer.format = PixelFormat::from_wire(wire).value();
  }
  void ask(bool incremental = true) {
    send({3, incremental ? 1 : 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff});
  }
  // Asks, and waits for an update.
  void update(bool incremental = true) {
    ask(incremental);
    while (viewer.message() != from_server::kUpdate) {
    }
  }
  void key(uint32_t keysym, bool pressed) {
    send({4, pressed ? 1 : 0, 0, 0});
    send_wire(be32(keysym));
  }
  void scancode(uint32_t code, bool pressed) {
    send({255, 0, 0, pressed ? 1 : 0, 0, 0, 0, 0});
    send_wire(be32(code));
  }
  void pointer(uint16_t x, uint16_t y, uint8_t buttons) {
    send({5, buttons});
    send_wire(be16(x));
    send_wire(be16(y));
  }

  std::string name;
  size_t received = 0;  // bytes
  Viewer viewer{[this](size_t length) { return read(length); }};

 private:
  static constexpr int kPatience = 10'000;  // turns of the loop without a byte

  EventLoop& loop_;
  UniqueFd socket_;
};

}  // namespace vireo::display
