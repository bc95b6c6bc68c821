// A console in memory, for programs that embed a machine: they type into it and wait for what the
// guest says.
//
//   vireo::Console console;
//   vireo::Machine vm({.kernel = "vmlinuz", .serial = console});
//   vm.start();
//   console.expect("login: ", 30s);
//   console.write("root\n");
//   console.expect_match("# $", 5s);
//
// Thread: any, for all of it; expect() waits. A console and its machine may go in either order;
// when the machine has gone, or end() was called, waiting ends.
// Bounded: the newest kCapacity bytes of output are kept, kCapacity bytes of input may wait.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "vireo/error.h"
#include "vireo/export.h"
#include "vireo/units.h"

namespace vireo {

namespace dev {
class CharBackend;
}
class Port;

class VIREO_EXPORT Console {
 public:
  static constexpr size_t kCapacity = MiB;
  using Timeout = std::chrono::milliseconds;

  Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;
  ~Console();

  // Input for the guest, which takes it when it can. Throws ConfigError when kCapacity would be
  // exceeded: the guest does not read.
  void write(std::string_view text);

  // Waits for the text, or for a match of the POSIX extended regular expression within a line
  // ('.' and '[^x]' stop at its end, '^' and '$' are its ends; '$' also where the output so far
  // ends), in what no expect has consumed yet. Consumes up to its end and gives what that was.
  // Throws ExpectError; ConfigError on a malformed expression.
  std::string expect(std::string_view text, Timeout timeout);
  std::string expect_match(const std::string& regex, Timeout timeout);

  std::string transcript() const;  // consumed or not
  void end();                      // no more output will come: wakes all who wait

 private:
  friend class Port;
  friend std::unique_ptr<dev::CharBackend> backend_of(const Port& port);
  struct VIREO_HIDDEN Core;

  std::shared_ptr<Core> core_;
};

}  // namespace vireo
