// Zeroing, discarding, preallocation and compressed writes: the parts of Writer that change entries
// without writing guest bytes in place.
#include <algorithm>

#include <fmt/core.h>

#include "blockdev/format/qcow2/writer.h"

namespace vireo::blk::qcow2 {

namespace {

constexpr uint64_t kZeroChunk = 2 * 1024 * 1024;

}  // namespace

Task<std::error_code> Writer::write_zeros(uint64_t guest, uint64_t length, Change how) {
  if (how != Change::hold) {
    const Outcome<bool> zero = co_await reader_.reads_zero(guest, length);
    if (zero.error || zero.value) co_return zero.error;
  }
  std::error_code error;
  for (uint64_t done = 0; done < length && !error;) {
    const uint64_t some = std::min(length - done, kZeroChunk);
    IoVecs from = zero_vectors(some);
    error = co_await write(guest + done, std::move(from));
    done += some;
  }
  co_return error;
}

// Said by the map and by what lies below.
Task<bool> Writer::shows_zeros(uint64_t guest, uint64_t end) {
  while (guest < end) {
    const Extent extent = co_await reader_.extent(guest, end - guest);
    if (!extent.zero) co_return false;
    guest += extent.length;
  }
  co_return true;
}

// Less than a granule at either end. A cluster that is not allocated and in which the backing image
// shows nothing but zeros becomes one of zeros as a whole, which takes no space.
Task<std::error_code> Writer::zero_some(uint64_t guest, uint64_t end, Change how) {
  const uint64_t cluster = geometry_.cluster_size();
  const bool whole =
      how != Change::hold && geometry_.zero_flag && !geometry_.extended_l2 && image_.has_backing();
  std::error_code error;
  while (guest < end && !error) {
    const uint64_t base = align_down(guest, cluster), next = std::min(base + cluster, end);
    if (whole && co_await shows_zeros(base, base + cluster))
      error = co_await change(base, cluster, Change::zero_unallocated);
    if (!error) error = co_await write_zeros(guest, next - guest, how);  // unless it is zero now
    guest = next;
  }
  co_return error;
}

// Granules of one cluster that are not all of it. A compressed cluster cannot be zero in part.
Task<std::error_code> Writer::zero_part(uint64_t guest, uint64_t length, Change how) {
  const Outcome<EntryRange> found = co_await map_.entries(guest >> geometry_.cluster_bits, 1);
  if (found.error) co_return found.error;
  if (found.value.entries.front().compressed()) co_return co_await write_zeros(guest, length, how);
  co_return co_await change(guest, length, how);
}

// Both ends are granules.
Task<std::error_code> Writer::zero_granules(uint64_t guest, uint64_t end, Change how) {
  const uint64_t cluster = geometry_.cluster_size();
  const uint64_t inner = std::min(align_up(guest, cluster), end);
  const uint64_t inner_end = std::max(inner, align_down(end, cluster));
  std::error_code error;
  if (guest < inner) error = co_await zero_part(guest, inner - guest, how);
  if (!error && inner < inner_end) error = co_await change(inner, inner_end - inner, how);
  if (!error && inner_end < end) error = co_await zero_part(inner_end, end - inner_end, how);
  co_return error;
}

Writer::Change Writer::change_of(ZeroFlags flags) const noexcept {
  if (flags.hold) return Change::hold;
  return flags.may_unmap || !geometry_.zero_flag ? Change::zero_and_unmap : Change::zero;
}

// What is not allocated would show a backing image.
bool Writer::needs_zeros(Change how) const noexcept {
  return how == Change::hold || image_.has_backing();
}

Task<std::error_code> Writer::zero(uint64_t guest, uint64_t length, ZeroFlags flags) {
  const Change how = change_of(flags);
  // Version 2 cannot say "zero"; without a backing image "unallocated" means the same.
  if (!geometry_.zero_flag && needs_zeros(how)) co_return co_await write_zeros(guest, length, how);
  const uint64_t granule = geometry_.granule();
  const uint64_t end = guest + length;
  const uint64_t inner = std::min(align_up(guest, granule), end);
  // The end of the disk counts as the end of its last cluster.
  const bool to_the_end = end >= image_.header.size;
  const uint64_t inner_end =
      to_the_end ? align_up(end, geometry_.cluster_size()) : align_down(end, granule);
  if (inner >= inner_end || inner >= end) co_return co_await zero_some(guest, end, how);
  std::error_code error;
  if (guest < inner) error = co_await zero_some(guest, inner, how);
  if (!error) error = co_await zero_granules(inner, inner_end, how);
  if (!error && inner_end < end) error = co_await zero_some(inner_end, end, how);
  co_return error;
}

Task<std::error_code> Writer::discard(uint64_t guest, uint64_t length) {
  // Version 2 with a backing image: discarded clusters would show what the backing image holds.
  if (!geometry_.zero_flag && image_.has_backing()) co_return std::error_code{};
  const uint64_t cluster = geometry_.cluster_size();
  const uint64_t end = guest + length;
  const uint64_t inner = align_up(guest, cluster);
  const uint64_t inner_end =
      end >= image_.header.size ? align_up(end, cluster) : align_down(end, cluster);
  if (inner >= inner_end || inner >= end) co_return std::error_code{};
  co_return co_await change(inner, inner_end - inner, Change::zero_and_unmap);
}

Task<std::error_code> Writer::change(uint64_t guest, uint64_t length, Change how) {
  std::error_code error;
  for (uint64_t done = 0; done < length && !error;) {
    if (image_.is_corrupt()) co_return io_error();
    const uint64_t nothing = unchanged_by_zeroing(guest + done, length - done, how);
    done += nothing;
    if (nothing > 0) continue;
    const Outcome<uint64_t> some = co_await change_some(guest + done, length - done, how);
    error = some.error;
    done += some.value;
  }
  co_return error;
}

// A missing L2 table without a backing image reads as zeros already: as far as the table reaches.
uint64_t Writer::unchanged_by_zeroing(uint64_t guest, uint64_t length, Change how) const noexcept {
  if (needs_zeros(how) || image_.header.raw_data_file()) return 0;
  if (map_.table_offset(geometry_.l1_index(guest)) != 0) return 0;
  const uint64_t coverage = geometry_.l2_coverage();
  return std::min(length, coverage - guest % coverage);
}

// `mask`: the subclusters concerned, all 32 of them without extended entries.
L2Entry Writer::zeroed(const L2Entry& old, uint64_t mask, Change how) const noexcept {
  if (old == L2Entry{} && !needs_zeros(how)) return old;
  if (old != L2Entry{} && how == Change::zero_unallocated) return old;
  if (!geometry_.zero_flag) return {};
  const bool keep = how != Change::zero_and_unmap && old.has_host(geometry_) &&
                    (old.copied() || geometry_.data_file);
  if (!geometry_.extended_l2) return {keep ? old.descriptor | kZeroFlag : kZeroFlag, 0};
  if (mask == kAllSubclusters) return {keep ? old.descriptor : 0, mask << 32};
  if (old.compressed()) return old;  // written anew while we looked: that write comes later
  return {old.descriptor, (old.bitmap & ~mask) | (mask << 32)};
}

// Changes as much from the start as can be done at once; 0 bytes mean: look again.
Task<Outcome<uint64_t>> Writer::change_some(uint64_t guest, uint64_t length, Change how) {
  const uint64_t first = guest >> geometry_.cluster_bits;
  const uint64_t last = (guest + length - 1) >> geometry_.cluster_bits;
  const uint64_t count = claims_.free_from(first, last - first + 1);
  if (count == 0) {
    co_await claims_.released(first);
    co_return Outcome<uint64_t>{};
  }
  const Claims::Claim claim(claims_, first, count);
  Outcome<EntryRange> found = co_await map_.entries(first, count);
  if (found.error) co_return Outcome<uint64_t>{found.error};
  EntryRange range = std::move(found.value);
  bool differs = false;
  const uint64_t end = guest + length;
  for (size_t i = 0; i < range.entries.size(); ++i) {
    const uint64_t base = (first + i) << geometry_.cluster_bits;
    const uint64_t from = (std::max(base, guest) - base) / geometry_.granule();
    const uint64_t to =
        (std::min(base + geometry_.cluster_size(), end) - base) / geometry_.granule();
    const uint64_t mask = geometry_.extended_l2 ? subcluster_bits(from, to) : kAllSubclusters;
    const L2Entry now = zeroed(range.entries[i], mask, how);
    differs = differs || !(now == range.entries[i]);
    range.entries[i] = now;
  }
  const uint64_t reached = (first + range.entries.size()) << geometry_.cluster_bits;
  const uint64_t done = std::min(reached, end) - guest;
  std::error_code error;
  if (image_.data) error = co_await zero_data_file(guest, done, how);
  if (!error && differs) error = co_await map_.prepare_table(guest);
  if (!error && differs) error = co_await map_.replace(std::move(range));
  co_return Outcome<uint64_t>{error, error ? 0 : done};
}

// A raw data file must show the zeros by itself; another one only gives space back.
Task<std::error_code> Writer::zero_data_file(uint64_t guest, uint64_t length, Change how) {
  if (guest >= image_.data->size()) co_return std::error_code{};
  length = std::min(length, image_.data->size() - guest);
  const bool unmap = how == Change::zero_and_unmap;
  if (image_.header.raw_data_file())
    co_return co_await image_.data->node().zero(guest, length, ZeroFlags{.may_unmap = unmap});
  if (unmap) {
    [[maybe_unused]] const std::error_code hint =
        co_await image_.data->node().discard(guest, length);
  }
  co_return std::error_code{};
}

Task<std::error_code> Writer::preallocate(uint64_t guest, uint64_t length, Preallocation how) {
  std::error_code error;
  for (uint64_t done = 0; done < length && !error;) {
    const Outcome<uint64_t> some = co_await preallocate_some(guest + done, length - done, how);
    error = some.error;
    done += some.value;
  }
  co_return error;
}

Task<Outcome<uint64_t>> Writer::preallocate_some(uint64_t guest, uint64_t length,
                                                 Preallocation how) {
  const uint64_t cluster = geometry_.cluster_size();
  const uint64_t first = guest >> geometry_.cluster_bits;
  const uint64_t last = (guest + length - 1) >> geometry_.cluster_bits;
  Outcome<EntryRange> found = co_await map_.entries(first, last - first + 1);
  if (found.error) co_return Outcome<uint64_t>{found.error};
  EntryRange range = std::move(found.value);
  size_t count = 0;
  while (count < range.entries.size() && range.entries[count] == L2Entry{}) ++count;
  if (count == 0) co_return Outcome<uint64_t>{{}, std::min(length, cluster - guest % cluster)};
  std::error_code error = co_await map_.prepare_table(guest);
  Outcome<Run> run{{}, Run{first << geometry_.cluster_bits, count, false}};
  if (!error && !image_.data) run = co_await tables_.allocator.allocate(count);
  if (!error) error = run.error;
  if (error) co_return Outcome<uint64_t>{error};
  range.entries.resize(run.value.clusters);
  error = co_await fill(run.value, how);
  // With a backing image the subclusters stay unallocated: it must go on showing through.
  const uint64_t bitmap = geometry_.extended_l2 && !image_.has_backing() ? kAllSubclusters : 0;
  for (size_t i = 0; i < range.entries.size(); ++i)
    range.entries[i] = {(run.value.offset + i * cluster) | kCopied, bitmap};
  if (!error) error = co_await map_.replace(std::move(range));
  co_return Outcome<uint64_t>{error,
                              std::min(length, ((first + run.value.clusters) * cluster) - guest)};
}

// Gives host clusters the content and the space on the host that preallocation promises.
Task<std::error_code> Writer::fill(Run run, Preallocation how) {
  const uint64_t bytes = run.clusters << geometry_.cluster_bits;
  std::error_code error = co_await guest_file_.reserve(run.offset + bytes, false);
  if (error) co_return error;
  if (how == Preallocation::falloc ||
      (how == Preallocation::metadata && !run.zeros && !image_.data))
    co_return co_await guest_file_.node().zero(run.offset, bytes, ZeroFlags{});
  if (how == Preallocation::metadata) co_return error;
  for (uint64_t done = 0; done < bytes && !error;) {
    const uint64_t some = std::min(bytes - done, kZeroChunk);
    IoVecs from = zero_vectors(some);
    error = co_await guest_file_.write(run.offset + done, std::move(from));
    done += some;
  }
  co_return error;
}

// Compressed pieces lie at any byte. Where the file has blocks, neighbours share them.
Task<std::error_code> Writer::write_bytes(uint64_t offset, std::span<const std::byte> bytes) {
  const uint64_t block = image_.file.node().limits().block;
  const uint64_t start = align_down(offset, block);
  Buffer window(align_up(offset + bytes.size(), block) - start);
  if (block == 1) {
    std::memcpy(window.data(), bytes.data(), bytes.size());
    co_return co_await image_.file.write(offset, window);
  }
  const AsyncMutex::Guard guard = co_await packing_.lock();
  std::error_code error = co_await image_.file.read(start, window);
  if (error) co_return error;
  std::memcpy(window.data() + (offset - start), bytes.data(), bytes.size());
  co_return co_await image_.file.write(start, window);
}

// Stores a compressed cluster; false: look again, somebody else changes the cluster.
Task<Outcome<bool>> Writer::store_compressed(uint64_t guest, std::span<const std::byte> packed) {
  const uint64_t cluster = guest >> geometry_.cluster_bits;
  if (claims_.free_from(cluster, 1) == 0) {
    co_await claims_.released(cluster);
    co_return Outcome<bool>{};
  }
  const Claims::Claim claim(claims_, cluster, 1);
  std::error_code error = image_.is_corrupt() ? io_error() : std::error_code{};
  if (!error) error = co_await map_.prepare_table(guest);
  if (error) co_return Outcome<bool>{error};
  const Outcome<uint64_t> place = co_await tables_.allocator.allocate_bytes(packed.size());
  if (place.error) co_return Outcome<bool>{place.error};
  error = co_await write_bytes(place.value, packed);
  const uint64_t descriptor = encode_compressed(place.value, packed.size(), geometry_.cluster_bits);
  EntryRange now{cluster, {L2Entry{descriptor, 0}}};
  if (!error) error = co_await map_.replace(std::move(now));
  if (error) {
    [[maybe_unused]] const std::error_code leak =
        co_await tables_.allocator.free_unused(place.value, packed.size());
  }
  co_return Outcome<bool>{error, true};
}

Task<std::error_code> Writer::write_compressed(uint64_t guest, IoVecs from) {
  if (geometry_.data_file) co_return Refusal::data_file_without_compression;
  Buffer joined;
  std::span<const std::byte> plain{static_cast<const std::byte*>(from.front().iov_base),
                                   from.front().iov_len};
  if (plain.size() != geometry_.cluster_size()) {
    joined = Buffer::zeros(geometry_.cluster_size());
    copy_from(joined.bytes(), from);
    plain = joined.bytes();
  }
  const Compression type = image_.header.compression;
  auto work = [type, plain] { return compress(type, plain, plain.size() - 1); };
  std::optional<std::vector<std::byte>> packed =
      co_await offload(image_.host.pool, image_.host.loop, work);
  if (!packed) co_return co_await write(guest, std::move(from));
  Outcome<bool> stored;
  while (!stored.error && !stored.value)
    stored = co_await store_compressed(guest, std::span<const std::byte>(*packed));
  co_return stored.error;
}

}  // namespace vireo::blk::qcow2
