// Devices whose registers are one byte wide: a wider access is split into byte accesses at
// consecutive offsets, low byte first, as the ISA bus does.
//
// Thread: as IoHandler: any vCPU, concurrently.
#pragma once

#include "vmm/bus.h"

namespace vireo::dev {

class ByteRegisters : public IoHandler {
 public:
  void io_read(uint64_t offset, std::span<std::byte> out) final;
  void io_write(uint64_t offset, std::span<const std::byte> in) final;

 private:
  virtual uint8_t read_register(uint64_t offset) = 0;
  virtual void write_register(uint64_t offset, uint8_t value) = 0;
};

}  // namespace vireo::dev
