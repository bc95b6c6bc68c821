// A keyboard that a guest may have, from the side of who types.
#pragma once

#include <cstdint>
#include <set>

namespace vireo::dev {

// Thread: the one of its device. Keys are KEY_* of <linux/input-event-codes.h>.
// A key that the guest has been told is down is told to be up sooner or later, however slowly the
// guest reads: what there may be no room for are presses.
class Keyboard {
 public:
  virtual ~Keyboard() = default;
  // The guest has a driver for it, or might have; not while the machine is paused. What is typed
  // otherwise is lost.
  virtual bool listens() const = 0;
  // A repeated press is an autorepeat; a release of what is not pressed does nothing. False: there
  // is no room for the press, or the guest has switched the keyboard off; nothing was done, and the
  // caller may try again later.
  virtual bool key(uint16_t key, bool pressed) = 0;
  // Releases what is pressed and not in `held`.
  virtual void release_all_but(const std::set<uint16_t>& held) = 0;
};

}  // namespace vireo::dev
