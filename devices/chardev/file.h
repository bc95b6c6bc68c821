// file:PATH: output only, into a file that is emptied first (or a device, or a FIFO with a reader).
// It is appended to, so that whoever empties it meanwhile finds new output at its beginning.
//
// Thread: constructed on the control thread, then the loop's. Owns the descriptor. When the file
// breaks (disk full, FIFO without reader) that is logged once and the rest of the output is lost:
// a guest does not stop because its log can not be written.
#pragma once

#include <string>

#include "devices/chardev/backend.h"
#include "devices/chardev/fd_stream.h"
#include "vmm/base/log.h"

namespace vireo::dev {

// The output half of a backend: writes as long as the sink is well, discards afterwards.
class FdOutput {
 public:
  FdOutput(int fd, std::string what, Logger log, OutputLost lost)
      : writer_(fd), what_(std::move(what)), log_(std::move(log)), lost_(std::move(lost)) {}
  void open(EventLoop& loop, CharFrontend& frontend) noexcept;
  void close();
  size_t write(std::span<const std::byte> bytes);
  // The sink is another descriptor from now on, well until it proves broken.
  void replace(int fd);

 private:
  FdWriter writer_;
  const std::string what_;
  const Logger log_;
  const OutputLost lost_;
  EventLoop* loop_ = nullptr;
  CharFrontend* frontend_ = nullptr;
  bool broken_ = false;
};

class FileBackend final : public CharBackend {
 public:
  // Throws ConfigError, std::system_error.
  FileBackend(std::string path, Logger log, OutputLost lost = {});

  void open(EventLoop& loop, CharFrontend& frontend) override { output_.open(loop, frontend); }
  void close() override { output_.close(); }
  size_t write(std::span<const std::byte> bytes) override { return output_.write(bytes); }
  void set_readable(bool) override {}
  void reopen() override;

 private:
  const std::string path_;
  const Logger log_;
  UniqueFd fd_;
  FdOutput output_;
};

}  // namespace vireo::dev
