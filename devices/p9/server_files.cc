// The requests that act on a file that a fid stands for.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "devices/p9/server_state.h"

namespace vireo::p9 {

namespace {

// As many entries as fit into this are read at a time.
constexpr size_t kListing = 64 << 10;

// Beyond it preadv2() takes an offset for something else: -1 is the place where the last call
// ended.
constexpr auto kMaxOffset = static_cast<uint64_t>(std::numeric_limits<off_t>::max());

// The flag of preadv2() and pwritev2() that asks for what needs no waiting.
enum class Now : int { no = 0, yes = RWF_NOWAIT };

Result<size_t> read_once(int fd, const IoVecs& into, uint64_t offset, Now now) {
  const ssize_t n = ::preadv2(fd, into.data(), static_cast<int>(into.size()),
                              static_cast<off_t>(offset), static_cast<int>(now));
  if (n < 0) return last_failure();
  return static_cast<size_t>(n);
}

Result<size_t> write_once(int fd, const IoVecs& from, uint64_t offset, Now now) {
  const ssize_t n = ::pwritev2(fd, from.data(), static_cast<int>(from.size()),
                               static_cast<off_t>(offset), static_cast<int>(now));
  if (n < 0) return last_failure();
  return static_cast<size_t>(n);
}

// Until all is there or the file ends; what came before an error counts.
Result<size_t> read_all_of(int fd, const IoVecs& into, uint64_t offset, size_t done) {
  const uint64_t total = total_length(into);
  while (done < total) {
    const auto n = read_once(fd, part_of(into, done, total), offset + done, Now::no);
    if (!n && n.error() == EINTR) continue;
    if (!n && done == 0) return n;
    if (!n || *n == 0) break;
    done += *n;
  }
  return done;
}

Result<size_t> write_all_of(int fd, const IoVecs& from, uint64_t offset, size_t done) {
  const uint64_t total = total_length(from);
  while (done < total) {
    const auto n = write_once(fd, part_of(from, done, total), offset + done, Now::no);
    if (!n && n.error() == EINTR) continue;
    if (!n && done == 0) return n;
    if (!n || *n == 0) break;
    done += *n;
  }
  return done;
}

// The host has the data in memory, or not; or does not know how to tell.
bool cannot_tell(int error) noexcept {
  return error == EOPNOTSUPP || error == EINVAL || error == ENOSYS;
}

Seconds seconds_of(const timespec& time) noexcept {
  return {static_cast<uint64_t>(time.tv_sec), static_cast<uint64_t>(time.tv_nsec)};
}

bool ends_at(int fd, uint64_t offset) {
  const auto attributes = attributes_of(fd);
  return attributes && attributes->size <= offset;
}

}  // namespace

Task<Result<Ropened>> Server::on(Call& call, const Tlopen& message) {
  const FidPtr fid = call.find_file(message.fid);
  if (!fid) co_return Failure{EBADF};
  if (fid->file) co_return Failure{EINVAL};
  auto part = open_files_.take(1);
  if (!part) co_return Failure{ENFILE};
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  const bool strips = fid->uid != 0;
  auto open = [&] { return open_item(*item, message.flags, strips); };
  auto host = Result<Created>(Failure{EAGAIN});
  if (host_.is_at_hand(fid->node->id()) && (message.flags & (O_ACCMODE | O_TRUNC)) == O_RDONLY) {
    host = open();
  } else {
    host = co_await host_.short_call(open, &call.flushed);
  }
  if (!host) co_return host.failure();
  auto file = std::make_shared<OpenFile>(std::move(host->file), message.flags,
                                         S_ISDIR(host->host.mode), ++last_open_, std::move(*part));
  const auto becomes = make_fid({.node = fid->node, .uid = fid->uid, .file = std::move(file)});
  if (!becomes) co_return becomes.failure();
  const int error = call.session->fids.replace(message.fid, fid, *becomes);
  if (error != 0) co_return Failure{error};
  co_return opened(call, host->host, host->seen);
}

// `strips`: who opens it is not root, and so takes the set-id bits away with the contents.
Result<Created> Server::open_item(const Item& item, uint32_t flags, bool strips) const {
  auto fd = fs_.open(item, flags);
  if (!fd) return fd.failure();
  if (strips && (flags & O_TRUNC) != 0) static_cast<void>(fs_.clear_set_id(item));
  const auto host = attributes_of(fd->get());
  if (!host) return host.failure();
  return Created{share(std::move(*fd)), *host, *host};
}

// Straight from the file into the reply's buffers. What the host has in memory is read at once
// while there is nothing else to do.
Task<Result<Rdata>> Server::on(Call& call, const Tread& message) {
  const FidPtr fid = call.find(message.fid);
  if (!fid) co_return Failure{EBADF};
  if (fid->xattr) co_return read_xattr(call, *fid->xattr, message);
  const std::shared_ptr<OpenFile> file = fid->file;
  if (!file) co_return Failure{EBADF};
  if (file->directory) co_return Failure{EISDIR};
  if (message.offset > kMaxOffset) co_return Failure{EINVAL};
  const uint64_t length = std::min<uint64_t>(message.count, call.data_room());
  const IoVecs into = part_of(call.exchange.reply, kHeaderSize + sizeof(uint32_t), length);
  const SharedFd fd = file->fd;
  size_t done = 0;
  if (file->reads_nowait && host_.asks_cache_for_data()) {
    const auto n = read_once(fd->get(), into, message.offset, Now::yes);
    if (n && (*n == length || *n == 0 || ends_at(fd->get(), message.offset + *n)))
      co_return Rdata{{static_cast<uint32_t>(*n)}};
    if (n) done = *n;
    if (!n && cannot_tell(n.error())) file->reads_nowait = false;
  }
  auto read = [&] { return read_all_of(fd->get(), into, message.offset, done); };
  const auto n = co_await host_.short_call(read, &call.flushed);
  if (!n) co_return n.failure();
  co_return Rdata{{static_cast<uint32_t>(*n)}};
}

Task<Result<Rwrite>> Server::on(Call& call, const Twrite& message) {
  const FidPtr fid = call.find(message.fid);
  if (!fid) co_return Failure{EBADF};
  if (message.data.count > call.header.size - call.head) co_return Failure{EBADMSG};
  if (fid->xattr) co_return write_xattr(call, *fid->xattr, message);
  const std::shared_ptr<OpenFile> file = fid->file;
  if (!file || file->directory || !file->writable()) co_return Failure{EBADF};
  if (message.offset > kMaxOffset) co_return Failure{EFBIG};
  const IoVecs from = part_of(call.exchange.request, call.head, message.data.count);
  const SharedFd fd = file->fd;
  size_t done = 0;
  const bool strips = fid->uid != 0;  // root may write without the set-id bits going
  if (file->writes_nowait && !strips && host_.asks_cache_for_data()) {
    const auto n = write_once(fd->get(), from, message.offset, Now::yes);
    if (n && *n == message.data.count) co_return Rwrite{message.data.count};
    if (n) done = *n;
    if (!n && cannot_tell(n.error())) file->writes_nowait = false;
  }
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  auto write = [&] {
    if (strips) static_cast<void>(fs_.clear_set_id(*item));
    return write_all_of(fd->get(), from, message.offset, done);
  };
  const auto n = co_await host_.short_call(write, &call.flushed);
  if (!n) co_return n.failure();
  co_return Rwrite{static_cast<uint32_t>(*n)};
}

// The offsets are the host's own: they stay good while the directory changes.
Task<Result<Rdata>> Server::on(Call& call, const Treaddir& message) {
  const FidPtr fid = call.find_file(message.fid);
  if (!fid || !fid->file) co_return Failure{EBADF};
  const std::shared_ptr<OpenFile> file = fid->file;
  if (!file->directory) co_return Failure{ENOTDIR};
  const AsyncMutex::Guard guard = co_await file->listing.lock();
  const uint64_t room = std::min<uint64_t>(message.count, call.data_room());
  // An entry takes at most 7/6 of the host's bytes here, so that all that is read fits.
  const size_t reads = std::min<size_t>(room / 7 * 6, kListing);
  std::optional<uint64_t> seek;
  if (message.offset != file->position) seek = message.offset;
  const SharedFd fd = file->fd;
  auto read = [&] { return fs_.read_entries(fd->get(), seek, reads); };
  auto entries = co_await host_.short_call(read, &call.flushed);
  file->position = ~uint64_t{0};  // unknown, should it go wrong
  if (!entries) co_return entries.failure();
  ByteWriter bytes;
  Encoder encoder(bytes);
  uint64_t position = message.offset;
  while (const auto entry = entries->next()) {
    position = entry->next;
    if (fs_.hides(entry->name)) continue;
    const auto qid = qid_of_entry(*fid->node, *entry);
    if (!qid) co_return qid.failure();
    const uint8_t type =
        fs_.is_mapped() && entry->type != DT_DIR ? uint8_t{DT_UNKNOWN} : entry->type;
    encoder (*qid)(entry->next)(type)(entry->name);
  }
  VMM_CHECK(bytes.size() <= room, "entries of that many bytes fit");
  file->position = position;
  copy_to(part_of(call.exchange.reply, kHeaderSize + sizeof(uint32_t), bytes.size()),
          bytes.bytes());
  co_return Rdata{{static_cast<uint32_t>(bytes.size())}};
}

// Nothing is told of what lies above the share.
Result<Qid> Server::qid_of_entry(const Node& directory, const DirectoryEntry& entry) {
  const bool above = entry.name == ".." && !directory.parent();
  const uint64_t inode = above ? directory.id().inode : entry.inode;
  const auto path = qids_.path_of(directory.id().device, inode);
  if (!path) return path.failure();
  const QidType type = entry.type == DT_DIR ? QidType::directory : QidType::file;
  return Qid{type, 0, *path};
}

Task<Result<Rgetattr>> Server::on(Call& call, const Tgetattr& message) {
  constexpr uint64_t kBasic = 0x7ff, kBirth = 0x800;
  const FidPtr fid = call.find_file(message.fid);
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  auto look = [&] { return fs_.attributes(*item); };
  auto seen = Result<Attributes>(Failure{EAGAIN});
  if (host_.is_at_hand(fid->node->id())) {
    seen = look();
  } else {
    seen = co_await host_.short_call(look, &call.flushed);
  }
  if (!seen) co_return seen.failure();
  const auto qid = qid_of(*seen, *seen);
  if (!qid) co_return qid.failure();
  Rgetattr reply{.valid = kBasic | (seen->has_born ? message.mask & kBirth : 0), .qid = *qid};
  reply.mode = seen->mode;
  reply.uid = seen->uid;
  reply.gid = seen->gid;
  reply.links = seen->links;
  reply.device = seen->rdev;
  reply.size = seen->size;
  reply.block_size =
      std::max<uint64_t>(call.io_unit(), seen->block_size);  // what to read and write at
  reply.blocks = seen->blocks;                               // a time
  reply.accessed = seconds_of(seen->accessed);
  reply.modified = seconds_of(seen->modified);
  reply.changed = seconds_of(seen->changed);
  reply.born = seconds_of(seen->born);
  co_return reply;
}

Task<Result<Nothing>> Server::on(Call& call, const Tsetattr& message) {
  const FidPtr fid = call.find_file(message.fid);
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  const std::shared_ptr<OpenFile> file = fid->file;
  const int writable = file && file->writable() ? file->fd->get() : -1;
  const bool strips = fid->uid != 0 && (message.valid & (kSetSize | kSetMode)) == kSetSize;
  auto change = [&] {
    const Outcome changed = fs_.set_attributes(*item, message, writable);
    if (changed && strips) static_cast<void>(fs_.clear_set_id(*item));
    return changed;
  };
  const Outcome changed = co_await host_.short_call(change, &call.flushed);
  co_return nothing(changed);
}

Task<Result<Rreadlink>> Server::on(Call& call, const Treadlink& message) {
  const FidPtr fid = call.find_file(message.fid);
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  auto read = [&] { return fs_.read_link(*item); };
  auto target = co_await host_.short_call(read, &call.flushed);
  if (!target) co_return target.failure();
  call.text = std::move(*target);
  co_return Rreadlink{call.text};
}

Task<Result<Rstatfs>> Server::on(Call& call, const Tstatfs& message) {
  const FidPtr fid = call.find_file(message.fid);
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  auto look = [&] { return fs_.statistics(*item); };
  const auto status = co_await host_.short_call(look, &call.flushed);
  if (!status) co_return status.failure();
  Rstatfs reply;
  reply.type = static_cast<uint32_t>(status->f_type);
  reply.block_size = static_cast<uint32_t>(status->f_bsize);
  reply.blocks = status->f_blocks;
  reply.free = status->f_bfree;
  reply.available = status->f_bavail;
  reply.files = status->f_files;
  reply.free_files = status->f_ffree;
  reply.fsid = static_cast<uint32_t>(status->f_fsid.__val[0]) |
               uint64_t{static_cast<uint32_t>(status->f_fsid.__val[1])} << 32;
  reply.name_length = static_cast<uint32_t>(status->f_namelen);
  co_return reply;
}

Task<Result<Nothing>> Server::on(Call& call, const Tfsync& message) {
  const FidPtr fid = call.find_file(message.fid);
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  const int open_file = fid->file ? item->self->get() : -1;
  auto sync = [&] { return fs_.sync(*item, open_file, message.data_only != 0); };
  const Outcome synced = co_await host_.long_call(sync, &call.flushed);  // long
  co_return nothing(synced);
}

}  // namespace vireo::p9
