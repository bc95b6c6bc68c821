// The requests for extended attributes and for locks.
#include <fcntl.h>
#include <linux/xattr.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "devices/p9/server_state.h"

namespace vireo::p9 {

namespace {

// What holds a value takes besides it, its name included.
constexpr size_t kXattrCost = sizeof(Xattr) + XATTR_NAME_MAX;
// Of a client's name, which is its host's: Linux' __NEW_UTS_LEN is 64.
constexpr size_t kMaxClient = 255;

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
  const FidPtr fid = call.find_file(message.fid);
  auto memory = xattr_bytes_.take(kXattrCost + XATTR_SIZE_MAX);
  if (!memory) co_return Failure{ENOMEM};
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  auto look = [&] {
    return message.name.empty() ? fs_.xattr_list(*item) : fs_.xattr(*item, message.name);
  };
  Interruptible<decltype(look)> work{call, look};
  auto value = co_await on_host(work);
  if (!value) co_return value.failure();
  const uint64_t size = value->size();
  memory->shrink(kXattrCost + size);
  const auto xattr = std::make_shared<Xattr>(
      Xattr{.memory = std::move(*memory), .size = size, .value = std::move(*value)});
  const auto reading = make_fid({.node = fid->node, .uid = fid->uid, .xattr = xattr});
  if (!reading) co_return reading.failure();
  const int error = call.session->fids.add(message.new_fid, *reading);
  if (error != 0) co_return Failure{error};
  co_return Rsize{size};
}

// The fid becomes one to write the value to; its clunk sets the attribute. Limits and errors are
// those of setxattr(2).
Task<Result<Nothing>> Server::on(Call& call, const Txattrcreate& message) {
  const FidPtr fid = call.find_file(message.fid);
  if (!fid) co_return Failure{EBADF};
  if (fid->file) co_return Failure{EINVAL};
  if (fs_.is_read_only()) co_return Failure{EROFS};
  if (message.size > XATTR_SIZE_MAX) co_return Failure{E2BIG};
  if (message.name.size() > XATTR_NAME_MAX) co_return Failure{ERANGE};
  if (message.name.empty() || message.name.find('\0') != std::string_view::npos)
    co_return Failure{EINVAL};
  auto memory = xattr_bytes_.take(kXattrCost + message.size);
  if (!memory) co_return Failure{ENOMEM};
  const auto xattr = std::make_shared<Xattr>(Xattr{.memory = std::move(*memory),
                                                   .size = message.size,
                                                   .writing = true,
                                                   .name = std::string(message.name),
                                                   .flags = static_cast<int>(message.flags)});
  xattr->value.reserve(message.size);
  const auto writing = make_fid({.node = fid->node, .uid = fid->uid, .xattr = xattr});
  if (!writing) co_return writing.failure();
  const int error = call.session->fids.replace(message.fid, fid, *writing);
  if (error != 0) co_return Failure{error};
  co_return Nothing{};
}

Result<Rdata> Server::read_xattr(Call& call, const Xattr& xattr, const Tread& message) const {
  if (xattr.writing) return Failure{EBADF};
  const uint64_t length = std::min<uint64_t>(message.count, call.data_room());
  const std::span<const std::byte> value(xattr.value);
  const auto rest = value.subspan(std::min<uint64_t>(message.offset, value.size()));
  const auto part = rest.first(std::min<uint64_t>(length, rest.size()));
  copy_to(slice(call.exchange.reply, kHeaderSize + sizeof(uint32_t), part.size()), part);
  return Rdata{{static_cast<uint32_t>(part.size())}};
}

Result<Rwrite> Server::write_xattr(Call& call, Xattr& xattr, const Twrite& message) const {
  if (!xattr.writing) return Failure{EBADF};
  // In order, as Linux writes it.
  if (message.offset != xattr.value.size()) return Failure{EINVAL};
  if (message.data.count > xattr.size - xattr.value.size()) return Failure{ENOSPC};
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
  if (xattr->value.size() != xattr->size) co_return Failure{EINVAL};
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  auto change = [&] {
    if (xattr->value.empty() && xattr->flags == XATTR_REPLACE)
      return fs_.remove_xattr(*item, xattr->name);
    return fs_.set_xattr(*item, xattr->name, xattr->value, xattr->flags);
  };
  Interruptible<decltype(change)> work{call, change};
  const Outcome changed = co_await on_host(work);
  co_return nothing(changed);
}

Task<Result<Rlock>> Server::on(Call& call, const Tlock& message) {
  const FidPtr fid = call.find(message.fid);
  if (!fid || !fid->file) co_return Failure{EBADF};
  OpenFile& file = *fid->file;
  auto wanted = lock_of(message.start, message.length);
  if (!wanted || message.type > kUnlock) co_return Failure{EINVAL};
  if (message.client.size() > kMaxClient) co_return Failure{ENAMETOOLONG};
  wanted->exclusive = message.type == kWriteLock;
  wanted->owner = {message.process, std::string(message.client)};
  wanted->holder = file.serial;
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  LockTable& locks = call.session->locks;
  const AsyncMutex::Guard guard = co_await locks.turn();
  if (file.closed) co_return Failure{EBADF};
  file.has_locks = true;  // so that whoever closes it now lets go of them afterwards
  auto change = [&] {
    return message.type == kUnlock ? locks.release(*item, *wanted) : locks.acquire(*item, *wanted);
  };
  Interruptible<decltype(change)> work{call, change};
  const Outcome changed = co_await offload(*pool_, loop_, work);
  if (!changed && changed.error() == EAGAIN) co_return Rlock{kBlocked};
  if (!changed) co_return changed.failure();
  co_return Rlock{kGranted};
}

Task<Result<Rgetlock>> Server::on(Call& call, const Tgetlock& message) {
  const FidPtr fid = call.find(message.fid);
  if (!fid || !fid->file) co_return Failure{EBADF};
  auto wanted = lock_of(message.start, message.length);
  if (!wanted || message.type > kWriteLock) co_return Failure{EINVAL};
  if (message.client.size() > kMaxClient) co_return Failure{ENAMETOOLONG};
  wanted->exclusive = message.type == kWriteLock;
  wanted->owner = {message.process, std::string(message.client)};
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  LockTable& locks = call.session->locks;
  const AsyncMutex::Guard guard = co_await locks.turn();
  auto look = [&] { return locks.conflict(*item, *wanted); };
  Interruptible<decltype(look)> work{call, look};
  const auto theirs = co_await offload(*pool_, loop_, work);
  if (!theirs) co_return theirs.failure();
  if (!*theirs)
    co_return Rgetlock{kUnlock, message.start, message.length, message.process, message.client};
  const Lock& lock = **theirs;
  call.text = lock.owner.client;
  const bool endless = lock.last == std::numeric_limits<uint64_t>::max();
  co_return Rgetlock{lock.exclusive ? kWriteLock : kReadLock, lock.first,
                     endless ? 0 : lock.last - lock.first + 1, lock.owner.process, call.text};
}

// An open file takes with it what was locked through it.
Task<void> Server::drop_locks(Call& call, uint64_t holder) {
  LockTable& locks = call.session->locks;
  const AsyncMutex::Guard guard = co_await locks.turn();
  const auto drop = [&] {
    locks.release_all(holder);
    return true;
  };
  co_await offload(*pool_, loop_, drop);
}

}  // namespace vireo::p9
