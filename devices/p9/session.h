// What a client has between one Tversion and the next: its fids and its locks. A request keeps the
// session that it came in, which therefore is there as long as the request is.
//
// Thread: the server's loop, but for what LockTable says of itself.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "devices/p9/budget.h"
#include "devices/p9/host.h"
#include "devices/p9/lock_table.h"
#include "devices/p9/tree.h"
#include "vmm/base/async_sync.h"

namespace vireo::p9 {

// An opened file or directory.
struct OpenFile {
  OpenFile(SharedFd opened, uint32_t open_flags, bool is_directory, uint64_t number,
           Budget::Part part) noexcept
      : place(std::move(part)),
        fd(std::move(opened)),
        flags(open_flags),
        directory(is_directory),
        serial(number) {}

  bool writable() const noexcept { return (flags & O_ACCMODE) != O_RDONLY; }

  Budget::Part place;  // among the open files
  SharedFd fd;
  const uint32_t flags;
  const bool directory;
  const uint64_t serial;
  AsyncMutex listing{};       // who reads the directory
  uint64_t position = 0;      // the directory's, as the client knows it; of who has `listing`
  bool reads_nowait = true;   // RWF_NOWAIT works, until the host says otherwise
  bool writes_nowait = true;  // likewise
  bool has_locks = false;
  bool closed = false;  // its fid is gone
};

// The value of an extended attribute on its way to or from the client.
struct Xattr {
  Budget::Part memory{};
  size_t size = 0;  // of the whole value
  bool writing = false;
  std::string name{};
  int flags = 0;
  std::vector<std::byte> value{};
};

// What a fid stands for. It never changes: a request that turns a fid into something else puts
// another one in its place, so that those under way act on what they found.
struct Fid {
  NodePtr node{};
  uint32_t uid = 0;  // whom the client acts for; kNoUid: it does not say
  std::shared_ptr<OpenFile> file{};
  std::shared_ptr<Xattr> xattr{};
  Budget::Part memory{};
};
using FidPtr = std::shared_ptr<const Fid>;
// Its count of references, its place in the table and what the allocator adds to them included.
inline constexpr size_t kFidCost = sizeof(Fid) + 96;

class Fids {
 public:
  explicit Fids(size_t most) noexcept : most_(most) {}

  FidPtr find(uint32_t number) const;
  bool contains(uint32_t number) const { return fids_.contains(number); }
  bool empty() const noexcept { return fids_.empty(); }
  // 0; EINVAL: the number is taken or none; ENFILE: too many.
  int add(uint32_t number, FidPtr fid);
  // In the place of the one that was found before. EBADF: it is gone; EINVAL: it became another.
  int replace(uint32_t number, const FidPtr& found, FidPtr fid);
  // nullptr: there is none.
  FidPtr take(uint32_t number);

 private:
  const size_t most_;
  std::unordered_map<uint32_t, FidPtr> fids_;
};

struct Session {
  Session(const LocalFs& fs, uint32_t max_message_size, size_t fids_at_most, size_t locked_at_most)
      : max_message(max_message_size), fids(fids_at_most), locks(fs, locked_at_most) {}

  const uint32_t max_message;
  Fids fids;
  LockTable locks;
};

}  // namespace vireo::p9
