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

// A quarter of the descriptors is for files that are merely known, the rest for open ones.
constexpr size_t known_share(size_t descriptors) noexcept {
  return descriptors / 4;
}

// Whether this process may open by handle.
bool has_handles(const LocalFs& fs) {
  const auto handle = handle_of(fs.root()->get());
  return handle && fs.find_again(*handle, {.self = fs.root()}, id_of(fs.root_attributes()));
}

QidType type_of(uint32_t mode) noexcept {
  if (S_ISDIR(mode)) return QidType::directory;
  return S_ISLNK(mode) ? QidType::symlink : QidType::file;
}

}  // namespace

Server::Server(EventLoop& loop, const ShareConfig& config)
    : loop_(loop),
      config_(config),
      fs_(config),
      pool_(kThreads),
      qids_(fs_.root_attributes().device),
      tree_(fs_.root(), id_of(fs_.root_attributes()), known_share(config.descriptors), config.files,
            has_handles(fs_)) {}

Server::~Server() {
  VMM_CHECK(calls_.empty(), "a server is drained before it is destroyed");
  reset();
}

void Server::serve(Exchange exchange) {
  loop_.check_current();
  alone_ = exchange.alone;
  requests_.spawn(run(std::move(exchange)));
}

Task<void> Server::drain() {
  co_await requests_.join();
}

void Server::reset() {
  max_message_ = 0;
  locked_.clear();
  std::exchange(fids_, {}).clear();
}

// --- messages ---

Task<void> Server::run(Exchange exchange) {
  const uint32_t length = co_await handle(exchange);
  static_cast<void>(length);
}

// Decides about the message as a whole, from one copy of what comes before its data.
Task<uint32_t> Server::handle(const Exchange& exchange) {
  std::array<std::byte, kHeaderSize> header_bytes{};
  const uint64_t there = total_length(exchange.request);
  if (copy_from(exchange.request, header_bytes) < kHeaderSize) {
    exchange.send(0);
    co_return 0;
  }
  const Header header = decode_header(header_bytes);
  const RequestInfo* const info = find_request(header.type);
  int error = 0;
  if (header.size > there || header.size < kHeaderSize)
    error = EBADMSG;
  else if (max_message_ != 0 && header.size > max_message_)
    error = EMSGSIZE;
  else if (info == nullptr)
    error = EOPNOTSUPP;
  else if (header.size < kHeaderSize + info->least)
    error = EBADMSG;
  else if (!info->carries_data && header.size > kMaxHead)
    error = ENAMETOOLONG;
  else if (max_message_ == 0 && header.type != Tversion::kType)
    error = EPROTO;
  else if (calls_.contains(header.tag))
    error = EINVAL;
  if (error != 0) {
    exchange.send(reply_error(exchange, header.tag, error));
    co_return 0;
  }
  const size_t head = info->carries_data ? kHeaderSize + info->least : header.size;
  std::vector<std::byte> bytes(head);
  copy_from(exchange.request, bytes);
  const std::optional<Request> request = info->decode(std::span(bytes).subspan(kHeaderSize));
  if (!request) {
    exchange.send(reply_error(exchange, header.tag, EBADMSG));
    co_return 0;
  }
  const auto call = std::make_shared<Call>(exchange, header, head, ++last_call_);
  calls_.emplace(header.tag, call);
  const uint32_t length = co_await dispatch(*call, *request);
  calls_.erase(header.tag);
  exchange.send(length);
  call->finished.set();
  co_return length;
}

