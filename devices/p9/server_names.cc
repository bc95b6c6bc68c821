// The requests that make, remove and move names.
#include <fcntl.h>
#include <sys/sysmacros.h>

#include <utility>

#include "devices/p9/server_state.h"

namespace vireo::p9 {

// The fid becomes the new file.
Task<Result<Ropened>> Server::on(Call& call, const Tlcreate& message) {
  const FidPtr fid = find(message.fid);
  if (!fid || fid->file) co_return Failure{EINVAL};
  const NodePtr directory = fid->node;
  const auto place = co_await place_in(call, message.fid, message.name);
  if (!place) co_return place.failure();
  if (open_files_ >= max_open_files()) co_return Failure{ENFILE};
  const NewFile wanted{.mode = message.mode, .uid = fid->uid, .gid = message.gid};
  auto make = [&] { return fs_.create(*place, message.flags, wanted); };
  Interruptible<decltype(make)> work{call, make};
  auto made = co_await offload(pool_, loop_, work);
  if (!made) co_return made.failure();
  NodePtr node = tree_.child(directory, place->name, id_of(made->host), nullptr);
  if (!node) co_return Failure{ENFILE};
  if (fid->file) co_return Failure{EINVAL};
  fid->node = std::move(node);
  fid->file = std::make_shared<OpenFile>(*this, std::move(made->file), message.flags, false);
  co_return opened(made->host, made->seen);
}

Task<Result<Rqid>> Server::on(Call& call, const Tmkdir& message) {
  const auto place = co_await place_in(call, message.fid, message.name);
  if (!place) co_return place.failure();
  const NewFile wanted{.mode = message.mode, .uid = user_of(message.fid), .gid = message.gid};
  auto make = [&] { return fs_.make_directory(*place, wanted); };
  Interruptible<decltype(make)> work{call, make};
  const auto made = co_await offload(pool_, loop_, work);
  co_return made_qid(made);
}

Task<Result<Rqid>> Server::on(Call& call, const Tsymlink& message) {
  const auto place = co_await place_in(call, message.fid, message.name);
  if (!place) co_return place.failure();
  const NewFile wanted{.uid = user_of(message.fid), .gid = message.gid};
  const std::string target(message.target);
  auto make = [&] { return fs_.make_symlink(*place, target, wanted); };
  Interruptible<decltype(make)> work{call, make};
  const auto made = co_await offload(pool_, loop_, work);
  co_return made_qid(made);
}

Task<Result<Rqid>> Server::on(Call& call, const Tmknod& message) {
  const auto place = co_await place_in(call, message.fid, message.name);
  if (!place) co_return place.failure();
  const NewFile wanted{.mode = message.mode, .uid = user_of(message.fid), .gid = message.gid};
  const uint64_t device = makedev(message.major, message.minor);
  auto make = [&] { return fs_.make_node(*place, device, wanted); };
  Interruptible<decltype(make)> work{call, make};
  const auto made = co_await offload(pool_, loop_, work);
  co_return made_qid(made);
}

Task<Result<Nothing>> Server::on(Call& call, const Tlink& message) {
  const FidPtr fid = find(message.fid);
  if (!fid || fid->xattr) co_return Failure{EBADF};
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  const auto place = co_await place_in(call, message.directory, message.name);
  if (!place) co_return place.failure();
  auto make = [&] { return fs_.link(*item, *place); };
  Interruptible<decltype(make)> work{call, make};
  const Outcome made = co_await offload(pool_, loop_, work);
  co_return nothing(made);
}

Task<Result<Nothing>> Server::on(Call& call, const Trenameat& message) {
  const FidPtr from_fid = find(message.old_directory);
  const FidPtr to_fid = find(message.new_directory);
  const auto from = co_await place_in(call, message.old_directory, message.old_name);
  if (!from) co_return from.failure();
  const auto to = co_await place_in(call, message.new_directory, message.new_name);
  if (!to) co_return to.failure();
  auto move = [&] { return fs_.rename(*from, *to); };
  Interruptible<decltype(move)> work{call, move};
  const Outcome moved = co_await offload(pool_, loop_, work);
  if (moved && to_fid) tree_.renamed(from_fid->node, from->name, to_fid->node, to->name);
  co_return nothing(moved);
}

// Where a fid's own name is, if it still leads to that file.
Task<Result<Item>> Server::place_of(Call& call, FidPtr fid) {
  if (!fid || fid->xattr) co_return Failure{EBADF};
  const NodePtr node = fid->node;
  if (!node->parent()) co_return Failure{EBUSY};  // the root of the share stays
  const NodePtr above = node->parent();
  const auto parent = co_await descriptor(above);
  if (!parent) co_return parent.failure();
  const Item place{.parent = *parent, .name = node->name()};
  auto look = [&] { return attributes_at(place.parent->get(), place.name); };
  Interruptible<decltype(look)> work{call, look};
  const auto there = co_await offload(pool_, loop_, work);
  if (!there) co_return there.failure();
  if (node->is_removed() || id_of(*there) != node->id()) co_return Failure{ENOENT};
  co_return place;
}

Task<Result<Nothing>> Server::on(Call& call, const Trename& message) {
  const FidPtr fid = find(message.fid);
  const FidPtr directory = find(message.directory);
  const auto from = co_await place_of(call, fid);
  if (!from) co_return from.failure();
  const auto to = co_await place_in(call, message.directory, message.name);
  if (!to) co_return to.failure();
  const NodePtr old_parent = fid->node->parent();
  auto move = [&] { return fs_.rename(*from, *to); };
  Interruptible<decltype(move)> work{call, move};
  const Outcome moved = co_await offload(pool_, loop_, work);
  if (moved && directory) tree_.renamed(old_parent, from->name, directory->node, to->name);
  co_return nothing(moved);
}

Task<Result<Nothing>> Server::on(Call& call, const Tunlinkat& message) {
  constexpr uint32_t kRemoveDirectory = 0x200;
  const FidPtr fid = find(message.fid);
  if ((message.flags & ~kRemoveDirectory) != 0) co_return Failure{EINVAL};
  const auto place = co_await place_in(call, message.fid, message.name);
  if (!place) co_return place.failure();
  const bool directory = (message.flags & kRemoveDirectory) != 0;
  auto remove = [&] { return fs_.unlink(*place, directory); };
  Interruptible<decltype(remove)> work{call, remove};
  const Outcome removed = co_await offload(pool_, loop_, work);
  if (removed) tree_.removed(fid->node, place->name);
  co_return nothing(removed);
}

// intro(5), remove: whether it works or not, the fid is gone.
Task<Result<Nothing>> Server::on(Call& call, const Tremove& message) {
  const FidPtr fid = find(message.fid);
  if (!fid) co_return Failure{EBADF};
  fids_.erase(message.fid);
  const auto place = co_await place_of(call, fid);
  const NodePtr parent = fid->node->parent();
  Outcome removed = place ? Outcome(Done{}) : Outcome(place.failure());
  if (place) {
    auto remove = [&]() -> Outcome {
      const auto there = attributes_at(place->parent->get(), place->name);
      return fs_.unlink(*place, there && S_ISDIR(there->mode));
    };
    Interruptible<decltype(remove)> work{call, remove};
    removed = co_await offload(pool_, loop_, work);
    if (removed) tree_.removed(parent, place->name);
  }
  if (fid->file) co_await close_file(fid);
  co_return nothing(removed);
}

}  // namespace vireo::p9
