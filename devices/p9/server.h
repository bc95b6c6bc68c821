// A 9P2000.L server for one client: a session with its fids and tags, and one coroutine for each
// request. It knows no transport: an Exchange is a request's bytes and the room for its reply,
// wherever those lie.
//
// Thread: its loop; host_calls.h says which threads call the host. Owns the sessions, the
// descriptors behind their fids and the pool of those threads.
//
// What a client asks for is hostile: names are single components, messages are bounded by msize. It
// holds at most, whatever it sends,
//
//   fids         ShareConfig::files (ENFILE), in ShareConfig::memory bytes with their files' names,
//                each counted as the longest that a rename may give (ENOMEM)
//
//   descriptors  ShareConfig::descriptors: half for files it opened (ENFILE), an eighth for files
//                with locks (ENOLCK), a quarter for files that are merely known, which are closed
//                and found again; besides, three for each request under way
//
//   attributes   8 MiB of values being read or written (ENOMEM)
//
//   locks        4096 (ENOLCK)
//
// and for each request that its transport has under way 64 KiB of names and as much of a listing. A
// client's error is an Rlerror, never more.
//
// Requests overlap in any order. What one of them acts on does not change while it waits: it keeps
// its session, and a fid and a place are values that it found before (session.h, tree.h). To change
// a fid is to put another in its place, which fails when somebody was faster. A Tversion waits for
// all that came before it, and what comes after it waits for the Tversion.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "devices/p9/budget.h"
#include "devices/p9/buffers.h"
#include "devices/p9/host_calls.h"
#include "devices/p9/local_fs.h"
#include "devices/p9/qid_map.h"
#include "devices/p9/session.h"
#include "devices/p9/tree.h"
#include "devices/p9/wire.h"
#include "vmm/base/async_sync.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/task.h"
#include "vmm/base/worker_pool.h"

namespace vireo::p9 {

struct Exchange {
  IoVecs request{};
  IoVecs reply{};
  std::function<void(uint32_t length)> send{};  // once, on the loop; 0: there is no reply
  bool alone = true;                            // no other waits to be served
};

class Server {
 public:
  // Throws what is wrong with the share. The pool makes the calls that may wait for the host.
  Server(EventLoop& loop, const ShareConfig& config);
  Server(EventLoop& loop, const ShareConfig& config, std::unique_ptr<WorkerPool> pool);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  void serve(Exchange exchange);
  // Until nothing is under way.
  Task<void> drain();
  // Forgets the client; only while nothing is under way.
  void reset();
  // Somebody holds files here.
  bool is_attached() const noexcept { return session_ && !session_->fids.empty(); }

  size_t open_descriptors() const noexcept {
    return tree_.open_descriptors() + open_files_.taken();
  }

 private:
  struct Call;
  // A name, with the directory that it is or will be in open.
  struct Named {
    Place place{};
    Item item{};
  };

  // server.cc: messages, tags, session, fids
  Task<void> run(Exchange exchange);
  int refusal(const Exchange& exchange, const Header& header, const RequestInfo* info) const;
  Task<uint32_t> serve_or_fail(Call& call, const Request& request);
  Task<uint32_t> serve_in_turn(Call& call, const Request& request);
  Task<uint32_t> dispatch(Call& call, const Request& request);
  Task<uint32_t> unknown(Call& call);
  template <class T>
  Task<uint32_t> answer(Call& call, const T& message);
  uint32_t reply_error(const Exchange& exchange, uint16_t tag, int error) const;
  template <class T>
  uint32_t reply(const Call& call, uint8_t type, const T& message) const;
  Result<FidPtr> make_fid(Fid parts);
  Task<Result<SharedFd>> descriptor(NodePtr node);
  Task<Result<Item>> item_of(Call& call, FidPtr fid);
  Task<Result<Named>> place_in(Call& call, FidPtr directory, std::string_view name);
  Result<Qid> qid_of(const Attributes& host, const Attributes& seen);
  Result<Ropened> opened(const Call& call, const Attributes& host, const Attributes& seen);
  Result<Rqid> made_qid(const Result<Attributes>& made);
  static Result<Nothing> nothing(const Outcome& outcome);
  std::shared_ptr<Session> make_session(uint32_t max_message) const;
  Task<void> close_file(Call& call, FidPtr fid);

  Task<Result<Rversion>> on(Call& call, const Tversion& message);
  Task<Result<Rqid>> on(Call& call, const Tauth& message);
  Task<Result<Rqid>> on(Call& call, const Tattach& message);
  Task<Result<Nothing>> on(Call& call, const Tflush& message);
  Task<Result<Rwalk>> on(Call& call, const Twalk& message);
  Task<Result<Nothing>> on(Call& call, const Tclunk& message);
  Task<Result<NodePtr>> step(Call& call, NodePtr node, std::string_view name, Rwalk& walked);
  Task<Result<NodePtr>> step_up(NodePtr node, Rwalk& walked);

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
  Task<Result<Named>> place_of(Call& call, FidPtr fid);
  Task<Result<Nothing>> move(Call& call, const Named& from, const Named& to);
  Task<Result<Nothing>> remove(Call& call, FidPtr fid);

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
  Result<Created> open_item(const Item& item, uint32_t flags, bool strips) const;
  Result<Qid> qid_of_entry(const Node& directory, const DirectoryEntry& entry);

  // server_xattrs.cc: extended attributes
  Task<Result<Rsize>> on(Call& call, const Txattrwalk& message);
  Task<Result<Nothing>> on(Call& call, const Txattrcreate& message);
  Task<Result<Nothing>> finish_xattr(Call& call, FidPtr fid);
  Result<Rdata> read_xattr(Call& call, const Xattr& xattr, const Tread& message) const;
  Result<Rwrite> write_xattr(Call& call, Xattr& xattr, const Twrite& message) const;

  // server_locks.cc: locks
  Task<Result<Rlock>> on(Call& call, const Tlock& message);
  Task<Result<Rgetlock>> on(Call& call, const Tgetlock& message);
  Task<void> drop_locks(Call& call, uint64_t holder);

  EventLoop& loop_;
  const ShareConfig config_;
  const LocalFs fs_;
  HostCalls host_;
  QidMap qids_;
  Budget memory_;       // bytes of fids and nodes
  Budget open_files_;   // how many
  Budget xattr_bytes_;  // of extended attributes being read or written
  Tree tree_;
  std::shared_ptr<Session> session_;                           // none before the first version
  std::unordered_map<uint16_t, std::shared_ptr<Call>> calls_;  // under way, by tag
  std::shared_ptr<Call> version_;                              // the last Tversion under way
  uint64_t last_call_ = 0;
  uint64_t last_open_ = 0;
  Scope requests_;
};

}  // namespace vireo::p9
