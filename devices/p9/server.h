// A 9P2000.L server for one client: a session with its fids and tags, and one coroutine for each
// request. It knows no transport: an Exchange is a request's bytes and the room for its reply,
// wherever those lie.
//
// Thread: its loop. Calls that may wait for the host run on a pool of its own, so that a slow file
// system holds up nobody else; what the host has in memory is answered at once, by whoever the loop
// belongs to. The thread of a loop that serves only the share (ShareConfig::own_loop) makes short
// calls on a local file system itself while they come one by one: most of the time of such a
// request is what it takes to wake a thread. Owns the fids, the descriptors behind them and that
// pool. What a client asks for is hostile: names are single components, at most ShareConfig::files
// fids and ShareConfig::descriptors descriptors are held, messages are bounded by msize. A client's
// error is an Rlerror, never more.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "devices/p9/buffers.h"
#include "devices/p9/local_fs.h"
#include "devices/p9/locks.h"
#include "devices/p9/qid_map.h"
#include "devices/p9/tree.h"
#include "devices/p9/wire.h"
#include "vmm/base/async_sync.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/task.h"
#include "vmm/base/worker_pool.h"

namespace vireo::p9 {

struct Exchange {
  Buffers request{};
  Buffers reply{};
  std::function<void(uint32_t length)> send{};  // once, on the loop; 0: there is no reply
  bool alone = true;                            // no other waits to be served
};

class Server {
 public:
  // Throws what is wrong with the share.
  Server(EventLoop& loop, const ShareConfig& config);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  void serve(Exchange exchange);
  // Until nothing is under way.
  Task<void> drain();
  // Forgets the client; only while nothing is under way.
  void reset();
  // Somebody holds files here.
  bool is_attached() const noexcept { return !fids_.empty(); }

  size_t open_descriptors() const noexcept { return tree_.open_descriptors() + open_files_; }

 private:
  struct Call;
  struct Fid;
  struct OpenFile;
  struct Xattr;
  struct LockedFile;
  template <class T>
  struct Interruptible;
  using FidPtr = std::shared_ptr<Fid>;

  // server.cc: messages, tags, session, fids
  Task<void> run(Exchange exchange);
  Task<uint32_t> handle(const Exchange& exchange);
  Task<uint32_t> dispatch(Call& call, const Request& request);
  Task<uint32_t> unknown(Call& call);
  template <class T>
  Task<uint32_t> answer(Call& call, const T& message);
  uint32_t reply_error(const Exchange& exchange, uint16_t tag, int error) const;
  template <class T>
  uint32_t reply(const Call& call, uint8_t type, const T& message) const;
  uint64_t data_room(const Call& call) const noexcept;
  uint32_t io_unit() const noexcept;
  FidPtr find(uint32_t number) const;
  int add(uint32_t number, FidPtr fid);
  Task<Result<SharedFd>> descriptor(NodePtr node);
  Task<Result<Item>> item_of(Call& call, FidPtr fid);
  Task<Result<Item>> place_in(Call& call, uint32_t directory, std::string_view name);
  bool answers_at_once(const Fid& fid) const noexcept;
  // Calls that are done by the loop itself: it is the share's own, and nothing else wants it.
  bool makes_short_calls() const noexcept {
    return config_.own_loop && fs_.is_local() && alone_ && calls_.size() <= 1;
  }
  // At once, then, but never by a vCPU, which has borrowed the loop.
  bool waits_here() const noexcept { return makes_short_calls() && !loop_.is_borrowed(); }
  template <class Function>
  auto on_host(Function& function);
  Result<Qid> qid_of(const Attributes& host, const Attributes& seen);
  Result<Ropened> opened(const Attributes& host, const Attributes& seen);
  Result<Rqid> made_qid(const Result<Attributes>& made);
  static Result<Nothing> nothing(const Outcome& outcome);
  uint32_t user_of(uint32_t number) const;
  size_t max_open_files() const noexcept { return config_.descriptors / 2; }
  Task<void> close_file(FidPtr fid);

