#include "devices/p9/claims_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include <fmt/format.h>

namespace vireo::p9::claims_file {

namespace {

constexpr size_t kMaxText = 4096;

template <class T>
bool take_line(std::string_view line, std::string_view key, std::optional<T>& value) {
  if (!line.starts_with(key)) return false;
  line.remove_prefix(key.size());
  // QEMU writes them as signed: a user id of -2 is one.
  int64_t number = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
  if (error == std::errc() && end == line.data() + line.size()) value = static_cast<T>(number);
  return true;
}

void take(std::string_view line, Claims& claims) {
  if (take_line(line, "virtfs.uid=", claims.uid)) return;
  if (take_line(line, "virtfs.gid=", claims.gid)) return;
  if (take_line(line, "virtfs.mode=", claims.mode)) return;
  take_line(line, "virtfs.rdev=", claims.rdev);
}

// The directory of the metadata, and the file's name in it. That of the root's own lies beside the
// directory of the others.
struct Spot {
  UniqueFd directory{};
  std::string name{};
};

Result<UniqueFd> metadata_directory(int directory, bool make) {
  const std::string name(kDirectory);
  auto found = open_entry(directory, name);
  if (found || found.error() != ENOENT || !make) return found;
  if (::mkdirat(directory, name.c_str(), 0700) != 0 && errno != EEXIST) return last_failure();
  return open_entry(directory, name);
}

Result<Spot> place_of(const Item& item, bool make) {
  if (!item.parent) {
    const int copy = ::fcntl(item.self->get(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return last_failure();
    return Spot{UniqueFd(copy), std::string(kRootFile)};
  }
  auto directory = metadata_directory(item.parent->get(), make);
  if (!directory) return directory.failure();
  return Spot{std::move(*directory), item.name};
}

Result<UniqueFd> open_for_reading(const Spot& place) {
  const auto entry = open_entry(place.directory.get(), place.name);
  if (!entry) return entry.failure();
  const auto attributes = attributes_of(entry->get());
  if (!attributes) return attributes.failure();
  if (!S_ISREG(attributes->mode)) return Failure{EIO};
  return reopen(entry->get(), attributes->mode, O_RDONLY);
}

Result<Claims> read_at(const Spot& place) {
  const auto file = open_for_reading(place);
  if (!file && file.error() == ENOENT) return Claims{};
  if (!file) return file.failure();
  std::array<char, kMaxText> text{};
  const ssize_t length = ::pread(file->get(), text.data(), text.size(), 0);
  if (length < 0) return last_failure();
  return parse({text.data(), static_cast<size_t>(length)});
}

template <class T>
void replace(std::optional<T>& old, const std::optional<T>& by) {
  if (by) old = by;
}

// A new file in the place of the old: nobody reads half of one, and a link that lies there is
// replaced, not followed. It is made in `directory`, whose names the guest does not reach.
Outcome write_at(int directory, const Spot& place, const std::string& text) {
  const std::string fresh = fmt::format("{}{}", kNew, ::gettid());
  ::unlinkat(directory, fresh.c_str(), 0);
  const UniqueFd file(::openat(directory, fresh.c_str(),
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return last_failure();
  const std::error_code error = write_all(file.get(), std::as_bytes(std::span(text)));
  Outcome placed = error ? Outcome(Failure{error.value()})
                         : outcome_of(::renameat(directory, fresh.c_str(), place.directory.get(),
                                                 place.name.c_str()));
  if (!placed) ::unlinkat(directory, fresh.c_str(), 0);  // or its directory could not be removed
  return placed;
}

}  // namespace

Claims parse(std::string_view text) {
  Claims claims;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    take(text.substr(0, end), claims);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return claims;
}

std::string format(const Claims& claims) {
  std::string text;
  if (claims.uid) text += fmt::format("virtfs.uid={}\n", static_cast<int32_t>(*claims.uid));
  if (claims.gid) text += fmt::format("virtfs.gid={}\n", static_cast<int32_t>(*claims.gid));
  if (claims.mode) text += fmt::format("virtfs.mode={}\n", *claims.mode);
  if (claims.rdev) text += fmt::format("virtfs.rdev={}\n", *claims.rdev);
  return text;
}

Result<Claims> read(const Item& item) {
  const auto place = place_of(item, false);
  if (!place && place.error() == ENOENT) return Claims{};
  if (!place) return place.failure();
  return read_at(*place);
}

Outcome write(const Item& item, const Claims& claims) {
  const auto place = place_of(item, true);
  if (!place) return place.failure();
  auto merged = read_at(*place);
  if (!merged) return merged.failure();
  replace(merged->uid, claims.uid);
  replace(merged->gid, claims.gid);
  replace(merged->mode, claims.mode);
  replace(merged->rdev, claims.rdev);
  const auto fresh = metadata_directory(item.parent ? item.parent->get() : item.self->get(), true);
  if (!fresh) return fresh.failure();
  return write_at(fresh->get(), *place, format(*merged));
}

void forget(int directory, const std::string& name) {
  const auto metadata = metadata_directory(directory, false);
  if (metadata) ::unlinkat(metadata->get(), name.c_str(), 0);
}

void rename(int from, const std::string& from_name, int to, const std::string& to_name) {
  const auto source = metadata_directory(from, false);
  if (!source) return forget(to, to_name);
  const auto target = metadata_directory(to, true);
  if (!target) return;
  if (::renameat(source->get(), from_name.c_str(), target->get(), to_name.c_str()) != 0 &&
      errno == ENOENT)
    ::unlinkat(target->get(), to_name.c_str(), 0);
}

void link(int from, const std::string& from_name, int to, const std::string& to_name) {
  const auto source = metadata_directory(from, false);
  if (!source) return;
  const auto target = metadata_directory(to, true);
  if (target)
    static_cast<void>(
        ::linkat(source->get(), from_name.c_str(), target->get(), to_name.c_str(), 0));
}

}  // namespace vireo::p9::claims_file
