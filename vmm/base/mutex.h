// The end of a mutex. std::mutex has a destructor that does nothing, which ThreadSanitizer cannot
// see: to its detector of deadlocks the mutex of a later object at the same address is still this
// one, with all that was ever locked together with it.
#pragma once

#include <pthread.h>

#include <mutex>

namespace vireo {

// Nobody holds it, and it is not used any more. For destructors.
inline void end_mutex(std::mutex& mutex) noexcept {
  ::pthread_mutex_destroy(mutex.native_handle());
}

}  // namespace vireo