  Task<Result<Rversion>> on(Call& call, const Tversion& message);
  Task<Result<Rqid>> on(Call& call, const Tauth& message);
  Task<Result<Rqid>> on(Call& call, const Tattach& message);
  Task<Result<Nothing>> on(Call& call, const Tflush& message);
  Task<Result<Rwalk>> on(Call& call, const Twalk& message);
  Task<Result<Nothing>> on(Call& call, const Tclunk& message);
  Task<Result<NodePtr>> step(Call& call, NodePtr node, std::string_view name, Rwalk& walked);

  // server_names.cc: what makes, removes and moves names
  Task<Result<Ropened>> on(Call& call, const Tlcreate& message);
  Task<Result<Rqid>> on(Call& call, const Tsymlink& message);
  Task<Result<Rqid>> on(Call& call, const Tmknod& message);
  Task<Result<Rqid>> on(Call& call, const Tmkdir& message);
  Task<Result<Nothing>> on(Call& call, const Tlink& message);
  Task<Result<Nothing>> on(Call& call, const Trename& message);
  Task<Result<Nothing>> on(Call& call, const Trenameat& message);
  Task<Result<Nothing>> on(Call& call, const Tunlinkat& message);
  Task<Result<Nothing>> on(Call& call, const Tremove& message);
  Task<Result<Item>> place_of(Call& call, FidPtr fid);

  // server_files.cc: what acts on a file
  Task<Result<Ropened>> on(Call& call, const Tlopen& message);
  Task<Result<Rdata>> on(Call& call, const Tread& message);
  Task<Result<Rwrite>> on(Call& call, const Twrite& message);
  Task<Result<Rdata>> on(Call& call, const Treaddir& message);
  Task<Result<Rgetattr>> on(Call& call, const Tgetattr& message);
  Task<Result<Nothing>> on(Call& call, const Tsetattr& message);
  Task<Result<Rreadlink>> on(Call& call, const Treadlink& message);
  Task<Result<Rstatfs>> on(Call& call, const Tstatfs& message);
  Task<Result<Nothing>> on(Call& call, const Tfsync& message);
  Result<Created> open_item(const Item& item, uint32_t flags) const;
  Result<Qid> qid_of_entry(const Node& directory, const DirectoryEntry& entry);

  // server_extras.cc: extended attributes and locks
  Task<Result<Rsize>> on(Call& call, const Txattrwalk& message);
  Task<Result<Nothing>> on(Call& call, const Txattrcreate& message);
  Task<Result<Nothing>> finish_xattr(Call& call, FidPtr fid);
  Result<Rdata> read_xattr(Call& call, const Fid& fid, const Tread& message) const;
  Result<Rwrite> write_xattr(Call& call, Fid& fid, const Twrite& message) const;
  Task<Result<Rlock>> on(Call& call, const Tlock& message);
  Task<Result<Rgetlock>> on(Call& call, const Tgetlock& message);
  Result<std::shared_ptr<LockedFile>> locked_file(const Item& item);
  Outcome change_lock(FileLocks& locks, const Lock& wanted, bool release) const;
  void forget_unlocked();
  Task<void> drop_locks(uint64_t holder);

  EventLoop& loop_;
  const ShareConfig config_;
  const LocalFs fs_;
  WorkerPool pool_;
  QidMap qids_;
  Tree tree_;
  uint32_t max_message_ = 0;  // negotiated; 0: no session yet
  bool alone_ = true;         // of the request that came last
  std::unordered_map<uint32_t, FidPtr> fids_;
  std::unordered_map<uint16_t, std::shared_ptr<Call>> calls_;  // under way, by tag
  uint64_t last_call_ = 0;
  uint64_t last_open_ = 0;
  size_t open_files_ = 0;
  size_t xattr_bytes_ = 0;  // held for extended attributes being read or written
  AsyncMutex locking_;
  // By device and inode; guarded by locking_, and changed on the pool.
  std::map<std::pair<uint64_t, uint64_t>, std::shared_ptr<LockedFile>> locked_;
  Scope requests_;
};

}  // namespace vireo::p9
