#include "vmm/snapshot.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

constexpr const char* kTitle = "vireo snapshot 1 x86-64";
constexpr uint64_t kMaxStateSize = 256 * MiB;
constexpr uint64_t kMaxManifestSize = 4 * KiB;

uint32_t checksum(std::span<const std::byte> bytes) {
  return static_cast<uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

UniqueFd open_file(const std::string& path, int flags) {
  UniqueFd fd{::open(path.c_str(), flags | O_CLOEXEC, 0600)};
  if (!fd) throw_errno(fmt::format("cannot open '{}'", path));
  return fd;
}

void throw_if(std::error_code error, const std::string& what) {
  if (error) throw std::system_error(error, what);
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  const UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL);
  throw_if(write_all(fd.get(), bytes), fmt::format("cannot write '{}'", path));
  if (::fsync(fd.get()) != 0) throw_errno(fmt::format("cannot write '{}'", path));
}

std::vector<std::byte> read_file(const std::string& path, uint64_t limit) {
  const UniqueFd fd = open_file(path, O_RDONLY);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw_errno(fmt::format("cannot read '{}'", path));
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > limit) throw ConfigError(fmt::format("'{}' is too large to be a snapshot's", path));
  std::vector<std::byte> bytes(size);
  throw_if(read_all(fd.get(), bytes), fmt::format("cannot read '{}'", path));
  return bytes;
}

// "key value" lines after the title.
std::map<std::string, uint64_t> parse_manifest(const std::string& path) {
  const auto bytes = read_file(path, kMaxManifestSize);
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string title = std::string(kTitle) + "\n";
  if (!text.starts_with(title))
    throw ConfigError(fmt::format("'{}' is not a snapshot of this version ('{}')", path, kTitle));
  std::map<std::string, uint64_t> values;
  size_t position = title.size();
  while (position < text.size()) {
    const size_t end = std::min(text.find('\n', position), text.size());
    const std::string line = text.substr(position, end - position);
    position = end + 1;
    const size_t space = line.find(' ');
    const char* const digits = line.c_str() + std::min(space, line.size() - 1) + 1;
    char* rest = nullptr;
    const uint64_t value = space == std::string::npos ? 0 : std::strtoull(digits, &rest, 10);
    if (rest == nullptr || rest == digits || *rest != '\0')
      throw ConfigError(fmt::format("'{}' is damaged: '{}'", path, line));
    values[line.substr(0, space)] = value;
  }
  return values;
}

uint64_t need(const std::map<std::string, uint64_t>& values, const char* key,
              const std::string& path) {
  const auto found = values.find(key);
  if (found == values.end()) throw ConfigError(fmt::format("'{}' lacks '{}'", path, key));
  return found->second;
}

std::vector<std::byte> encode(const StateSections& sections) {
  ByteWriter out;
  const auto put_text = [&](std::string_view text) {
    out.put(le32(static_cast<uint32_t>(text.size())));
    out.put(bytes_of_text(text));
  };
  for (const auto& [name, section] : sections) {
    put_text(name);
    put_text(section.kind);
    out.put(le32(section.version));
    out.put(le64(section.bytes.size()));
    out.put(std::span<const std::byte>(section.bytes));
  }
  return out.take();
}

StateSections decode(std::span<const std::byte> bytes, const std::string& path) {
  ByteReader in(bytes);
  const auto get_text = [&] {
    const auto text = in.take(in.get<le32>());
    return std::string(reinterpret_cast<const char*>(text.data()), text.size());
  };
  StateSections sections;
  while (in.ok() && !in.at_end()) {
    const std::string name = get_text();
    StateSection section;
    section.kind = get_text();
    section.version = in.get<le32>();
    const auto body = in.take(in.get<le64>());
    section.bytes.assign(body.begin(), body.end());
    sections.emplace(name, std::move(section));
  }
  if (!in.ok()) throw ConfigError(fmt::format("'{}' is damaged", path));
  return sections;
}

// Writes the runs of pages that hold something; the rest stays a hole.
void write_region(int fd, const GuestMemory::Region& region, const std::string& path) {
  const auto bytes = std::span<const std::byte>(region.bytes);
  size_t run_start = 0;
  const auto write_run = [&](size_t end) {
    if (end > run_start)
      throw_if(
          pwrite_all(fd, bytes.subspan(run_start, end - run_start), region.file_offset + run_start),
          fmt::format("cannot write '{}'", path));
  };
  for (size_t page = 0; page < bytes.size(); page += kPageSize) {
    if (!all_zero(bytes.subspan(page, kPageSize))) continue;
    write_run(page);
    run_start = page + kPageSize;
  }
  write_run(bytes.size());
}

