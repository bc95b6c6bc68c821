#include "devices/p9/locks.h"

#include <fcntl.h>

#include <algorithm>
#include <limits>

namespace vireo::p9 {

namespace {

bool overlap(const Lock& lock, uint64_t first, uint64_t last) noexcept {
  return lock.first <= last && first <= lock.last;
}

// A length of 0 reaches to the end of the file, whatever that will be.
struct flock range_of(short type, uint64_t first, uint64_t last) noexcept {
  constexpr auto kEnd = static_cast<uint64_t>(std::numeric_limits<off_t>::max());
  struct flock range {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(first);
  range.l_len = last >= kEnd ? 0 : static_cast<off_t>(last - first + 1);
  return range;
}

}  // namespace

std::optional<Lock> FileLocks::conflict(const Lock& wanted) const {
  const std::optional<Lock> ours = conflict_here(wanted);
  return ours ? ours : conflict_on_host(wanted);
}

std::optional<Lock> FileLocks::conflict_here(const Lock& wanted) const {
  for (const Lock& lock : locks_)
    if (overlap(lock, wanted.first, wanted.last) && lock.owner != wanted.owner &&
        (lock.exclusive || wanted.exclusive))
      return lock;
  return std::nullopt;
}

std::optional<Lock> FileLocks::conflict_on_host(const Lock& wanted) const {
  struct flock range = range_of(wanted.exclusive ? F_WRLCK : F_RDLCK, wanted.first, wanted.last);
  if (::fcntl(host_.get(), F_OFD_GETLK, &range) != 0 || range.l_type == F_UNLCK)
    return std::nullopt;
  Lock theirs;
  theirs.first = static_cast<uint64_t>(range.l_start);
  theirs.last = range.l_len == 0 ? std::numeric_limits<uint64_t>::max()
                                 : theirs.first + static_cast<uint64_t>(range.l_len) - 1;
  theirs.exclusive = range.l_type == F_WRLCK;
  return theirs;
}

Outcome FileLocks::acquire_on_host(const Lock& wanted) const {
  if (shadow_ == Shadow::none) {
    if (conflict_on_host(wanted)) return Failure{EAGAIN};
    return Done{};
  }
  struct flock range = range_of(wanted.exclusive ? F_WRLCK : F_RDLCK, wanted.first, wanted.last);
  if (::fcntl(host_.get(), F_OFD_SETLK, &range) == 0) return Done{};
  if (errno == EACCES || errno == EAGAIN) return Failure{EAGAIN};
  // We may not write the file, or its file system has no locks: then they are the guest's alone.
  if (errno == EBADF || errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS) return Done{};
  return last_failure();
}

Outcome FileLocks::acquire(const Lock& wanted, size_t most) {
  if (conflict_here(wanted)) return Failure{EAGAIN};
  if (locks_.size() + 2 > most) return Failure{ENOLCK};
  const Outcome held = acquire_on_host(wanted);
  if (!held) return held;
  cut(wanted.first, wanted.last, wanted.owner);
  locks_.push_back(wanted);
  return Done{};
}

// Takes the range out of what the owner has; what sticks out on either side stays.
void FileLocks::cut(uint64_t first, uint64_t last, const LockOwner& owner) {
  for (size_t i = locks_.size(); i-- > 0;) {
    if (!overlap(locks_[i], first, last) || locks_[i].owner != owner) continue;
    const Lock lock = locks_[i];
    locks_.erase(locks_.begin() + static_cast<std::ptrdiff_t>(i));
    if (lock.first < first) {
      locks_.push_back(lock);
      locks_.back().last = first - 1;
    }
    if (lock.last > last) {
      locks_.push_back(lock);
      locks_.back().first = last + 1;
    }
  }
}

Outcome FileLocks::release(uint64_t first, uint64_t last, const LockOwner& owner, size_t most) {
  const bool splits = std::any_of(locks_.begin(), locks_.end(), [&](const Lock& lock) {
    return lock.first < first && last < lock.last && lock.owner == owner;
  });
  if (splits && locks_.size() >= most) return Failure{ENOLCK};
  cut(first, last, owner);
  release_on_host(first, last);
  return Done{};
}

// Lets go on the host of those parts of the range that none of the guest's processes holds.
void FileLocks::release_on_host(uint64_t first, uint64_t last) const {
  if (shadow_ == Shadow::none) return;
  std::vector<std::pair<uint64_t, uint64_t>> held;
  for (const Lock& lock : locks_)
    if (overlap(lock, first, last)) held.emplace_back(lock.first, lock.last);
  std::sort(held.begin(), held.end());
  const auto let_go = [this](uint64_t from, uint64_t to) {
    struct flock range = range_of(F_UNLCK, from, to);
    static_cast<void>(::fcntl(host_.get(), F_OFD_SETLK, &range));
  };
  uint64_t at = first;
  for (const auto& [from, to] : held) {
    if (from > at) let_go(at, from - 1);
    if (to >= last) return;
    at = std::max(at, to + 1);
  }
  let_go(at, last);
}

void FileLocks::release_all(uint64_t holder) {
  std::vector<Lock> gone;
  std::copy_if(locks_.begin(), locks_.end(), std::back_inserter(gone),
               [holder](const Lock& lock) { return lock.holder == holder; });
  std::erase_if(locks_, [holder](const Lock& lock) { return lock.holder == holder; });
  for (const Lock& lock : gone) release_on_host(lock.first, lock.last);
}

}  // namespace vireo::p9
