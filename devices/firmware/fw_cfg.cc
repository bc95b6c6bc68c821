#include "devices/firmware/fw_cfg.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo::dev {

namespace {

constexpr std::array<char, 4> kQemu{'Q', 'E', 'M', 'U'};
constexpr std::array<char, 8> kDmaSignature{'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'};
constexpr uint32_t kTraditional = 1, kHasDma = 2;
constexpr uint16_t kWriteKey = 0x4000;  // an old way to write, which does nothing

struct DirectoryEntry {
  be32 size;
  be16 key;
  be16 reserved;
  std::array<char, 56> name{};
};
static_assert(sizeof(DirectoryEntry) == 64);

struct DmaAccess {
  be32 control, length;
  be64 address;
};
enum DmaControl : uint32_t { kError = 1, kRead = 2, kSkip = 4, kSelect = 8, kWrite = 16 };

template <class T>
FwCfgItems::Bytes vector_of(const T& value) {
  const auto bytes = bytes_of(value);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

// --- items ---

FwCfgItems::FwCfgItems() {
  set(kSignature, vector_of(kQemu));
  set(kId, vector_of(le32(kTraditional | kHasDma)));
  set(kDirectory, vector_of(be32(0)));
}

void FwCfgItems::add_file(std::string_view name, Bytes bytes) {
  VMM_CHECK(name.size() <= kMostOfName && !key_of(name), "files have short names of their own");
  const auto key = static_cast<uint16_t>(kFirstFile + files_.size());
  DirectoryEntry entry{.size = static_cast<uint32_t>(bytes.size()), .key = key};
  std::copy(name.begin(), name.end(), entry.name.begin());
  files_.emplace_back(name);
  set(key, std::move(bytes));
  ByteWriter directory;
  directory.put(directory_);
  directory.put(entry);
  directory_ = directory.take();
  directory.put(be32(static_cast<uint32_t>(files_.size())));
  directory.put(directory_);
  set(kDirectory, directory.take());
}

std::span<const std::byte> FwCfgItems::item(uint16_t key) const noexcept {
  const auto found = items_.find(key);
  return found == items_.end() ? std::span<const std::byte>() : found->second;
}

void FwCfgItems::add_writable(std::string_view name, size_t size, Write write) {
  add_file(name, Bytes(size));
  writable_[key_of(name).value()] = std::move(write);
}

bool FwCfgItems::write(uint16_t key, std::span<const std::byte> bytes) const {
  const auto found = writable_.find(key);
  return found != writable_.end() && bytes.size() == item(key).size() && found->second(bytes);
}

std::optional<uint16_t> FwCfgItems::key_of(std::string_view name) const noexcept {
  const auto found = std::find(files_.begin(), files_.end(), name);
  if (found == files_.end()) return std::nullopt;
  return static_cast<uint16_t>(kFirstFile + (found - files_.begin()));
}

// --- chip ---

void FwCfgChip::select(uint16_t key) noexcept {
  state_.key = static_cast<uint16_t>(key & ~kWriteKey);
  state_.offset = 0;
}

void FwCfgChip::skip(uint32_t length) noexcept {
  const uint32_t room = std::numeric_limits<uint32_t>::max() - state_.offset;
  state_.offset += std::min(length, room);
}

void FwCfgChip::copy_next(const FwCfgItems& items, std::span<std::byte> out) noexcept {
  const auto item = items.item(state_.key);
  const auto rest = item.subspan(std::min<size_t>(state_.offset, item.size()));
  const size_t count = std::min(rest.size(), out.size());
  std::copy_n(rest.begin(), count, out.begin());
  std::fill(out.begin() + static_cast<ptrdiff_t>(count), out.end(), std::byte{0});
  skip(static_cast<uint32_t>(out.size()));
}

void FwCfgChip::read(const FwCfgItems& items, uint64_t offset, std::span<std::byte> out) {
  if (offset == kData && out.size() == 1) copy_next(items, out);
  if (offset >= kDmaHigh && offset + out.size() <= kPorts)
    std::ranges::copy(
        std::as_bytes(std::span(kDmaSignature)).subspan(offset - kDmaHigh, out.size()),
        out.begin());
}

void FwCfgChip::write(const FwCfgItems& items, uint64_t offset, std::span<const std::byte> in) {
  ByteReader reader(in);
  if (offset == kSelector && in.size() == 2) return select(reader.get<le16>());
  if (in.size() != 4) return;
  if (offset == kDmaHigh) state_.address_high = reader.get<be32>();
  if (offset == kDmaLow)
    dma(items, uint64_t{std::exchange(state_.address_high, 0)} << 32 | reader.get<be32>());
}

// The guest learns of the end by the control field.
void FwCfgChip::dma(const FwCfgItems& items, uint64_t address) {
  const auto access = memory_.read<DmaAccess>(address);
  if (!access) return;
  const bool done = transfer(items, access->control, access->length, access->address);
  (void)memory_.write(address, be32(done ? 0U : uint32_t{kError}));
}

// A copy of the bytes, which other vCPUs may change meanwhile.
bool FwCfgChip::take_written(const FwCfgItems& items, uint64_t address, uint32_t length) {
  if (state_.offset != 0 || length != items.item(state_.key).size()) return false;
  FwCfgItems::Bytes bytes(length);
  if (!memory_.read(address, bytes) || !items.write(state_.key, bytes)) return false;
  skip(length);
  return true;
}

bool FwCfgChip::transfer(const FwCfgItems& items, uint32_t control, uint32_t length,
                         uint64_t address) {
  if ((control & kSelect) != 0) select(static_cast<uint16_t>(control >> 16));
  if ((control & kRead) != 0) {
    const auto to = memory_.range(address, length);
    if (!to || length > kMostOfDma) return false;
    copy_next(items, *to);
    return true;
  }
  if ((control & kWrite) != 0) return take_written(items, address, length);
  if ((control & kSkip) != 0) skip(length);
  return true;
}

// --- board ---

FwCfg::FwCfg(std::string name, DeviceEnv& env, Contents contents, const State& state)
    : name_(std::move(name)), contents_(std::move(contents)), chip_(env.platform.memory, state) {
  constexpr uint16_t kPort = layout::kPortFwCfg;
  ports_ = env.platform.pio.map({kPort, FwCfgChip::kPorts}, *this, name_);
  env.platform.acpi.add({.name = "FWCF",
                         .hid = "QEMU0002",
                         .address = kPort,
                         .length = FwCfgChip::kPorts,
                         .resources = {aml::io_ports(kPort, FwCfgChip::kPorts)}});
}

void FwCfg::start() {
  if (!std::exchange(filled_, true)) items_ = contents_(!chip_.state().was_reset);
}

Task<void> FwCfg::stop() {
  co_return;
}

void FwCfg::reset() {
  const std::lock_guard lock(mutex_);
  chip_.reset();
  items_ = contents_(false);
}

void FwCfg::save(StateWriter& writer) const {
  const std::lock_guard lock(mutex_);
  writer.put(name_, chip_.state());
}

void FwCfg::io_read(uint64_t offset, std::span<std::byte> out) {
  const std::lock_guard lock(mutex_);
  chip_.read(items_, offset, out);
}

void FwCfg::io_write(uint64_t offset, std::span<const std::byte> in) {
  const std::lock_guard lock(mutex_);
  chip_.write(items_, offset, in);
}

}  // namespace vireo::dev
