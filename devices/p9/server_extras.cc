// The requests for extended attributes and for locks.
#include <fcntl.h>
#include <linux/xattr.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "devices/p9/server_state.h"

namespace vireo::p9 {

namespace {

// What the guest may have in our memory, and how many locks.
constexpr size_t kMaxXattrBytes = 8 << 20;
constexpr size_t kMaxLocks = 1 << 12;

enum LockType : uint8_t { kReadLock = 0, kWriteLock = 1, kUnlock = 2 };
enum LockStatus : uint8_t { kGranted = 0, kBlocked = 1 };

// A length of 0 reaches to the end. EINVAL when the host could not say it.
Result<Lock> lock_of(uint64_t start, uint64_t length) {
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (start > kMost || (length != 0 && length - 1 > std::numeric_limits<uint64_t>::max() - start))
    return Failure{EINVAL};
  Lock lock;
  lock.first = start;
  lock.last = length == 0 ? std::numeric_limits<uint64_t>::max() : start + length - 1;
  return lock;
}

}  // namespace

// The value, or without a name the list of names, becomes a fid to read from.
Task<Result<Rsize>> Server::on(Call& call, const Txattrwalk& message) {
  const FidPtr fid = find(message.fid);
  if (!fid || fid->xattr) co_return Failure{EBADF};
  if (xattr_bytes_ + XATTR_SIZE_MAX > kMaxXattrBytes) co_return Failure{ENOMEM};
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  auto look = [&] {
    return message.name.empty() ? fs_.xattr_list(*item) : fs_.xattr(*item, message.name);
  };
  Interruptible<decltype(look)> work{call, look};
  auto value = co_await offload(pool_, loop_, work);
  if (!value) co_return value.failure();
  const uint64_t size = value->size();
  auto reading = std::make_shared<Fid>(fid->node, fid->uid);
  reading->xattr = std::make_shared<Xattr>(*this, size);
  reading->xattr->value = std::move(*value);
  if (const int error = add(message.new_fid, std::move(reading)); error != 0)
    co_return Failure{error};
  co_return Rsize{size};
}

// The fid becomes one to write the value to; its clunk sets the attribute.
Task<Result<Nothing>> Server::on(Call& /*call*/, const Txattrcreate& message) {
  const FidPtr fid = find(message.fid);
  if (!fid || fid->xattr) co_return Failure{EBADF};
  if (fid->file) co_return Failure{EINVAL};
  if (fs_.is_read_only()) co_return Failure{EROFS};
  if (message.size > XATTR_SIZE_MAX) co_return Failure{E2BIG};
  if (message.name.empty() || message.name.find('\0') != std::string_view::npos)
    co_return Failure{EINVAL};
  if (xattr_bytes_ + message.size > kMaxXattrBytes) co_return Failure{ENOMEM};
  fid->xattr = std::make_shared<Xattr>(*this, message.size);
  fid->xattr->writing = true;
  fid->xattr->name = message.name;
  fid->xattr->flags = static_cast<int>(message.flags);
  fid->xattr->value.reserve(message.size);
  co_return Nothing{};
}

Result<Rdata> Server::read_xattr(Call& call, const Fid& fid, const Tread& message) const {
  const Xattr& xattr = *fid.xattr;
  if (xattr.writing) return Failure{EBADF};
  const uint64_t length = std::min<uint64_t>(message.count, data_room(call));
  const std::span<const std::byte> value(xattr.value);
  const auto rest = value.subspan(std::min<uint64_t>(message.offset, value.size()));
  const auto part = rest.first(std::min<uint64_t>(length, rest.size()));
  copy_to(slice(call.exchange.reply, kHeaderSize + sizeof(uint32_t), part.size()), part);
  return Rdata{{static_cast<uint32_t>(part.size())}};
}

Result<Rwrite> Server::write_xattr(Call& call, Fid& fid, const Twrite& message) const {
  Xattr& xattr = *fid.xattr;
  if (!xattr.writing) return Failure{EBADF};
  // In order, as Linux writes it.
  if (message.offset != xattr.value.size()) return Failure{EINVAL};
  if (message.data.count > xattr.reserved - xattr.value.size()) return Failure{ENOSPC};
  const size_t old = xattr.value.size();
  xattr.value.resize(old + message.data.count);
  copy_from(slice(call.exchange.request, call.head, message.data.count),
            std::span(xattr.value).subspan(old));
  return Rwrite{message.data.count};
}

// Linux removes an attribute by replacing it with nothing.
Task<Result<Nothing>> Server::finish_xattr(Call& call, FidPtr fid) {
  const std::shared_ptr<Xattr> xattr = fid->xattr;
  if (!xattr->writing) co_return Nothing{};
  if (xattr->value.size() != xattr->reserved) co_return Failure{EINVAL};
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  auto change = [&] {
    if (xattr->value.empty() && xattr->flags == XATTR_REPLACE)
      return fs_.remove_xattr(*item, xattr->name);
    return fs_.set_xattr(*item, xattr->name, xattr->value, xattr->flags);
  };
  Interruptible<decltype(change)> work{call, change};
  const Outcome changed = co_await offload(pool_, loop_, work);
  co_return nothing(changed);
}

// The locks of the file, made when it has none yet. On the pool, with locking_ held.
Result<std::shared_ptr<Server::LockedFile>> Server::locked_file(const Item& item) {
  const auto attributes = attributes_of(item.self->get());
  if (!attributes) return attributes.failure();
  const auto key = std::pair(attributes->device, attributes->inode);
  if (const auto found = locked_.find(key); found != locked_.end()) return found->second;
  auto host = Result<UniqueFd>(Failure{EROFS});
  if (!fs_.is_read_only()) host = fs_.open(item, O_RDWR);
  if (!host) host = fs_.open(item, O_RDONLY);
  if (!host) host = fs_.open(item, O_WRONLY);
  if (!host) return host.failure();
  auto made = std::make_shared<LockedFile>(std::move(*host));
  locked_.emplace(key, made);
  return made;
}

Task<Result<Rlock>> Server::on(Call& call, const Tlock& message) {
  const FidPtr fid = find(message.fid);
  if (!fid || !fid->file) co_return Failure{EBADF};
  auto wanted = lock_of(message.start, message.length);
  if (!wanted || message.type > kUnlock) co_return Failure{EINVAL};
  wanted->exclusive = message.type == kWriteLock;
  wanted->owner = {message.process, std::string(message.client)};
  const std::shared_ptr<OpenFile> file_asked = fid->file;
  wanted->holder = file_asked->serial;
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  const AsyncMutex::Guard guard = co_await locking_.lock();
  if (fid->file != file_asked) co_return Failure{EBADF};
  file_asked->has_locks = true;  // so that whoever closes it now lets go of them afterwards
  auto change = [&]() -> Outcome {
    const auto file = locked_file(*item);
    if (!file) return file.failure();
    const auto got = change_lock((*file)->locks, *wanted, message.type == kUnlock);
    forget_unlocked();
    return got;
  };
  Interruptible<decltype(change)> work{call, change};
  const Outcome changed = co_await offload(pool_, loop_, work);
  if (!changed && changed.error() == EAGAIN) co_return Rlock{kBlocked};
  if (!changed) co_return changed.failure();
  co_return Rlock{kGranted};
}

Outcome Server::change_lock(FileLocks& locks, const Lock& wanted, bool release) const {
  size_t others = 0;
  for (const auto& [key, file] : locked_) others += file->locks.size();
  if (release) {
    locks.release(wanted.first, wanted.last, wanted.owner);
    return Done{};
  }
  if (others + 2 > kMaxLocks || locked_.size() > max_open_files() / 4) return Failure{ENOLCK};
  return locks.acquire(wanted, kMaxLocks);
}

void Server::forget_unlocked() {
  std::erase_if(locked_, [](const auto& entry) { return entry.second->locks.empty(); });
}

Task<Result<Rgetlock>> Server::on(Call& call, const Tgetlock& message) {
  const FidPtr fid = find(message.fid);
  if (!fid || !fid->file) co_return Failure{EBADF};
  auto wanted = lock_of(message.start, message.length);
  if (!wanted || message.type > kWriteLock) co_return Failure{EINVAL};
  wanted->exclusive = message.type == kWriteLock;
  wanted->owner = {message.process, std::string(message.client)};
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  const AsyncMutex::Guard guard = co_await locking_.lock();
  std::optional<Lock> theirs;
  auto look = [&]() -> Outcome {
    const auto file = locked_file(*item);
    if (!file) return file.failure();
    theirs = (*file)->locks.conflict(*wanted);
    forget_unlocked();
    return Done{};
  };
  Interruptible<decltype(look)> work{call, look};
  const Outcome looked = co_await offload(pool_, loop_, work);
  if (!looked) co_return looked.failure();
  if (!theirs)
    co_return Rgetlock{kUnlock, message.start, message.length, message.process, message.client};
  call.text = theirs->owner.client;
  const bool endless = theirs->last == std::numeric_limits<uint64_t>::max();
  co_return Rgetlock{theirs->exclusive ? kWriteLock : kReadLock, theirs->first,
                     endless ? 0 : theirs->last - theirs->first + 1, theirs->owner.process,
                     call.text};
}

// An open file takes with it what was locked through it.
Task<void> Server::drop_locks(uint64_t holder) {
  const AsyncMutex::Guard guard = co_await locking_.lock();
  const auto drop = [&] {
    for (const auto& [key, file] : locked_) file->locks.release_all(holder);
    forget_unlocked();
    return true;
  };
  co_await offload(pool_, loop_, drop);
}

}  // namespace vireo::p9
