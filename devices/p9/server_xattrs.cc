// The requests for extended attributes.
#include <linux/xattr.h>

#include <algorithm>
#include <utility>

#include "devices/p9/server_state.h"

namespace vireo::p9 {

namespace {

// What holds a value takes besides it, its name included.
constexpr size_t kXattrCost = sizeof(Xattr) + XATTR_NAME_MAX;

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
  auto value = co_await host_.short_call(look, &call.flushed);
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
  copy_to(part_of(call.exchange.reply, kHeaderSize + sizeof(uint32_t), part.size()), part);
  return Rdata{{static_cast<uint32_t>(part.size())}};
}

Result<Rwrite> Server::write_xattr(Call& call, Xattr& xattr, const Twrite& message) const {
  if (!xattr.writing) return Failure{EBADF};
  // In order, as Linux writes it.
  if (message.offset != xattr.value.size()) return Failure{EINVAL};
  if (message.data.count > xattr.size - xattr.value.size()) return Failure{ENOSPC};
  const size_t old = xattr.value.size();
  xattr.value.resize(old + message.data.count);
  copy_from(std::span(xattr.value).subspan(old),
            part_of(call.exchange.request, call.head, message.data.count));
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
  const Outcome changed = co_await host_.short_call(change, &call.flushed);
  co_return nothing(changed);
}

}  // namespace vireo::p9