void write_memory(const std::string& path, const GuestMemory& memory) {
  const UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL);
  if (::ftruncate(fd.get(), static_cast<off_t>(memory.size())) != 0)
    throw_errno(fmt::format("cannot size '{}'", path));
  for (const auto& region : memory.regions()) write_region(fd.get(), region, path);
  if (::fsync(fd.get()) != 0) throw_errno(fmt::format("cannot write '{}'", path));
}

void read_region(int fd, const GuestMemory::Region& region, const std::string& path) {
  const uint64_t end = region.file_offset + region.bytes.size();
  uint64_t position = region.file_offset;
  while (position < end) {
    const off_t data = ::lseek(fd, static_cast<off_t>(position), SEEK_DATA);
    if (data < 0 && errno != ENXIO) throw_errno(fmt::format("cannot read '{}'", path));
    if (data < 0 || static_cast<uint64_t>(data) >= end) return;  // only holes follow
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) throw_errno(fmt::format("cannot read '{}'", path));
    const auto start = static_cast<uint64_t>(data);
    const uint64_t stop = std::min(static_cast<uint64_t>(hole), end);
    throw_if(pread_all(fd, region.bytes.subspan(start - region.file_offset, stop - start), start),
             fmt::format("cannot read '{}'", path));
    position = stop;
  }
}

// The manifest last, and the directory with it: what has a manifest is complete.
void write_all_files(const std::string& directory, const SnapshotShape& shape,
                     const StateSections& sections, const GuestMemory& memory) {
  const std::vector<std::byte> state = encode(sections);
  write_memory(directory + "/memory", memory);
  write_file(directory + "/state", state);
  const std::string manifest =
      fmt::format("{}\nmemory {}\nvcpus {}\nstate {}\nstate-crc {}\n", kTitle, shape.memory,
                  shape.vcpus, state.size(), checksum(state));
  write_file(directory + "/manifest", bytes_of_text(manifest));
  const UniqueFd folder = open_file(directory, O_RDONLY | O_DIRECTORY);
  if (::fsync(folder.get()) != 0) throw_errno(fmt::format("cannot write '{}'", directory));
}

}  // namespace

void Snapshot::save(const std::string& directory, const SnapshotShape& shape,
                    const StateSections& sections, const GuestMemory& memory) {
  if (::mkdir(directory.c_str(), 0700) != 0)
    throw_errno(fmt::format("cannot create the snapshot directory '{}'", directory));
  try {
    write_all_files(directory, shape, sections, memory);
  } catch (...) {
    for (const char* file : {"/manifest", "/state", "/memory"})
      ::unlink((directory + file).c_str());
    ::rmdir(directory.c_str());
    throw;
  }
}

Snapshot Snapshot::open(const std::string& directory) {
  const std::string manifest = directory + "/manifest";
  const auto values = parse_manifest(manifest);
  Snapshot snapshot;
  snapshot.directory_ = directory;
  snapshot.shape_.memory = need(values, "memory", manifest);
  snapshot.shape_.vcpus = static_cast<uint32_t>(need(values, "vcpus", manifest));
  const std::string path = directory + "/state";
  const auto state = read_file(path, kMaxStateSize);
  if (state.size() != need(values, "state", manifest) ||
      checksum(state) != need(values, "state-crc", manifest))
    throw ConfigError(fmt::format("'{}' is damaged: it does not fit its manifest", path));
  snapshot.sections_ = decode(state, path);
  return snapshot;
}

void Snapshot::load_memory(const GuestMemory& memory) const {
  const std::string path = directory_ + "/memory";
  const UniqueFd fd = open_file(path, O_RDONLY);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw_errno(fmt::format("cannot read '{}'", path));
  if (static_cast<uint64_t>(info.st_size) != memory.size())
    throw ConfigError(fmt::format("'{}' has {} bytes, the machine's memory {}", path, info.st_size,
                                  memory.size()));
  for (const auto& region : memory.regions()) read_region(fd.get(), region, path);
}

}  // namespace vireo