// The data of a reply that has them lie in its buffers already.
template <class T>
uint32_t Server::reply(const Call& call, uint8_t type, const T& message) const {
  uint32_t data = 0;
  if constexpr (std::is_same_v<T, Rdata>) data = message.data.count;
  const auto bytes = encode(type, call.header.tag, message, data);
  const uint64_t room = std::min<uint64_t>(total_length(call.exchange.reply), max_message_);
  if (bytes.size() + data > room) return reply_error(call.exchange, call.header.tag, EMSGSIZE);
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

// Of an Rread, which carries its count before the data.
uint64_t Server::data_room(const Call& call) const noexcept {
  constexpr uint64_t kBefore = kHeaderSize + sizeof(uint32_t);
  const uint64_t room = std::min<uint64_t>(total_length(call.exchange.reply), max_message_);
  return room < kBefore ? 0 : room - kBefore;
}

// Whole pages, so that large transfers stay aligned.
uint32_t Server::io_unit() const noexcept {
  constexpr uint32_t kPage = 4096;
  const uint32_t most = max_message_ - kIoHeader;
  return most < kPage ? most : most / kPage * kPage;
}

// --- fids ---

Server::FidPtr Server::find(uint32_t number) const {
  const auto found = fids_.find(number);
  return found == fids_.end() ? nullptr : found->second;
}

int Server::add(uint32_t number, FidPtr fid) {
  if (number == kNoFid || fids_.contains(number)) return EINVAL;
  if (fids_.size() >= config_.files) return ENFILE;
  fids_.emplace(number, std::move(fid));
  return 0;
}

// Of a node that may have been closed while it was idle. By its handle, or else by the names that
// lead to it, from the first one up that is open.
Task<Result<SharedFd>> Server::descriptor(NodePtr node) {
  std::vector<NodePtr> closed;
  for (NodePtr at = node; !tree_.held(*at); at = at->parent()) {
    if (closed.size() == kMaxDepth) co_return Failure{ESTALE};
    closed.push_back(at);
    if (at->handle()) break;
  }
  while (!closed.empty()) {
    const NodePtr next = closed.back();
    closed.pop_back();
    const Item item{.parent = next->handle() ? nullptr : tree_.held(*next->parent()),
                    .name = next->name()};
    const auto again = [&] { return fs_.find_again(next->handle(), item, next->id()); };
    auto found = co_await on_host(again);
    if (!found) co_return found.failure();
    tree_.hold(*next, share(std::move(*found)));
  }
  co_return tree_.held(*node);
}

Task<Result<Item>> Server::item_of(Call& call, FidPtr fid) {
  if (call.flushed) co_return Failure{EINTR};
  if (!fid) co_return Failure{EBADF};
  Item item{.name = fid->node->name()};
  if (fid->file) {
    item.self = fid->file->fd;
  } else {
    const auto self = co_await descriptor(fid->node);
    if (!self) co_return self.failure();
    item.self = *self;
  }
  if (config_.security == Security::mapped_file && fid->node->parent()) {
    const NodePtr above = fid->node->parent();
    const auto parent = co_await descriptor(above);
    if (!parent) co_return parent.failure();
    item.parent = *parent;
  }
  co_return item;
}

// Where a name is or will be: in the directory of a fid.
Task<Result<Item>> Server::place_in(Call& call, uint32_t directory, std::string_view name) {
  if (call.flushed) co_return Failure{EINTR};
  const FidPtr fid = find(directory);
  if (!fid || fid->xattr) co_return Failure{EBADF};
  if (const int error = fs_.check_name(name); error != 0) co_return Failure{error};
  const auto parent = co_await descriptor(fid->node);
  if (!parent) co_return parent.failure();
  co_return Item{.parent = *parent, .name = std::string(name)};
}

// Whether to look at the file waits for nobody: it is on the share's own, local file system.
bool Server::answers_at_once(const Fid& fid) const noexcept {
  return fs_.is_local() && !fs_.is_mapped() &&
         fid.node->id().device == fs_.root_attributes().device;
}

Result<Qid> Server::qid_of(const Attributes& host, const Attributes& seen) {
  const auto path = qids_.path_of(host.device, host.inode);
  if (!path) return path.failure();
  const auto version = static_cast<uint32_t>(host.modified.tv_sec ^ (host.modified.tv_nsec << 2)) ^
                       static_cast<uint32_t>(host.size << 8);
  return Qid{type_of(seen.mode), version, *path};
}

Result<Ropened> Server::opened(const Attributes& host, const Attributes& seen) {
  const auto qid = qid_of(host, seen);
  if (!qid) return qid.failure();
  return Ropened{*qid, io_unit()};
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

uint32_t Server::user_of(uint32_t number) const {
  const FidPtr fid = find(number);
  return fid ? fid->uid : kNoUid;
}

// --- the session ---

// Everything before it is over, and everything it left behind forgotten.
Task<Result<Rversion>> Server::on(Call& call, const Tversion& message) {
  std::vector<std::shared_ptr<Call>> earlier;
  for (const auto& [tag, other] : calls_)
    if (other->serial < call.serial) earlier.push_back(other);
  for (const auto& other : earlier) {
    other->flushed = true;
    co_await other->finished.wait();
  }
  reset();
  if (message.max_message < kMinMessage) co_return Failure{EMSGSIZE};
  max_message_ = std::min({message.max_message, config_.max_message, kMaxMessage});
  const bool known = message.version == kProtocol;
  co_return Rversion{max_message_, known ? kProtocol : "unknown"};
}

Task<Result<Rqid>> Server::on(Call& /*call*/, const Tauth& /*message*/) {
  co_return Failure{EOPNOTSUPP};  // there is nothing to prove: a guest has what it is given
}

Task<Result<Rqid>> Server::on(Call& /*call*/, const Tattach& message) {
  if (message.auth_fid != kNoFid) co_return Failure{EINVAL};
  const Item item{.self = fs_.root()};
  const auto look = [&] { return fs_.attributes(item); };
  const auto seen = co_await on_host(look);
  if (!seen) co_return seen.failure();
  const auto qid = qid_of(*seen, *seen);
  if (!qid) co_return qid.failure();
  auto fid = std::make_shared<Fid>(tree_.root(), message.uid);
  if (const int error = add(message.fid, std::move(fid)); error != 0) co_return Failure{error};
  co_return Rqid{*qid};
}

// The request that is given up is answered first, if only with EINTR.
Task<Result<Nothing>> Server::on(Call& call, const Tflush& message) {
  const auto found = calls_.find(message.old_tag);
  if (found == calls_.end() || found->second.get() == &call) co_return Nothing{};
  const std::shared_ptr<Call> old = found->second;
  old->flushed = true;
  co_await old->finished.wait();
  co_return Nothing{};
}

// One name further; pushes its qid.
Task<Result<NodePtr>> Server::step(Call& call, NodePtr node, std::string_view name, Rwalk& walked) {
  Entry entry;
  if (name == "..") {
    if (node->parent()) node = node->parent();
    const auto fd = co_await descriptor(node);
    if (!fd) co_return fd.failure();
    const Item item{.self = *fd, .parent = {}, .name = node->name()};
    const auto look = [&] { return fs_.attributes(item); };
    const auto seen = co_await on_host(look);
    if (!seen) co_return seen.failure();
    const auto qid = qid_of(*seen, *seen);
    if (!qid) co_return qid.failure();
    walked.qids.push(*qid);
    co_return node;
  }
  if (const int error = fs_.check_name(name); error != 0) co_return Failure{error};
  const auto directory = co_await descriptor(node);
  if (!directory) co_return directory.failure();
  const std::string plain(name);
  auto found = Result<Entry>(Failure{EAGAIN});
  if (!waits_here()) found = fs_.look_up(*directory, plain, Wait::cached_only);
  if (!found && found.error() == EAGAIN) {
    auto look = [&] { return fs_.look_up(*directory, plain, Wait::may_block); };
    Interruptible<decltype(look)> work{call, look};
    found = co_await on_host(work);
  }
  if (!found) co_return found.failure();
  const auto qid = qid_of(found->host, found->seen);
  if (!qid) co_return qid.failure();
  NodePtr next = tree_.child(node, plain, id_of(found->host), found->fd);
  if (!next) co_return Failure{ENFILE};
  walked.qids.push(*qid);
  co_return next;
}

// intro(5), walk: as far as it goes; the new fid is there only if that is all the way.
Task<Result<Rwalk>> Server::on(Call& call, const Twalk& message) {
  const FidPtr from = find(message.fid);
  if (!from || from->xattr) co_return Failure{EBADF};
  const bool in_place = message.new_fid == message.fid;
  if (in_place && from->file) co_return Failure{EINVAL};
  if (!in_place && fids_.contains(message.new_fid)) co_return Failure{EINVAL};
  Rwalk walked;
  NodePtr node = from->node;
  for (const std::string_view name : message.names.span()) {
    auto next = co_await step(call, node, name, walked);
    if (!next && walked.qids.count == 0) co_return next.failure();
    if (!next) co_return walked;
    node = *next;
  }
  if (in_place) {
    if (from->file) co_return Failure{EINVAL};
    from->node = node;
  } else if (const int error = add(message.new_fid, std::make_shared<Fid>(node, from->uid));
             error != 0) {
    co_return Failure{error};
  }
  co_return walked;
}

// The last reference to a file that was written or has no name may have a lot to do.
Task<void> Server::close_file(FidPtr fid) {
  const std::shared_ptr<OpenFile> file = std::exchange(fid->file, nullptr);
  if (file->has_locks) co_await drop_locks(file->serial);
  const bool heavy = fid->node->is_removed() || !fs_.is_local();
  if ((!heavy && !file->writable()) || file.use_count() > 1) co_return;
  SharedFd fd = std::exchange(file->fd, nullptr);
  const auto close = [&] {
    fd.reset();
    return true;
  };
  if (heavy)
    co_await offload(pool_, loop_, close);
  else
    co_await on_host(close);
}

Task<Result<Nothing>> Server::on(Call& call, const Tclunk& message) {
  const auto found = fids_.find(message.fid);
  if (found == fids_.end()) co_return Failure{EBADF};
  const FidPtr fid = found->second;
  fids_.erase(found);
  if (fid->xattr) co_return co_await finish_xattr(call, fid);
  if (fid->file) co_await close_file(fid);
  co_return Nothing{};
}

}  // namespace vireo::p9
