// The debug-exit port (layout::kPortDebugExit): test guests end the machine by writing a value of
// one, two or four bytes to it. Reads give ones.
//
// Thread: any vCPU. No state, no interrupt.
#pragma once

#include <string>

#include "vmm/device.h"

namespace vireo::dev {

class DebugExit final : public Device, private IoHandler {
 public:
  // Nothing to keep; that the machine has the port is kept by the section itself.
  struct State {
    static constexpr StateTag kTag{"debug-exit", 1};
    static void fields(auto&, auto&) {}
    bool operator==(const State&) const = default;
  };

  DebugExit(std::string name, DeviceEnv& env, State state = State());

  const std::string& name() const noexcept override { return name_; }
  void start() override {}
  Task<void> stop() override;
  void reset() override {}
  void save(StateWriter& writer) const override;

 private:
  void io_read(uint64_t offset, std::span<std::byte> out) override;
  void io_write(uint64_t offset, std::span<const std::byte> in) override;

  const std::string name_;
  MachineControl& control_;
  Bus::Region port_;
};

}  // namespace vireo::dev
