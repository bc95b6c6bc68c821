#include "devices/p9/lock_table.h"

#include <fcntl.h>

#include "devices/p9/local_fs.h"

namespace vireo::p9 {

namespace {

constexpr size_t kMaxLocks = 1 << 12;

}  // namespace

// Made when it has none yet. Who called forgets it again if it still has none afterwards.
Result<FileLocks*> LockTable::locks_of(const Item& item) {
  const auto attributes = attributes_of(item.self->get());
  if (!attributes) return attributes.failure();
  const Key key(attributes->device, attributes->inode);
  if (const auto found = files_.find(key); found != files_.end()) return &found->second;
  if (files_.size() >= max_files_) return Failure{ENOLCK};
  auto host = open_to_lock(item);
  if (!host) return host.failure();
  // A guest that may change nothing holds up nobody, either.
  const auto shadow = fs_.is_read_only() ? FileLocks::Shadow::none : FileLocks::Shadow::held;
  return &files_.try_emplace(key, std::move(*host), shadow).first->second;
}

Result<UniqueFd> LockTable::open_to_lock(const Item& item) const {
  auto host = Result<UniqueFd>(Failure{EROFS});
  if (!fs_.is_read_only()) host = fs_.open(item, O_RDWR);
  if (!host) host = fs_.open(item, O_RDONLY);
  if (!host) host = fs_.open(item, O_WRONLY);
  return host;
}

// How many locks the file may have, with what the others leave.
size_t LockTable::room_for(const FileLocks& file) const noexcept {
  size_t all = 0;
  for (const auto& [key, locks] : files_) all += locks.size();
  return kMaxLocks - (all - file.size());
}

Outcome LockTable::acquire(const Item& item, const Lock& wanted) {
  const auto file = locks_of(item);
  if (!file) return file.failure();
  const Outcome got = (*file)->acquire(wanted, room_for(**file));
  forget_unlocked();
  return got;
}

Outcome LockTable::release(const Item& item, const Lock& wanted) {
  const auto file = locks_of(item);
  if (!file) return file.failure();
  const Outcome released =
      (*file)->release(wanted.first, wanted.last, wanted.owner, room_for(**file));
  forget_unlocked();
  return released;
}

Result<std::optional<Lock>> LockTable::conflict(const Item& item, const Lock& wanted) {
  const auto file = locks_of(item);
  if (!file) return file.failure();
  const std::optional<Lock> theirs = (*file)->conflict(wanted);
  forget_unlocked();
  return theirs;
}

void LockTable::release_all(uint64_t holder) {
  for (auto& [key, file] : files_) file.release_all(holder);
  forget_unlocked();
}

void LockTable::forget_unlocked() {
  std::erase_if(files_, [](const auto& entry) { return entry.second.empty(); });
}

}  // namespace vireo::p9
