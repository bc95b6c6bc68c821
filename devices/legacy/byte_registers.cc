#include "devices/legacy/byte_registers.h"

namespace vireo::dev {

void ByteRegisters::io_read(uint64_t offset, std::span<std::byte> out) {
  for (std::byte& byte : out) byte = std::byte{read_register(offset++)};
}

void ByteRegisters::io_write(uint64_t offset, std::span<const std::byte> in) {
  for (const std::byte byte : in) write_register(offset++, static_cast<uint8_t>(byte));
}

}  // namespace vireo::dev
