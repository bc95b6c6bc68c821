#include "blockdev/format/qcow2/snapshots.h"

#include <algorithm>
#include <chrono>

#include <fmt/core.h>

namespace vireo::blk::qcow2 {

namespace {

struct WireSnapshot {
  be64 l1_offset;
  be32 l1_entries;
  be16 id_length, name_length;
  be32 date_seconds, date_nanoseconds;
  be64 vm_clock_nanoseconds;
  be32 vm_state_size, extra_length;
};
static_assert(sizeof(WireSnapshot) == 40);

constexpr uint64_t kKnownExtra = 16;
constexpr uint64_t kFirstRead = 64 * 1024;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::optional<ParsedSnapshots> parse_snapshots(std::span<const std::byte> bytes, uint32_t count) {
  ParsedSnapshots parsed;
  ByteReader reader(bytes);
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    const auto wire = reader.get<WireSnapshot>();
    SnapshotInfo info{.l1_offset = wire.l1_offset,
                      .l1_entries = wire.l1_entries,
                      .date_seconds = wire.date_seconds,
                      .date_nanoseconds = wire.date_nanoseconds,
                      .vm_clock_nanoseconds = wire.vm_clock_nanoseconds,
                      .vm_state_size = wire.vm_state_size};
    ByteReader extra(reader.take(wire.extra_length));
    if (extra.rest().size() >= 8) info.vm_state_size = extra.get<be64>();
    info.complete = extra.rest().size() >= 8;
    if (info.complete) info.disk_size = extra.get<be64>();
    info.unknown.assign(extra.rest().begin(), extra.rest().end());
    info.id = text_of(reader.take(wire.id_length));
    info.name = text_of(reader.take(wire.name_length));
    const uint64_t used = bytes.size() - reader.rest().size();
    reader.take(std::min<uint64_t>(-used & 7, reader.rest().size()));
    if (reader.ok()) parsed.list.push_back(std::move(info));
  }
  if (!reader.ok()) return std::nullopt;
  parsed.length = bytes.size() - reader.rest().size();
  return parsed;
}

std::vector<std::byte> serialise_snapshots(const std::vector<SnapshotInfo>& list) {
  ByteWriter writer;
  for (const SnapshotInfo& info : list) {
    writer.put(WireSnapshot{
        .l1_offset = info.l1_offset,
        .l1_entries = info.l1_entries,
        .id_length = static_cast<uint16_t>(info.id.size()),
        .name_length = static_cast<uint16_t>(info.name.size()),
        .date_seconds = info.date_seconds,
        .date_nanoseconds = info.date_nanoseconds,
        .vm_clock_nanoseconds = info.vm_clock_nanoseconds,
        .vm_state_size =
            static_cast<uint32_t>(std::min<uint64_t>(info.vm_state_size, ~uint32_t{0})),
        .extra_length = static_cast<uint32_t>(kKnownExtra + info.unknown.size())});
    writer.put(be64{info.vm_state_size});
    writer.put(be64{info.disk_size});
    writer.put(std::span<const std::byte>(info.unknown));
    writer.put(bytes_of_text(info.id));
    writer.put(bytes_of_text(info.name));
    writer.zeros(-writer.size() & 7);
  }
  return writer.take();
}

Task<Outcome<ParsedSnapshots>> read_snapshots(HostFile& file, const Header& header) {
  Outcome<ParsedSnapshots> result;
  if (header.snapshot_count == 0) co_return result;
  const uint64_t there = file.size() - header.snapshots_offset;
  const uint64_t limit = std::min(there, kMaxSnapshotTableBytes);
  for (uint64_t size = kFirstRead;; size *= 4) {
    Buffer bytes(align_up(std::min(size, limit), Buffer::kAlignment));
    result.error = co_await file.read(header.snapshots_offset, bytes);
    if (result.error) co_return result;
    auto parsed = parse_snapshots(std::as_const(bytes).bytes().first(std::min(size, limit)),
                                  header.snapshot_count);
    if (parsed) {
      result.value = std::move(*parsed);
      co_return result;
    }
    if (size >= limit) break;
  }
  result.error = io_error();
  co_return result;
}

Task<std::error_code> Snapshots::load() {
  Outcome<ParsedSnapshots> table = co_await read_snapshots(image_.file, image_.header);
  if (table.error == io_error())
    image_.host.log.error("qcow2",
                          fmt::format("the snapshot table of image '{}' is damaged", image_.name));
  if (table.error) co_return table.error;
  list_ = std::move(table.value.list);
  // Entries of version 2 need not say it: the disk of their images has kept its size.
  for (SnapshotInfo& info : list_)
    if (!info.complete) info.disk_size = image_.header.size;
  image_.snapshot_table_bytes = table.value.length;
  note_l1s();
  co_return std::error_code{};
}

// Where no guest data may go. Absurd places are found when they are read.
void Snapshots::note_l1s() {
  std::vector<HostRange> ranges;
  for (const SnapshotInfo& info : list_)
    if (info.l1_offset < kMaxHostOffset && uint64_t{info.l1_entries} * 8 <= kMaxL1Bytes)
      ranges.push_back({info.l1_offset, uint64_t{info.l1_entries} * 8});
  image_.snapshot_l1s.assign(std::move(ranges));
}

const SnapshotInfo* Snapshots::find(const std::string& id_or_name) const noexcept {
  for (const SnapshotInfo& info : list_)
    if (info.id == id_or_name) return &info;
  for (const SnapshotInfo& info : list_)
    if (info.name == id_or_name) return &info;
  return nullptr;
}

std::string Snapshots::next_id() const {
  uint64_t highest = 0;
  for (const SnapshotInfo& info : list_)
    highest = std::max<uint64_t>(highest, std::strtoull(info.id.c_str(), nullptr, 10));
  return std::to_string(highest + 1);
}

Task<std::error_code> Snapshots::begin() {
  std::error_code error = image_.is_corrupt() ? io_error() : std::error_code{};
  if (!error) error = co_await tables_.settle();
  if (!error) error = co_await tables_.allocator.begin_shadow();
  co_return error;
}

Task<Outcome<uint64_t>> Snapshots::write_list(std::vector<SnapshotInfo> list) {
  const std::vector<std::byte> bytes = serialise_snapshots(list);
  if (bytes.size() > kMaxSnapshotTableBytes || list.size() > kMaxSnapshots)
    co_return Outcome<uint64_t>{Refusal::too_many_snapshots};
  if (bytes.empty()) co_return Outcome<uint64_t>{};
  const uint64_t clusters = div_up(bytes.size(), image_.geometry.cluster_size());
  const Outcome<Run> run = co_await tables_.allocator.allocate_contiguous(clusters);
  if (run.error) co_return Outcome<uint64_t>{run.error};
  Buffer table = Buffer::zeros(clusters << image_.geometry.cluster_bits);
  std::memcpy(table.data(), bytes.data(), bytes.size());
  const std::error_code error = co_await image_.file.write(run.value.offset, table);
  co_return Outcome<uint64_t>{error, run.value.offset};
}

// Everything new beside the old, on stable storage; gives the header that makes it valid.
Task<Outcome<Header>> Snapshots::write_tables(Next& next) {
  Header header = image_.header;
  std::error_code error =
      co_await tables_.allocator.drop(header.snapshots_offset, image_.snapshot_table_bytes);
  if (error) co_return Outcome<Header>{error};
  Outcome<std::vector<uint64_t>> l1 = co_await tree_.with_true_flags(next.l1);
  if (l1.error) co_return Outcome<Header>{l1.error};
  next.l1 = std::move(l1.value);
  const Outcome<uint64_t> l1_at = co_await tree_.write_l1(next.l1);
  if (l1_at.error) co_return Outcome<Header>{l1_at.error};
  std::vector<SnapshotInfo> list = next.list;
  const Outcome<uint64_t> list_at = co_await write_list(std::move(list));
  if (list_at.error) co_return Outcome<Header>{list_at.error};
  error = co_await tables_.allocator.write_back();
  if (!error) error = co_await image_.file.flush();
  const HostRange counts = tables_.allocator.refcount_table();
  header.l1_offset = l1_at.value;
  header.l1_entries = static_cast<uint32_t>(next.l1.size());
  header.size = next.size;
  header.snapshots_offset = list_at.value;
  header.snapshot_count = static_cast<uint32_t>(next.list.size());
  header.refcount_table_offset = counts.offset;
  header.refcount_table_clusters =
      static_cast<uint32_t>(counts.length >> image_.geometry.cluster_bits);
  co_return Outcome<Header>{error, std::move(header)};
}

// Before the header is written an error changes nothing; afterwards only leaks can follow.
Task<std::error_code> Snapshots::publish(Outcome<Next> next) {
  std::error_code error = next.error;
  if (!error) {
    Outcome<Header> header = co_await write_tables(next.value);
    error = header.error;
    if (!error) error = co_await image_.publish(std::move(header.value));
  }
  tables_.map.forget_all();
  if (error) {
    tables_.allocator.abandon_shadow();
    co_return error;
  }
  tables_.allocator.accept_shadow();
  tables_.map.replace_l1(std::move(next.value.l1));
  list_ = std::move(next.value.list);
  for (SnapshotInfo& info : list_) info.complete = true;
  image_.snapshot_table_bytes = serialise_snapshots(list_).size();
  note_l1s();
  [[maybe_unused]] const std::error_code later = co_await tables_.settle();
  co_return error;
}

Task<std::error_code> Snapshots::drop_active_l1() {
  const HostRange l1{image_.header.l1_offset, image_.header.l1_entries * uint64_t{8}};
  co_return co_await tables_.allocator.drop(l1.offset, l1.length);
}

Task<std::error_code> Snapshots::create(std::string name) {
  if (image_.geometry.data_file) co_return Refusal::data_file_without_snapshots;
  if (image_.geometry.refcount_max() < 2) co_return Refusal::narrow_counts_without_snapshots;
  for (const SnapshotInfo& info : list_)
    if (info.name == name) co_return std::make_error_code(std::errc::file_exists);
  if (name.size() > 0xffff) co_return Refusal::snapshot_name_too_long;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  SnapshotInfo info{.id = next_id(),
                    .name = std::move(name),
                    .date_seconds = static_cast<uint32_t>(nanoseconds / 1'000'000'000),
                    .date_nanoseconds = static_cast<uint32_t>(nanoseconds % 1'000'000'000),
                    .disk_size = image_.header.size};
  const std::error_code error = co_await begin();
  if (error) co_return error;
  Outcome<Next> next = co_await with_new(std::move(info));
  co_return co_await publish(std::move(next));
}

// The active L1 table becomes the snapshot's.
Task<Outcome<Snapshots::Next>> Snapshots::with_new(SnapshotInfo info) {
  Next next{list_, tables_.map.l1(), image_.header.size};
  info.l1_offset = image_.header.l1_offset;
  info.l1_entries = image_.header.l1_entries;
  next.list.push_back(std::move(info));
  const std::error_code error = co_await tree_.add_references(next.l1);
  co_return Outcome<Next>{error, std::move(next)};
}

Task<std::error_code> Snapshots::apply(std::string id_or_name) {
  const SnapshotInfo* found = find(id_or_name);
  if (found == nullptr) co_return std::make_error_code(std::errc::no_such_file_or_directory);
  SnapshotInfo info = *found;
  const std::error_code error = co_await begin();
  if (error) co_return error;
  Outcome<Next> next = co_await returned_to(std::move(info));
  co_return co_await publish(std::move(next));
}

// Long enough for the snapshot's disk.
Task<Outcome<std::vector<uint64_t>>> Snapshots::read_l1(SnapshotInfo info) {
  using Result = Outcome<std::vector<uint64_t>>;
  Result l1 = co_await tree_.read_l1(info.l1_offset, info.l1_entries);
  if (l1.error) co_return l1;
  const uint64_t size = info.disk_size;
  const uint64_t needed = image_.geometry.l1_entries_for(size);
  if (size >= uint64_t{1} << 63 || needed * 8 > kMaxL1Bytes) co_return Result{io_error()};
  if (l1.value.size() < needed) l1.value.resize(needed);
  co_return l1;
}

Task<std::error_code> Snapshots::show(std::string id_or_name) {
  const SnapshotInfo* found = find(id_or_name);
  if (found == nullptr) co_return std::make_error_code(std::errc::no_such_file_or_directory);
  SnapshotInfo info = *found;
  const uint64_t size = info.disk_size;
  Outcome<std::vector<uint64_t>> l1 = co_await read_l1(std::move(info));
  if (l1.error) co_return l1.error;
  image_.header.size = size;
  tables_.map.replace_l1(std::move(l1.value));
  co_return std::error_code{};
}

Task<std::error_code> Snapshots::clear() {
  std::error_code error = co_await begin();
  if (error) co_return error;
  Outcome<Next> next = co_await emptied();
  error = co_await publish(std::move(next));
  if (error) co_return error;
  const Outcome<uint64_t> end = co_await tables_.allocator.find_used_end();
  if (end.error) co_return end.error;
  co_return co_await image_.file.cut(end.value);
}

Task<Outcome<Snapshots::Next>> Snapshots::emptied() {
  std::vector<uint64_t> old = tables_.map.l1();
  Next next{list_, std::vector<uint64_t>(old.size()), image_.header.size};
  std::error_code error = co_await tree_.drop_references(std::move(old));
  if (!error) error = co_await drop_active_l1();
  co_return Outcome<Next>{error, std::move(next)};
}

Task<std::error_code> Snapshots::let_go(std::vector<uint64_t> clusters) {
  std::error_code error = co_await begin();
  if (error) co_return error;
  Outcome<Next> next = co_await unchanged();
  for (size_t i = 0; i < clusters.size() && !next.error; ++i) {
    const uint64_t cluster = clusters[i];
    next.error = co_await tables_.allocator.drop(cluster, image_.geometry.cluster_size());
  }
  co_return co_await publish(std::move(next));
}

Task<std::error_code> Snapshots::rewrite() {
  const std::error_code error = co_await begin();
  if (error) co_return error;
  Outcome<Next> next = co_await unchanged();
  co_return co_await publish(std::move(next));
}

Task<Outcome<Snapshots::Next>> Snapshots::unchanged() {
  Next next{list_, tables_.map.l1(), image_.header.size};
  const std::error_code error = co_await drop_active_l1();
  co_return Outcome<Next>{error, std::move(next)};
}

Task<Outcome<Snapshots::Next>> Snapshots::returned_to(SnapshotInfo info) {
  const uint64_t size = info.disk_size;
  Outcome<std::vector<uint64_t>> l1 = co_await read_l1(std::move(info));
  if (l1.error) co_return Outcome<Next>{l1.error};
  Next next{list_, std::move(l1.value), size};
  std::error_code error = co_await tree_.add_references(next.l1);
  std::vector<uint64_t> old = tables_.map.l1();
  if (!error) error = co_await tree_.drop_references(std::move(old));
  if (!error) error = co_await drop_active_l1();
  co_return Outcome<Next>{error, std::move(next)};
}

Task<std::error_code> Snapshots::remove(std::string id_or_name) {
  const SnapshotInfo* found = find(id_or_name);
  if (found == nullptr) co_return std::make_error_code(std::errc::no_such_file_or_directory);
  SnapshotInfo info = *found;
  const std::error_code error = co_await begin();
  if (error) co_return error;
  Outcome<Next> next = co_await without(std::move(info));
  co_return co_await publish(std::move(next));
}

Task<Outcome<Snapshots::Next>> Snapshots::without(SnapshotInfo info) {
  Outcome<std::vector<uint64_t>> l1 = co_await tree_.read_l1(info.l1_offset, info.l1_entries);
  if (l1.error) co_return Outcome<Next>{l1.error};
  Next next{list_, tables_.map.l1(), image_.header.size};
  std::erase(next.list, info);
  std::error_code error = co_await tree_.drop_references(std::move(l1.value));
  const uint64_t length = info.l1_entries * uint64_t{8};
  if (!error) error = co_await tables_.allocator.drop(info.l1_offset, length);
  if (!error) error = co_await drop_active_l1();
  co_return Outcome<Next>{error, std::move(next)};
}

}  // namespace vireo::blk::qcow2
