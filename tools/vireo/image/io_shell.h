// The commands of 'image io': an image that may be open, requests on it, one line at a time.
//
// Thread: the session's. Owns the image. Errors of commands go to the standard streams as qemu-io
// tells them; only what the caller did wrong throws.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blockdev/buffer.h"
#include "tools/vireo/image/image_name.h"
#include "tools/vireo/image/io_text.h"
#include "tools/vireo/image/open.h"

namespace vireo::cli {

// What a command asks of the disk.
struct IoRequest {
  bool write = false, vectored = false, asynchronous = false;
  bool verbose = false, quiet = false, for_machines = false;
  bool zero = false, unmap = false, compressed = false, fua = false;
  bool state = false;    // of the machine, behind the disk
  bool no_data = false;  // zero where that needs no data to be written
  std::optional<std::byte> pattern;
  uint64_t pattern_offset = 0;
  std::optional<uint64_t> pattern_length;
  std::string source;  // a file to write from
  uint64_t offset = 0;
  std::vector<uint64_t> lengths;

  uint64_t total() const noexcept;
  const char* name() const noexcept;  // as errors call it
};

// How an image is opened, and is opened again.
struct IoImage {
  ImageArguments image;
  bool read_only = false;
  bool snapshot = false;
  std::string discard = "unmap";  // ignore, off: discards do nothing

  bool discards() const { return discard == "unmap" || discard == "on"; }
};

class IoShell {
 public:
  IoShell(Session& session, IoImage image) : session_(session), how_(std::move(image)) {}
  IoShell(const IoShell&) = delete;
  IoShell& operator=(const IoShell&) = delete;
  ~IoShell();

  void open();  // what the command line named; throws
  // Runs a command line; false if it failed.
  bool execute(const std::string& line);
  bool quits() const noexcept { return quits_; }
  bool finish();  // waits for all requests and closes; false after an error

 private:
  struct Command;
  static const std::vector<Command>& commands();
  static const Command* find(const std::string& name);
  bool run(const Command& command, const std::vector<std::string>& words);

  bool request(const IoWords& words, IoRequest request);
  bool perform(std::shared_ptr<IoRequest> request);
  Task<bool> carry_out(std::shared_ptr<IoRequest> request);
  Task<std::error_code> transfer_zeros(const IoRequest& request);
  Task<std::error_code> transfer_state(const IoRequest& request, IoVecs vectors);
  Task<std::error_code> transfer(const IoRequest& request, blk::Buffer& buffer);
  Task<void> carry_out_later(std::shared_ptr<IoRequest> request);
  Task<void> sleep(std::chrono::milliseconds time);
  Task<void> settle();

  bool read(const IoWords& words);
  bool readv(const IoWords& words);
  bool write(const IoWords& words);
  bool writev(const IoWords& words);
  bool aio_read(const IoWords& words);
  bool aio_write(const IoWords& words);
  bool aio_flush(const IoWords& words);
  bool discard(const IoWords& words);
  bool flush(const IoWords& words);
  bool truncate(const IoWords& words);
  bool length(const IoWords& words);
  bool map(const IoWords& words);
  bool alloc(const IoWords& words);
  bool open_image(const IoWords& words);
  bool reopen(const IoWords& words);
  bool close_image(const IoWords& words);
  bool set_break(const IoWords& words);
  bool wait_break(const IoWords& words);
  bool resume(const IoWords& words);
  bool sleep_command(const IoWords& words);
  bool raise_signal(const IoWords& words);
  bool abort(const IoWords& words);
  bool info(const IoWords& words);
  bool help(const IoWords& words);
  bool quit(const IoWords& words);

  // The extents that begin at `offset`, joined while they are alike.
  blk::Extent allocated_run(uint64_t offset, uint64_t length);
  void open_named();
  ImageOptions drivers() const;  // as options name them
  blk::Debugger& debugger();
  bool close();

  Session& session_;
  IoImage how_;
  std::unique_ptr<Image> image_;
  Scope later_;  // asynchronous requests
  bool quits_ = false;
};

}  // namespace vireo::cli
