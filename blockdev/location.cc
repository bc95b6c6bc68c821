#include "blockdev/location.h"

#include <filesystem>

#include "blockdev/open.h"

namespace vireo::blk {

namespace {

std::string name_of(const FileLocation& file) {
  return file.path;
}

std::string name_of(const NullLocation&) {
  return "null-co://";
}

std::string name_of(const NestedLocation& nested) {
  return nested.image->name();
}

}  // namespace

std::string Location::name() const {
  return std::visit([](const auto& where) { return name_of(where); }, place);
}

bool same_file(const Location& one, const Location& other) {
  std::error_code ignored;
  return std::filesystem::equivalent(one.name(), other.name(), ignored);
}

}  // namespace vireo::blk
