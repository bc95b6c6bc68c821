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
#include <span>
#include <system_error>

#include "vmm/base/event_loop.h"

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

// Called once on the loop when output cannot be written, and all that follows is lost.
using OutputLost = std::function<void(std::error_code why)>;

}  // namespace vireo::dev
