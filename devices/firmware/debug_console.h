// The port (0x402) to which a BIOS writes its messages, which become lines of the log at level
// debug; that there is nothing to start is a warning. Reads give 0xe9, by which the BIOS knows that
// somebody listens. How many lines are logged is bounded by the log itself (vmm/base/log.h).
//
// Thread: any vCPU, under one small mutex.
#pragma once

#include <mutex>
#include <string>

#include "devices/legacy/byte_registers.h"
#include "vmm/device.h"

namespace vireo::dev {

struct DebugConsoleState {
  static constexpr StateTag kTag{"debug-console", 1};
  std::string line{};  // as far as it was written
  static void fields(auto& s, auto& archive) { archive("line", s.line); }
  bool operator==(const DebugConsoleState&) const = default;
};

class DebugConsole final : public Device, private ByteRegisters {
 public:
  using State = DebugConsoleState;
  static constexpr size_t kMostOfLine = 256;  // a longer one becomes several

  DebugConsole(std::string name, DeviceEnv& env, State state = {});

  const std::string& name() const noexcept override { return name_; }
  void start() override {}
  Task<void> stop() override;
  void reset() override;
  void save(StateWriter& writer) const override;

 private:
  uint8_t read_register(uint64_t offset) override;
  void write_register(uint64_t offset, uint8_t value) override;
  void log_line(const std::string& line) const;

  const std::string name_;
  const Logger log_;
  mutable std::mutex mutex_;
  State state_;  // guarded by mutex_
  Bus::Region port_;
};

}  // namespace vireo::dev
