#include "devices/p9/session.h"

#include "devices/p9/wire.h"

namespace vireo::p9 {

FidPtr Fids::find(uint32_t number) const {
  const auto found = fids_.find(number);
  return found == fids_.end() ? nullptr : found->second;
}

int Fids::add(uint32_t number, FidPtr fid) {
  if (number == kNoFid || fids_.contains(number)) return EINVAL;
  if (fids_.size() >= most_) return ENFILE;
  fids_.emplace(number, std::move(fid));
  return 0;
}

int Fids::replace(uint32_t number, const FidPtr& found, FidPtr fid) {
  const auto place = fids_.find(number);
  if (place == fids_.end()) return EBADF;
  if (place->second != found) return EINVAL;
  place->second = std::move(fid);
  return 0;
}

FidPtr Fids::take(uint32_t number) {
  const auto found = fids_.find(number);
  if (found == fids_.end()) return nullptr;
  FidPtr fid = std::move(found->second);
  fids_.erase(found);
  return fid;
}

}  // namespace vireo::p9
