// A virtual machine: an object that starts, talks, ends, and leaves the process alive.
//
//   vireo::Machine vm({.memory = 512 * vireo::MiB, .kernel = "vmlinuz", .serial = console});
//   vm.start();
//   const vireo::End end = vm.wait();
//
//   created --start()--> running <--pause()/resume()--> paused --stop()/wait()--> stopped
//
// Thread: one owner at a time; only request_stop(), request_pause(), request_resume() and
// press_power_button() may be called from elsewhere, while the machine lives. A machine makes its
// threads in start(), installs no signal handler and uses nothing process-wide: several may live in
// one process. What the guest and those requests ask for is carried out inside wait().
// Errors: ConfigError and std::system_error until start() has returned; afterwards what happens is
// told by End. A call in a state that does not allow it throws std::logic_error.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vireo/description.h"
#include "vireo/end.h"
#include "vireo/export.h"

namespace vireo {

class VIREO_EXPORT Machine {
 public:
  // Opens what the description names. Needs /dev/kvm.
  explicit Machine(const Description& description);
  // The same machine as save() left it in the directory: start() goes on where it stood.
  static Machine restore(const std::string& directory, const Description& description);
  Machine(Machine&& other) noexcept;
  Machine& operator=(Machine&& other) noexcept;
  ~Machine();  // stops it first, if need be

  // Where viewers connect, and the ports of the host that lead to the guest: one sentence each.
  const std::vector<std::string>& announcements() const noexcept;

  void start();
  void pause();
  void resume();
  void stop();  // ends it now; wait() then says `stopped` unless it had ended by itself
  void save(const std::string& directory);  // only paused; the directory must not exist yet

  End wait();
  // Nothing when the machine still runs after that time.
  std::optional<End> wait_for(std::chrono::milliseconds time);

  void request_stop();
  void request_pause(const std::string& why);
  void request_resume();
  // Called by wait(), when the machine was paused as somebody asked for it: a disk that waits for
  // room on the host (on-enospc=stop), or request_pause().
  void on_pause(std::function<void(const std::string& why)> listener);
  void press_power_button();  // the guest gets to shut down

  // Change the disc in a CD-ROM drive (`cdrom` of the description) of a machine that runs or is
  // paused; `drive` is the id of the drive: cdrom0, cdrom1, … if none was given. Throw ConfigError
  // when there is no such drive.
  // Opens the drive and takes out its disc, if it has one. False: the guest holds the disc, and was
  // asked to let it go; `forced` takes it even then.
  [[nodiscard]] bool eject(const std::string& drive, bool forced = false);
  // Puts a disc into the drive, told as a value of `cdrom`, and closes it. Throws ConfigError when
  // there is a disc already, or this one cannot be opened.
  void insert(const std::string& drive, const std::string& disc);

 private:
  struct VIREO_HIDDEN Insides;
  explicit Machine(std::unique_ptr<Insides> insides) noexcept;

  std::unique_ptr<Insides> insides_;
};

}  // namespace vireo
