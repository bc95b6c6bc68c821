// Byte streams between a guest device (frontend: UART, virtio-console) and the host (backend:
// terminal, file, socket, memory).
//
// Thread: the device's home loop, for both sides and all calls, unless a backend says otherwise.
// A backend is constructed on the control thread and does there whatever can fail for the user
// (open the file, bind the socket); it never blocks and bounds all that it keeps.
// The device owns its backend. After open() the frontend must stay alive until close().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "devices/chardev/escape.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/log.h"

namespace vireo::dev {

// The device's side, called by the backend. Never called from inside open(), write() or
// set_readable().
class CharFrontend {
 public:
  // Input from the host: 1 to kMaxReceive bytes, all of which the frontend takes. It says
  // set_readable(false) in here when it could not take as many again; no further call then comes
  // before set_readable(true).
  static constexpr size_t kMaxReceive = 4096;
  virtual void receive(std::span<const std::byte> bytes) = 0;
  // After a write() that took less than it was given: now it would take some.
  virtual void writable() = 0;
  // The user asked for a break condition on the line (Linux: SysRq). Devices without one ignore it.
  virtual void receive_break() {}

 protected:
  ~CharFrontend() = default;
};

class CharBackend {
 public:
  CharBackend() = default;
  CharBackend(const CharBackend&) = delete;
  CharBackend& operator=(const CharBackend&) = delete;
  virtual ~CharBackend() = default;

  // Device::start(): from here it uses the loop and calls the frontend. Starts not readable.
  virtual void open(EventLoop& loop, CharFrontend& frontend) = 0;
  // Device::stop(): until the next open() it uses neither. Peers stay connected, what it keeps for
  // them is kept. Idempotent.
  virtual void close() = 0;

  // Output to the host. Gives the number of bytes taken; less than all of them means that
  // writable() follows. A sink that is gone for good takes everything.
  virtual size_t write(std::span<const std::byte> bytes) = 0;
  // Input flow control.
  virtual void set_readable(bool readable) = 0;

  // Opens the file that output goes to by its name again, after it was moved away. What goes wrong
  // is logged, and the old file kept. Nothing where there is no such file.
  virtual void reopen() {}
};

// What the user wrote.
struct CharSpec {
  enum class Kind : uint8_t { null, stdio, file, unix_socket, pty };
  Kind kind = Kind::null;
  std::string path{};  // file, unix_socket
};

// "null", "stdio", "pty", "file:PATH", "unix:PATH"; throws ConfigError.
CharSpec parse_char_spec(std::string_view text);
// As parse_char_spec() reads it.
std::string to_string(const CharSpec& spec);

// Called once on the loop when output cannot be written, and all that follows is lost.
using OutputLost = std::function<void(std::error_code why)>;

struct CharOptions {
  Logger log{};
  OutputLost output_lost{};  // stdio, file
  // Gets the name of the pseudo-terminal ("/dev/pts/3"), on the constructing thread.
  std::function<void(const std::string& path)> pty_made{};
  // stdio, when that is a terminal: Ctrl-A is the escape prefix (devices/chardev/escape.h), also
  // while the guest takes no input. Gets the commands, all but send_break, on the loop.
  std::function<void(EscapeCommand)> escape{};
};

// Throws ConfigError and std::system_error.
std::unique_ptr<CharBackend> make_char_backend(const CharSpec& spec, const CharOptions& options);

}  // namespace vireo::dev
