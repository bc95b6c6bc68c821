#include "devices/p9/server.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "devices/p9/server_state.h"

namespace vireo::p9 {

namespace {

constexpr size_t kThreads = 8;
// A message without data longer than this has a name that is too long.
constexpr uint32_t kMaxHead = 64 << 10;
// More names than these above one another are found again by handle only.
constexpr size_t kMaxDepth = 4096;

constexpr size_t kMaxXattrBytes = 8 << 20;
// Whether this process may open by handle.
bool has_handles(const LocalFs& fs) {
  const auto handle = handle_of(fs.root()->get());
  return handle && fs.find_again(&*handle, {.self = fs.root()}, id_of(fs.root_attributes()));
}

QidType type_of(uint32_t mode) noexcept {
  if (S_ISDIR(mode)) return QidType::directory;
  return S_ISLNK(mode) ? QidType::symlink : QidType::file;
}

}  // namespace

Server::Server(EventLoop& loop, const ShareConfig& config)
    : Server(loop, config, std::make_unique<WorkerPool>(kThreads)) {}

Server::Server(EventLoop& loop, const ShareConfig& config, std::unique_ptr<WorkerPool> pool)
    : loop_(loop),
      config_(config),
      fs_(config),
      host_(loop, fs_, config.own_loop, std::move(pool)),
      qids_(fs_.root_attributes().device),
      memory_(config.memory),
      open_files_(config.descriptors / 2),
      xattr_bytes_(kMaxXattrBytes),
      tree_(fs_.root(), id_of(fs_.root_attributes()), config.descriptors / 4, memory_,
            has_handles(fs_)),
      requests_([this](const std::exception_ptr& why) { loop_.fail(why); }) {}

Server::~Server() {
  VMM_CHECK(calls_.empty(), "a server is drained before it is destroyed");
}

void Server::serve(Exchange exchange) {
  loop_.check_current();
  host_.arrived(exchange.alone);
  requests_.spawn(run(std::move(exchange)));
}

Task<void> Server::drain() {
  co_await requests_.join();
}

void Server::reset() {
  session_ = nullptr;
}

// --- messages ---

// From one copy of what comes before the message's data.
Task<void> Server::run(Exchange exchange) {
  std::array<std::byte, kHeaderSize> header_bytes{};
  if (copy_from(header_bytes, exchange.request) < kHeaderSize) {
    exchange.send(0);
    co_return;
  }
  const Header header = decode_header(header_bytes);
  const RequestInfo* const info = find_request(header.type);
  if (const int error = refusal(exchange, header, info); error != 0) {
    exchange.send(reply_error(exchange, header.tag, error));
    co_return;
  }
  const size_t head = info->carries_data ? kHeaderSize + info->least : header.size;
  std::vector<std::byte> bytes(head);
  copy_from(bytes, exchange.request);
  const std::optional<Request> request = info->decode(std::span(bytes).subspan(kHeaderSize));
  if (!request) {
    exchange.send(reply_error(exchange, header.tag, EBADMSG));
    co_return;
  }
  const auto call = std::make_shared<Call>(exchange, header, head, ++last_call_);
  calls_.emplace(header.tag, call);
  host_.began();
  const uint32_t length = co_await serve_or_fail(*call, *request);
  call->session = nullptr;
  calls_.erase(header.tag);
  host_.ended();
  exchange.send(length);
  call->finished.set();
}

// A request that the host has no memory for fails by itself.
Task<uint32_t> Server::serve_or_fail(Call& call, const Request& request) {
  try {
    co_return co_await serve_in_turn(call, request);
  } catch (const std::bad_alloc&) {
  }
  co_return reply_error(call.exchange, call.header.tag, ENOMEM);
}

// What is wrong with a message as a whole: an errno, or 0. `info` is nullptr: nobody knows it.
int Server::refusal(const Exchange& exchange, const Header& header, const RequestInfo* info) const {
  const uint32_t most = session_ ? session_->max_message : kMaxMessage;
  if (header.size > total_length(exchange.request) || header.size < kHeaderSize) return EBADMSG;
  if (header.size > most) return EMSGSIZE;
  if (info == nullptr) return EOPNOTSUPP;
  if (header.size < kHeaderSize + info->least) return EBADMSG;
  if (!info->carries_data && header.size > kMaxHead) return ENAMETOOLONG;
  return calls_.contains(header.tag) ? EINVAL : 0;
}

// In the session that the versions before it lead to; a version itself begins one.
Task<uint32_t> Server::serve_in_turn(Call& call, const Request& request) {
  if (call.header.type == Tversion::kType) {
    version_ = calls_.at(call.header.tag);
  } else {
    const std::shared_ptr<Call> version = version_;
    if (version) co_await version->finished.wait();
    call.session = session_;
    if (!call.session) co_return reply_error(call.exchange, call.header.tag, EPROTO);
  }
  co_return co_await dispatch(call, request);
}

// The data of a reply that has them lie in its buffers already.
template <class T>
uint32_t Server::reply(const Call& call, uint8_t type, const T& message) const {
  uint32_t data = 0;
  if constexpr (std::is_same_v<T, Rdata>) data = message.data.count;
  const auto bytes = encode(type, call.header.tag, message, data);
  if (bytes.size() + data > call.room())
    return reply_error(call.exchange, call.header.tag, EMSGSIZE);
  copy_to(call.exchange.reply, bytes);
  return static_cast<uint32_t>(bytes.size()) + data;
}

template <class T>
Task<uint32_t> Server::answer(Call& call, const T& message) {
  const auto result = co_await on(call, message);
  if (!result) co_return reply_error(call.exchange, call.header.tag, result.error());
  co_return reply(call, T::kType + 1, *result);
}

Task<uint32_t> Server::dispatch(Call& call, const Request& request) {
  return std::visit(
      [&]<class T>(const T& message) -> Task<uint32_t> {
        if constexpr (std::is_same_v<T, std::monostate>)
          return unknown(call);
        else
          return answer(call, message);
      },
      request);
}

Task<uint32_t> Server::unknown(Call& call) {
  co_return reply_error(call.exchange, call.header.tag, EOPNOTSUPP);
}

uint32_t Server::reply_error(const Exchange& exchange, uint16_t tag, int error) const {
  const auto bytes = encode(Rlerror::kType, tag, Rlerror{static_cast<uint32_t>(error)});
  if (total_length(exchange.reply) < bytes.size()) return 0;
  return static_cast<uint32_t>(copy_to(exchange.reply, bytes));
}

// --- fids ---

Result<FidPtr> Server::make_fid(Fid parts) {
  auto memory = memory_.take(kFidCost);
  if (!memory) return Failure{ENOMEM};
  parts.memory = std::move(*memory);
  return FidPtr(std::make_shared<const Fid>(std::move(parts)));
}

// Of a node that may have been closed while it was idle. By its handle, or else by the names that
// lead to it, from the first one up that is open.
Task<Result<SharedFd>> Server::descriptor(NodePtr node) {
  struct Closed {
    NodePtr node;
    HandlePtr handle;
    std::string name;
  };
  std::vector<Closed> closed;
  SharedFd open;
  for (NodePtr at = node; !(open = tree_.held(*at)); at = at->parent()) {
    if (closed.size() == kMaxDepth) co_return Failure{ESTALE};
    closed.push_back({at, at->handle(), at->place().name});
    if (closed.back().handle) break;
  }
  while (!closed.empty()) {
    const Closed next = std::move(closed.back());
    closed.pop_back();
    const Item item{.parent = open, .name = next.name};
    const auto again = [&] { return fs_.find_again(next.handle.get(), item, next.node->id()); };
    auto found = co_await host_.short_call(again);
    if (!found) co_return found.failure();
    open = share(std::move(*found));
    tree_.hold(*next.node, open);
  }
  co_return open;
}

Task<Result<Item>> Server::item_of(Call& call, FidPtr fid) {
  if (call.flushed) co_return Failure{EINTR};
  if (!fid) co_return Failure{EBADF};
  const Place place = fid->node->place();
  Item item{.name = place.name};
  if (fid->file) {
    item.self = fid->file->fd;
  } else {
    const auto self = co_await descriptor(fid->node);
    if (!self) co_return self.failure();
    item.self = *self;
  }
  if (config_.security == Security::mapped_file && place.directory) {
    const auto parent = co_await descriptor(place.directory);
    if (!parent) co_return parent.failure();
    item.parent = *parent;
  }
  co_return item;
}

// Where a name is or will be: in the directory of a fid.
Task<Result<Server::Named>> Server::place_in(Call& call, FidPtr directory, std::string_view name) {
  if (call.flushed) co_return Failure{EINTR};
  if (!directory) co_return Failure{EBADF};
  if (const int error = fs_.check_name(name); error != 0) co_return Failure{error};
  Named named{.place = {directory->node, std::string(name)}};
  const auto parent = co_await descriptor(directory->node);
  if (!parent) co_return parent.failure();
  named.item = {.parent = *parent, .name = named.place.name};
  co_return named;
}

Result<Qid> Server::qid_of(const Attributes& host, const Attributes& seen) {
  const auto path = qids_.path_of(host.device, host.inode);
  if (!path) return path.failure();
  const auto version = static_cast<uint32_t>(host.modified.tv_sec ^ (host.modified.tv_nsec << 2)) ^
                       static_cast<uint32_t>(host.size << 8);
  return Qid{type_of(seen.mode), version, *path};
}

Result<Ropened> Server::opened(const Call& call, const Attributes& host, const Attributes& seen) {
  const auto qid = qid_of(host, seen);
  if (!qid) return qid.failure();
  return Ropened{*qid, call.io_unit()};
}

Result<Rqid> Server::made_qid(const Result<Attributes>& made) {
  if (!made) return made.failure();
  const auto qid = qid_of(*made, *made);
  if (!qid) return qid.failure();
  return Rqid{*qid};
}

Result<Nothing> Server::nothing(const Outcome& outcome) {
  if (!outcome) return outcome.failure();
  return Nothing{};
}

// --- the session ---

std::shared_ptr<Session> Server::make_session(uint32_t max_message) const {
  return std::make_shared<Session>(fs_, max_message, config_.files, config_.descriptors / 8);
}

// Everything before it is over, and everything it left behind forgotten.
Task<Result<Rversion>> Server::on(Call& call, const Tversion& message) {
  std::vector<std::shared_ptr<Call>> earlier;
  for (const auto& [tag, other] : calls_)
    if (other->serial < call.serial) earlier.push_back(other);
  for (const auto& other : earlier) other->flushed = true;
  for (const auto& other : earlier) co_await other->finished.wait();
  if (version_->serial == call.serial) version_ = nullptr;
  session_ = nullptr;
  if (message.max_message < kMinMessage) co_return Failure{EMSGSIZE};
  session_ = make_session(std::min({message.max_message, config_.max_message, kMaxMessage}));
  call.session = session_;
  const bool known = message.version == kProtocol;
  co_return Rversion{session_->max_message, known ? kProtocol : "unknown"};
}

Task<Result<Rqid>> Server::on(Call& /*call*/, const Tauth& /*message*/) {
  co_return Failure{EOPNOTSUPP};  // there is nothing to prove: a guest has what it is given
}

Task<Result<Rqid>> Server::on(Call& call, const Tattach& message) {
  if (message.auth_fid != kNoFid) co_return Failure{EINVAL};
  const Item item{.self = fs_.root()};
  const auto look = [&] { return fs_.attributes(item); };
  const auto seen = co_await host_.short_call(look);
  if (!seen) co_return seen.failure();
  const auto qid = qid_of(*seen, *seen);
  if (!qid) co_return qid.failure();
  const auto fid = make_fid({.node = tree_.root(), .uid = message.uid});
  if (!fid) co_return fid.failure();
  const int error = call.session->fids.add(message.fid, *fid);
  if (error != 0) co_return Failure{error};
  co_return Rqid{*qid};
}

// The request that is given up is answered first, if only with EINTR. One that came later has taken
// the tag of another that is answered already.
Task<Result<Nothing>> Server::on(Call& call, const Tflush& message) {
  const auto found = calls_.find(message.old_tag);
  if (found == calls_.end() || found->second->serial >= call.serial) co_return Nothing{};
  const std::shared_ptr<Call> old = found->second;
  old->flushed = true;
  co_await old->finished.wait();
  co_return Nothing{};
}

// To the directory above, or from the root to the root.
Task<Result<NodePtr>> Server::step_up(NodePtr node, Rwalk& walked) {
  if (NodePtr above = node->parent()) node = std::move(above);
  const Place place = node->place();
  const auto fd = co_await descriptor(node);
  if (!fd) co_return fd.failure();
  const Item item{.self = *fd, .parent = {}, .name = place.name};
  const auto look = [&] { return fs_.attributes(item); };
  const auto seen = co_await host_.short_call(look);
  if (!seen) co_return seen.failure();
  const auto qid = qid_of(*seen, *seen);
  if (!qid) co_return qid.failure();
  walked.qids.push(*qid);
  co_return node;
}

// One name further; pushes its qid.
Task<Result<NodePtr>> Server::step(Call& call, NodePtr node, std::string_view name, Rwalk& walked) {
  if (name == "..") co_return co_await step_up(node, walked);
  if (const int error = fs_.check_name(name); error != 0) co_return Failure{error};
  const Place place{node, std::string(name)};
  const auto directory = co_await descriptor(node);
  if (!directory) co_return directory.failure();
  auto found = Result<Entry>(Failure{EAGAIN});
  if (host_.asks_cache()) found = fs_.look_up(*directory, place.name, Wait::cached_only);
  if (!found && found.error() == EAGAIN) {
    auto look = [&] { return fs_.look_up(*directory, place.name, Wait::may_block); };
    found = co_await host_.short_call(look, &call.flushed);
  }
  if (!found) co_return found.failure();
  const auto qid = qid_of(found->host, found->seen);
  if (!qid) co_return qid.failure();
  auto next = tree_.child(place, id_of(found->host), found->fd);
  if (next) walked.qids.push(*qid);
  co_return next;
}

// intro(5), walk: as far as it goes; the new fid is there only if that is all the way.
Task<Result<Rwalk>> Server::on(Call& call, const Twalk& message) {
  Fids& fids = call.session->fids;
  const FidPtr from = call.find_file(message.fid);
  if (!from) co_return Failure{EBADF};
  const bool in_place = message.new_fid == message.fid;
  if (in_place && from->file) co_return Failure{EINVAL};
  if (!in_place && fids.contains(message.new_fid)) co_return Failure{EINVAL};
  Rwalk walked;
  NodePtr node = from->node;
  for (const std::string_view name : message.names.span()) {
    auto next = co_await step(call, node, name, walked);
    if (!next && walked.qids.count == 0) co_return next.failure();
    if (!next) co_return walked;
    node = *next;
  }
  const auto reached = make_fid({.node = node, .uid = from->uid});
  if (!reached) co_return reached.failure();
  const int error =
      in_place ? fids.replace(message.fid, from, *reached) : fids.add(message.new_fid, *reached);
  if (error != 0) co_return Failure{error};
  co_return walked;
}

// The last reference to a file that was written or has no name may have a lot to do.
Task<void> Server::close_file(Call& call, FidPtr fid) {
  OpenFile& file = *fid->file;
  file.closed = true;
  if (file.has_locks) co_await drop_locks(call, file.serial);
  const bool heavy = fid->node->is_removed() || !fs_.is_local();
  const bool shared = fid.use_count() > 1 || fid->file.use_count() > 1;
  if (shared || (!heavy && !file.writable())) co_return;
  SharedFd fd = std::exchange(file.fd, nullptr);
  const auto close = [&] {
    fd.reset();
    return Outcome(Done{});
  };
  if (heavy)
    static_cast<void>(co_await host_.long_call(close));
  else
    static_cast<void>(co_await host_.short_call(close));
}

Task<Result<Nothing>> Server::on(Call& call, const Tclunk& message) {
  FidPtr fid = call.session->fids.take(message.fid);
  if (!fid) co_return Failure{EBADF};
  if (fid->xattr) co_return co_await finish_xattr(call, fid);
  if (fid->file) co_await close_file(call, std::move(fid));
  co_return Nothing{};
}

}  // namespace vireo::p9
