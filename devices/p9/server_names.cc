// The requests that make, remove and move names.
#include <fcntl.h>
#include <sys/sysmacros.h>

#include <utility>

#include "devices/p9/server_state.h"

namespace vireo::p9 {

// The fid becomes the new file.
Task<Result<Ropened>> Server::on(Call& call, const Tlcreate& message) {
  const FidPtr fid = call.find_file(message.fid);
  if (!fid || fid->file) co_return Failure{EINVAL};
  const auto place = co_await place_in(call, fid, message.name);
  if (!place) co_return place.failure();
  auto part = open_files_.take(1);
  if (!part) co_return Failure{ENFILE};
  auto memory = memory_.take(kFidCost + Node::cost());  // before there is a file
  if (!memory) co_return Failure{ENOMEM};
  const NewFile wanted{.mode = message.mode, .uid = fid->uid, .gid = message.gid};
  auto make = [&] { return fs_.create(place->item, message.flags, wanted); };
  auto made = co_await host_.short_call(make, &call.flushed);
  if (!made) co_return made.failure();
  memory->shrink(0);
  const auto node = tree_.child(place->place, id_of(made->host), nullptr);
  if (!node) co_return node.failure();
  auto file = std::make_shared<OpenFile>(std::move(made->file), message.flags, false, ++last_open_,
                                         std::move(*part));
  const auto becomes = make_fid({.node = *node, .uid = fid->uid, .file = std::move(file)});
  if (!becomes) co_return becomes.failure();
  const int error = call.session->fids.replace(message.fid, fid, *becomes);
  if (error != 0) co_return Failure{error};
  co_return opened(call, made->host, made->seen);
}

Task<Result<Rqid>> Server::on(Call& call, const Tmkdir& message) {
  const FidPtr fid = call.find_file(message.fid);
  const auto place = co_await place_in(call, fid, message.name);
  if (!place) co_return place.failure();
  const NewFile wanted{.mode = message.mode, .uid = fid->uid, .gid = message.gid};
  auto make = [&] { return fs_.make_directory(place->item, wanted); };
  const auto made = co_await host_.short_call(make, &call.flushed);
  co_return made_qid(made);
}

Task<Result<Rqid>> Server::on(Call& call, const Tsymlink& message) {
  const FidPtr fid = call.find_file(message.fid);
  const auto place = co_await place_in(call, fid, message.name);
  if (!place) co_return place.failure();
  const NewFile wanted{.uid = fid->uid, .gid = message.gid};
  const std::string target(message.target);
  auto make = [&] { return fs_.make_symlink(place->item, target, wanted); };
  const auto made = co_await host_.short_call(make, &call.flushed);
  co_return made_qid(made);
}

Task<Result<Rqid>> Server::on(Call& call, const Tmknod& message) {
  const FidPtr fid = call.find_file(message.fid);
  const auto place = co_await place_in(call, fid, message.name);
  if (!place) co_return place.failure();
  const NewFile wanted{.mode = message.mode, .uid = fid->uid, .gid = message.gid};
  const uint64_t device = makedev(message.major, message.minor);
  auto make = [&] { return fs_.make_node(place->item, device, wanted); };
  const auto made = co_await host_.short_call(make, &call.flushed);
  co_return made_qid(made);
}

Task<Result<Nothing>> Server::on(Call& call, const Tlink& message) {
  const FidPtr fid = call.find_file(message.fid);
  const FidPtr directory = call.find_file(message.directory);
  const auto item = co_await item_of(call, fid);
  if (!item) co_return item.failure();
  const auto place = co_await place_in(call, directory, message.name);
  if (!place) co_return place.failure();
  auto make = [&] { return fs_.link(*item, place->item); };
  const Outcome made = co_await host_.short_call(make, &call.flushed);
  co_return nothing(made);
}

Task<Result<Nothing>> Server::move(Call& call, const Named& from, const Named& to) {
  auto rename = [&] { return fs_.rename(from.item, to.item); };
  const Outcome moved = co_await host_.short_call(rename, &call.flushed);
  if (moved) tree_.renamed(from.place, to.place);
  co_return nothing(moved);
}

Task<Result<Nothing>> Server::on(Call& call, const Trenameat& message) {
  const FidPtr old_directory = call.find_file(message.old_directory);
  const FidPtr new_directory = call.find_file(message.new_directory);
  const auto from = co_await place_in(call, old_directory, message.old_name);
  if (!from) co_return from.failure();
  const auto to = co_await place_in(call, new_directory, message.new_name);
  if (!to) co_return to.failure();
  co_return co_await move(call, *from, *to);
}

// Where a fid's own name is, if it still leads to that file.
Task<Result<Server::Named>> Server::place_of(Call& call, FidPtr fid) {
  if (!fid) co_return Failure{EBADF};
  const NodePtr node = fid->node;
  if (node->is_root()) co_return Failure{EBUSY};  // the root of the share stays
  Named named{.place = node->place()};
  const auto parent = co_await descriptor(named.place.directory);
  if (!parent) co_return parent.failure();
  named.item = {.parent = *parent, .name = named.place.name};
  auto look = [&] { return attributes_at(named.item.parent->get(), named.item.name); };
  const auto there = co_await host_.short_call(look, &call.flushed);
  if (!there) co_return there.failure();
  if (node->is_removed() || id_of(*there) != node->id()) co_return Failure{ENOENT};
  co_return named;
}

Task<Result<Nothing>> Server::on(Call& call, const Trename& message) {
  const FidPtr fid = call.find_file(message.fid);
  const FidPtr directory = call.find_file(message.directory);
  const auto from = co_await place_of(call, fid);
  if (!from) co_return from.failure();
  const auto to = co_await place_in(call, directory, message.name);
  if (!to) co_return to.failure();
  co_return co_await move(call, *from, *to);
}

Task<Result<Nothing>> Server::on(Call& call, const Tunlinkat& message) {
  constexpr uint32_t kRemoveDirectory = 0x200;
  const FidPtr fid = call.find_file(message.fid);
  if ((message.flags & ~kRemoveDirectory) != 0) co_return Failure{EINVAL};
  const auto place = co_await place_in(call, fid, message.name);
  if (!place) co_return place.failure();
  const bool directory = (message.flags & kRemoveDirectory) != 0;
  auto remove = [&] { return fs_.unlink(place->item, directory); };
  const Outcome removed = co_await host_.short_call(remove, &call.flushed);
  if (removed) tree_.removed(place->place);
  co_return nothing(removed);
}

// By the name that leads to the fid's file.
Task<Result<Nothing>> Server::remove(Call& call, FidPtr fid) {
  if (fid->xattr) co_return Failure{EBADF};
  const auto place = co_await place_of(call, fid);
  if (!place) co_return place.failure();
  auto unlink = [&]() -> Outcome {
    const auto there = attributes_at(place->item.parent->get(), place->item.name);
    return fs_.unlink(place->item, there && S_ISDIR(there->mode));
  };
  const Outcome removed = co_await host_.short_call(unlink, &call.flushed);
  if (removed) tree_.removed(place->place);
  co_return nothing(removed);
}

// intro(5), remove: whether it works or not, the fid is gone.
Task<Result<Nothing>> Server::on(Call& call, const Tremove& message) {
  FidPtr fid = call.session->fids.take(message.fid);
  if (!fid) co_return Failure{EBADF};
  const auto removed = co_await remove(call, fid);
  if (fid->file) co_await close_file(call, std::move(fid));
  co_return removed;
}

}  // namespace vireo::p9
