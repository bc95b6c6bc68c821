// The firmware configuration device (QEMU docs/specs/fw_cfg.rst): items by key, and files by name,
// that a BIOS reads through ports or by DMA. It tells the BIOS of memory, processors, the firmware
// tables and the order in which it tries disks.
//
// Threads: vCPUs touch the chip under one small mutex. Owns the items. A guest that asks for what
// there is not reads zeros; one whose DMA names no RAM, or more than kMostOfDma at once, is told of
// an error. A file that can be written is written as a whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/device.h"

namespace vireo::dev {

class FwCfgItems {
 public:
  using Bytes = std::vector<std::byte>;
  // On a vCPU's thread, with all bytes of the file. False: the guest is told of an error.
  using Write = std::function<bool(std::span<const std::byte> bytes)>;
  enum Key : uint16_t {
    kSignature = 0x00,
    kId = 0x01,
    kCpus = 0x05,  // le16
    kBootMenu = 0x0e,
    kMaxCpus = 0x0f,
    kDirectory = 0x19,
    kFirstFile = 0x20,
  };
  static constexpr size_t kMostOfName = 55;

  FwCfgItems();  // signature, identity and an empty directory

  void set(uint16_t key, Bytes bytes) { items_[key] = std::move(bytes); }
  // The names differ and have at most kMostOfName characters.
  void add_file(std::string_view name, Bytes bytes);
  // One of that size, which reads as zeros.
  void add_writable(std::string_view name, size_t size, Write write);

  // Nothing for a key that there is not.
  std::span<const std::byte> item(uint16_t key) const noexcept;
  // Of a file; nothing: there is none of that name.
  std::optional<uint16_t> key_of(std::string_view name) const noexcept;
  bool write(uint16_t key, std::span<const std::byte> bytes) const;

 private:
  std::map<uint16_t, Bytes> items_;
  std::map<uint16_t, Write> writable_;
  std::vector<std::string> files_;  // from kFirstFile on
  Bytes directory_;                 // without the count that it begins with
};

struct FwCfgState {
  static constexpr StateTag kTag{"fw-cfg", 1};
  uint16_t key = 0;
  uint32_t offset = 0;        // of the item's next byte; beyond its end, too
  uint32_t address_high = 0;  // of the DMA that comes
  bool was_reset = false;     // since power-on
  static void fields(auto& s, auto& archive) {
    archive("key", s.key)("offset", s.offset)("address_high", s.address_high)("was_reset",
                                                                              s.was_reset);
  }
  bool operator==(const FwCfgState&) const = default;
};

// The registers, as a pure model. Offsets are from layout::kPortFwCfg.
class FwCfgChip {
 public:
  using State = FwCfgState;
  static constexpr uint64_t kSelector = 0, kData = 1, kDmaHigh = 4, kDmaLow = 8, kPorts = 12;
  static constexpr uint32_t kMostOfDma = 16 << 20;

  FwCfgChip(GuestMemory& memory, const State& state) : memory_(memory), state_(state) {}
  const State& state() const noexcept { return state_; }
  void reset() noexcept { state_ = {.was_reset = true}; }

  void read(const FwCfgItems& items, uint64_t offset, std::span<std::byte> out);
  void write(const FwCfgItems& items, uint64_t offset, std::span<const std::byte> in);

 private:
  void select(uint16_t key) noexcept;
  void copy_next(const FwCfgItems& items, std::span<std::byte> out) noexcept;
  void skip(uint32_t length) noexcept;
  void dma(const FwCfgItems& items, uint64_t address);
  bool take_written(const FwCfgItems& items, uint64_t address, uint32_t length);
  bool transfer(const FwCfgItems& items, uint32_t control, uint32_t length, uint64_t address);

  GuestMemory& memory_;
  State state_;
};

class FwCfg final : public Device, private IoHandler {
 public:
  using State = FwCfgState;
  // Called when the machine starts, with all devices in it, and at each reset. `first`: it was not
  // reset since power-on.
  using Contents = std::function<FwCfgItems(bool first)>;

  FwCfg(std::string name, DeviceEnv& env, Contents contents, const State& state = {});

  const std::string& name() const noexcept override { return name_; }
  void start() override;
  Task<void> stop() override;
  void reset() override;
  void save(StateWriter& writer) const override;

 private:
  void io_read(uint64_t offset, std::span<std::byte> out) override;
  void io_write(uint64_t offset, std::span<const std::byte> in) override;

  const std::string name_;
  const Contents contents_;
  FwCfgItems items_;  // constant while vCPUs run
  bool filled_ = false;
  mutable std::mutex mutex_;
  FwCfgChip chip_;  // guarded by mutex_
  Bus::Region ports_;
};

}  // namespace vireo::dev
