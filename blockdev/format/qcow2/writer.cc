#include "blockdev/format/qcow2/writer.h"

#include <algorithm>
#include <bit>

#include <fmt/core.h>

namespace vireo::blk::qcow2 {

namespace {

constexpr size_t kParallelPieces = 16;

}  // namespace

Writer::Writer(Image& image, Tables& tables, Reader& reader)
    : image_(image),
      tables_(tables),
      map_(tables.map),
      reader_(reader),
      guest_file_(image.guest_file()),
      geometry_(image.geometry) {}

// An entry leads in place to a table, or to where the file has no cluster (the file may have been
// cut).
bool Writer::must_not_write(uint64_t host, uint64_t length) const noexcept {
  if (image_.data) return false;
  return image_.is_metadata(host, length) || !image_.file.contains(host, 1);
}

bool Writer::needs_cluster(const L2Entry& entry) const noexcept {
  if (geometry_.data_file) return false;
  return !entry.has_host(geometry_) || !entry.copied();
}

bool Writer::valid(const L2Entry& entry) const noexcept {
  if (!geometry_.extended_l2 || entry.compressed())
    return entry.kind(geometry_, 0) != Kind::invalid;
  if (geometry_.in_cluster(entry.host()) != 0) return false;
  if (entry.allocated_bits() & entry.zero_bits()) return false;
  return entry.allocated_bits() == 0 || entry.has_host(geometry_);
}

// Sure to read as zeros wherever it is not written.
bool Writer::known_zero(const L2Entry& entry) const noexcept {
  if (entry.compressed()) return false;
  if (geometry_.extended_l2) return entry.allocated_bits() == 0 && !image_.has_backing();
  const Kind kind = entry.kind(geometry_, 0);
  return kind == Kind::zero || (kind == Kind::unallocated && !image_.has_backing());
}

void Writer::plan_new(Plan& plan) const {
  std::vector<L2Entry>& old = plan.old.entries;
  size_t count = 1;
  while (count < old.size() && needs_cluster(old[count]) && valid(old[count])) ++count;
  old.resize(count);
  shorten(plan, count);
  if (!geometry_.extended_l2) return;
  // What the old clusters hold moves with them, in one stretch with the written part.
  const auto stretch = [&](const L2Entry& entry, uint64_t cluster) {
    const uint64_t base = cluster << geometry_.cluster_bits;
    const uint32_t held = entry.compressed() ? ~0u : entry.allocated_bits();
    if (held == 0) return;
    const auto first = static_cast<uint64_t>(std::countr_zero(held));
    const auto end = static_cast<uint64_t>(32 - std::countl_zero(held));
    plan.start = std::min(plan.start, base + first * geometry_.granule());
    plan.end = std::max(plan.end, base + end * geometry_.granule());
  };
  stretch(old.front(), plan.old.first_cluster);
  stretch(old.back(), plan.old.first_cluster + count - 1);
}

void Writer::plan_in_place(Plan& plan) const {
  std::vector<L2Entry>& old = plan.old.entries;
  const uint64_t cluster = geometry_.cluster_size();
  const uint64_t base = align_down(plan.guest, cluster);
  plan.in_place = true;
  plan.host = geometry_.data_file ? base : old.front().host();
  if (geometry_.extended_l2) {  // up to the next subcluster that is allocated
    const uint64_t first = (plan.guest - base) / geometry_.granule();
    const uint32_t later = old.front().allocated_bits() >> first;
    const uint64_t end =
        later == 0 ? kSubclusters : first + static_cast<uint64_t>(std::countr_zero(later));
    old.resize(1);
    const uint64_t stop = base + end * geometry_.granule();
    plan.length = std::min(plan.length, stop > plan.guest ? stop - plan.guest : 0);
    plan.end = std::min(plan.end, stop);
    return;
  }
  size_t count = 0;
  while (count < old.size() && fills(old[count], plan.host + count * cluster)) ++count;
  old.resize(count);
  shorten(plan, count);
  // Data beside what is written stays as it is.
  if (old.front().kind(geometry_, 0) == Kind::data) plan.start = plan.guest;
  if (old.back().kind(geometry_, 0) == Kind::data) plan.end = plan.guest + plan.length;
}

// The entry has the place at `host`, whether it holds data already or not.
bool Writer::fills(const L2Entry& entry, uint64_t host) const noexcept {
  return !needs_cluster(entry) && valid(entry) && (geometry_.data_file || entry.host() == host);
}

// Behind a run that is overwritten lies a cluster without data whose place follows: both are
// written at once.
Task<Outcome<bool>> Writer::continues(uint64_t guest, uint64_t host) {
  if (geometry_.extended_l2 || geometry_.in_cluster(guest) != 0) co_return Outcome<bool>{};
  const Outcome<EntryRange> next = co_await map_.entries(guest >> geometry_.cluster_bits, 1);
  if (next.error) co_return Outcome<bool>{next.error};
  const L2Entry& entry = next.value.entries.front();
  co_return Outcome<bool>{{}, fills(entry, host) && entry.kind(geometry_, 0) != Kind::data};
}

void Writer::shorten(Plan& plan, uint64_t clusters) const {
  const uint64_t end = (plan.old.first_cluster + clusters) << geometry_.cluster_bits;
  plan.length = std::min(plan.length, end > plan.guest ? end - plan.guest : 0);
  plan.end = std::min(plan.end, end);
}

Writer::Plan Writer::plan(uint64_t guest, uint64_t length, EntryRange old) const {
  Plan plan{.guest = guest,
            .length = length,
            .start = align_down(guest, geometry_.granule()),
            .end = align_up(guest + length, geometry_.granule()),
            .old = std::move(old)};
  if (needs_cluster(plan.old.entries.front()))
    plan_new(plan);
  else
    plan_in_place(plan);
  return plan;
}

// The entries as they are when the data is there.
EntryRange Writer::linked(const Plan& plan) const {
  EntryRange range{plan.old.first_cluster, {}};
  const uint64_t cluster = geometry_.cluster_size();
  for (size_t i = 0; i < plan.old.entries.size(); ++i) {
    L2Entry entry{(plan.host + i * cluster) | kCopied, 0};
    if (geometry_.extended_l2) {
      const uint64_t base = (range.first_cluster + i) << geometry_.cluster_bits;
      const uint64_t first = plan.start > base ? (plan.start - base) / geometry_.granule() : 0;
      const uint64_t end =
          std::min<uint64_t>(kSubclusters, (plan.end - base) / geometry_.granule());
      const uint64_t covered = subcluster_bits(first, end);
      const L2Entry& old = plan.old.entries[i];
      entry.bitmap = ((old.compressed() ? 0 : old.bitmap) & ~(covered << 32)) | covered;
    }
    range.entries.push_back(entry);
  }
  return range;
}

Task<std::error_code> Writer::write(uint64_t guest, IoVecs from) {
  const uint64_t length = total_length(from);
  Gather gather(kParallelPieces);
  std::error_code error;
  for (uint64_t done = 0; done < length && !error && !gather.error();) {
    const Outcome<Mapping> run = co_await map_.lookup(guest + done, length - done);
    error = image_.is_corrupt() ? io_error() : run.error;
    if (error) break;
    if (run.value.kind == Kind::data && run.value.in_place) {
      if (must_not_write(run.value.host, run.value.length)) {
        std::string why = fmt::format("guest offset {:#x} is mapped to {:#x}, which cannot be data",
                                      guest + done, run.value.host);
        error = co_await image_.corrupt(std::move(why));
        break;
      }
      const uint64_t end = done + run.value.length;
      Outcome<bool> more;
      if (end < length) more = co_await continues(guest + end, run.value.host + run.value.length);
      error = more.error;
      if (error) break;
      if (!more.value) {
        IoVecs part = slice(from, done, run.value.length);
        Task<std::error_code> task = write_bytes(run.value.host, std::move(part));
        co_await gather.add(std::move(task));
        done = end;
        continue;
      }
    }
    IoVecs rest = slice(from, done, length - done);
    const Outcome<uint64_t> some = co_await write_allocating(guest + done, std::move(rest));
    error = some.error;
    done += some.value;
  }
  const std::error_code first = co_await gather.done();
  co_return error ? error : first;
}

Task<std::error_code> Writer::write_bytes(uint64_t host, IoVecs from) {
  Task<std::error_code> request = guest_file_.write(host, std::move(from));
  return after(image_.file.debugger(), DebugEvent::write_aio, std::move(request));
}

// Writes as much from the start as can be done at once; 0 bytes mean: look again.
Task<Outcome<uint64_t>> Writer::write_allocating(uint64_t guest, IoVecs from) {
  const uint64_t length = total_length(from);
  const uint64_t first = guest >> geometry_.cluster_bits;
  const uint64_t last = (guest + length - 1) >> geometry_.cluster_bits;
  const uint64_t count = claims_.free_from(first, last - first + 1);
  if (count == 0) {
    co_await claims_.released(first);
    co_return Outcome<uint64_t>{};
  }
  const Claims::Claim claim(claims_, first, count);
  Outcome<EntryRange> old = co_await map_.entries(first, count);
  if (old.error) co_return Outcome<uint64_t>{old.error};
  if (!valid(old.value.entries.front())) {
    std::string why = fmt::format("the L2 entry of guest offset {:#x} is impossible", guest);
    const std::error_code error = co_await image_.corrupt(std::move(why));
    co_return Outcome<uint64_t>{error};
  }
  const uint64_t claimed_end = (first + old.value.entries.size()) << geometry_.cluster_bits;
  Plan doing = plan(guest, std::min(length, claimed_end - guest), std::move(old.value));
  if (doing.length == 0) co_return Outcome<uint64_t>{};
  if (doing.in_place && must_not_write(doing.host, doing.end - doing.start)) {
    std::string why = fmt::format("guest offset {:#x} is mapped to {:#x}, which cannot be data",
                                  guest, doing.host);
    const std::error_code error = co_await image_.corrupt(std::move(why));
    co_return Outcome<uint64_t>{error};
  }
  std::error_code error = co_await map_.prepare_table(guest);
  if (!error) error = co_await find_place(doing);
  if (error) co_return Outcome<uint64_t>{error};
  IoVecs part = doing.length == length ? std::move(from) : slice(from, 0, doing.length);
  error = co_await write_data(doing, std::move(part));
  if (!error) {
    EntryRange now = linked(doing);
    error = co_await map_.replace(std::move(now));
  }
  if (error && !doing.in_place) {
    const uint64_t bytes = doing.old.entries.size() << geometry_.cluster_bits;
    [[maybe_unused]] const std::error_code leak =
        co_await tables_.allocator.free_unused(doing.host, bytes);
  }
  co_return Outcome<uint64_t>{error, error ? 0 : doing.length};
}

Task<std::error_code> Writer::find_place(Plan& plan) {
  if (plan.in_place) co_return std::error_code{};
  const uint64_t wanted = plan.old.entries.size();
  Outcome<Run> run;
  if (const std::optional<Run> now = tables_.allocator.allocate_now(wanted))
    run.value = *now;
  else
    run = co_await tables_.allocator.allocate(wanted);
  if (run.error) co_return run.error;
  plan.host = run.value.offset;
  plan.zeros = run.value.zeros;
  if (run.value.clusters < wanted) {
    plan.old.entries.resize(run.value.clusters);
    shorten(plan, run.value.clusters);
  }
  co_return std::error_code{};
}

// The bytes of a range as they read now; an empty buffer when they are zeros and not `needed`.
Task<Outcome<Buffer>> Writer::copied(uint64_t guest, uint64_t length, const L2Entry& old,
                                     bool needed) {
  bool zeros = length == 0 || known_zero(old);
  if (!zeros) {
    const Outcome<bool> found = co_await reader_.reads_zero(guest, length);
    if (found.error) co_return Outcome<Buffer>{found.error};
    zeros = found.value;
  }
  if (zeros && (!needed || length == 0)) co_return Outcome<Buffer>{};
  if (zeros) co_return Outcome<Buffer>{{}, Buffer::zeros(length)};
  Buffer bytes(length);
  IoVecs into{bytes.vector()};
  if (Debugger* const debugger = image_.file.debugger())
    co_await debugger->at(DebugEvent::cow_read);
  const std::error_code error = co_await reader_.read(guest, std::move(into));
  co_return Outcome<Buffer>{error, std::move(bytes)};
}

// The guest's bytes and what has to be copied around them, in one request. The copies' memory is
// bounded: clusters may be large, and requests many.
Task<std::error_code> Writer::write_data(const Plan& plan, IoVecs from) {
  const uint64_t base = plan.old.first_cluster << geometry_.cluster_bits;
  const uint64_t tail_at = plan.guest + plan.length;
  if (plan.start == plan.guest && plan.end == tail_at)
    co_return co_await write_bytes(plan.host + (plan.guest - base), std::move(from));
  co_await copies_.acquire();
  const Semaphore::Place place(copies_);
  Outcome<Buffer> head, tail;
  if (plan.start < plan.guest) {
    head =
        co_await copied(plan.start, plan.guest - plan.start, plan.old.entries.front(), !plan.zeros);
    if (head.error) co_return head.error;
  }
  if (tail_at < plan.end) {
    tail = co_await copied(tail_at, plan.end - tail_at, plan.old.entries.back(), !plan.zeros);
    if (tail.error) co_return tail.error;
  }
  uint64_t at = plan.guest;
  if (head.value.size() > 0) {
    from.insert(from.begin(), head.value.vector());
    at = plan.start;
  }
  if (tail.value.size() > 0) from.push_back(tail.value.vector());
  if (head.value.size() > 0 || tail.value.size() > 0) tables_.data_copied();
  co_return co_await write_bytes(plan.host + (at - base), std::move(from));
}

}  // namespace vireo::blk::qcow2
