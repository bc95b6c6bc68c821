// The requests for locks.
#include <limits>
#include <utility>

#include "devices/p9/server_state.h"

namespace vireo::p9 {

namespace {

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
  const Outcome changed = co_await host_.long_call(change, &call.flushed);
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
  const auto theirs = co_await host_.long_call(look, &call.flushed);
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
    return Outcome(Done{});
  };
  static_cast<void>(co_await host_.long_call(drop));
}

}  // namespace vireo::p9
