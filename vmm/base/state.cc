#include "vmm/base/state.h"

#include <fmt/core.h>

namespace vireo {

void StateWriter::add(const std::string& name, StateSection section) {
  if (!sections_.emplace(name, std::move(section)).second)
    throw StateError(fmt::format("two components save their state as '{}'", name));
}

std::optional<StateSection> StateReader::extract(const std::string& name, StateTag tag) {
  auto node = sections_.extract(name);
  if (node.empty()) return std::nullopt;
  StateSection section = std::move(node.mapped());
  if (section.kind != tag.kind || section.version != tag.version)
    throw StateError(
        fmt::format("the saved state of '{}' is {} version {}, this build reads {} version {}",
                    name, section.kind, section.version, tag.kind, tag.version));
  return section;
}

void StateReader::throw_damaged(const std::string& name, std::string_view field) {
  if (field.empty())
    throw StateError(fmt::format("the saved state of '{}' is damaged: it is too long", name));
  throw StateError(fmt::format("the saved state of '{}' is damaged at its '{}'", name, field));
}

void StateReader::check_all_taken() const {
  if (!sections_.empty())
    throw StateError(
        fmt::format("the snapshot has a '{}', the machine has not: build it as it was saved",
                    sections_.begin()->first));
}

}  // namespace vireo
