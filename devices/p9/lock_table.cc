#include "devices/p9/lock_table.h"

#include <fcntl.h>

#include "devices/p9/local_fs.h"

namespace vireo::p9 {

namespace {

constexpr size_t kMaxLocks = 1 << 12;

}  // namespace

Result<LockTable::Key> LockTable::key_of(const Item& item) {
  const auto attributes = attributes_of(item.self->get());
  if (!attributes) return attributes.failure();
  return Key(attributes->device, attributes->inode);
}

FileLocks* LockTable::find(const Key& key) {
  const auto found = files_.find(key);
  return found == files_.end() ? nullptr : &found->second;
}

// Made when it has none yet. Who called forgets it again if it still has none afterwards.
Result<FileLocks*> LockTable::locks_of(const Item& item) {
  const auto key = key_of(item);
  if (!key) return key.failure();
  if (FileLocks* const known = find(*key)) return known;
  if (files_.size() >= max_files_) return Failure{ENOLCK};
  auto file = open_to_lock(item);
  if (!file) return file.failure();
  return &files_.try_emplace(*key, std::move(*file)).first->second;
}

Result<FileLocks> LockTable::open_to_lock(const Item& item) const {
  auto host = Result<UniqueFd>(Failure{EROFS});
  if (!fs_.is_read_only()) host = fs_.open(item, O_RDWR);
  if (!host) host = fs_.open(item, O_RDONLY);
  if (!host) host = fs_.open(item, O_WRONLY);
  if (!host) return host.failure();
  // A guest that may change nothing holds up nobody, either.
  const auto shadow = fs_.is_read_only() ? FileLocks::Shadow::none : FileLocks::Shadow::held;
  return FileLocks(std::move(*host), shadow);
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
  const auto key = key_of(item);
  if (!key) return key.failure();
  FileLocks* const file = find(*key);
  if (file == nullptr) return Done{};
  const Outcome released = file->release(wanted.first, wanted.last, wanted.owner, room_for(*file));
  forget_unlocked();
  return released;
}

// A file without locks of the guest's may have the host's: it is opened to be asked, no longer.
Result<std::optional<Lock>> LockTable::conflict(const Item& item, const Lock& wanted) {
  const auto key = key_of(item);
  if (!key) return key.failure();
  if (const FileLocks* const file = find(*key)) return file->conflict(wanted);
  const auto file = open_to_lock(item);
  if (!file) return file.failure();
  return file->conflict(wanted);
}

void LockTable::release_all(uint64_t holder) {
  for (auto& [key, file] : files_) file.release_all(holder);
  forget_unlocked();
}

void LockTable::forget_unlocked() {
  std::erase_if(files_, [](const auto& entry) { return entry.second.empty(); });
}

}  // namespace vireo::p9
