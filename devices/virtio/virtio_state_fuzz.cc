// A saved state that the input made up: it is refused with StateError, or the device runs from it
// and stops again.
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "devices/testing/fake_machine.h"
#include "devices/testing/test_device.h"
#include "devices/virtio/mmio.h"

using namespace vireo;
using namespace vireo::dev;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FakeMachine machine;
  const auto bytes = std::as_bytes(std::span(data, size));
  StateReader reader(StateSections{{"dev",
                                    {std::string(MmioState::kTag.kind),
                                     MmioState::kTag.version,
                                     {bytes.begin(), bytes.end()}}}});
  try {
    auto device = std::make_unique<TestDevice>(machine.loop, std::vector<uint16_t>{8, 16});
    device->may_answer.set();
    MmioTransport transport("dev", machine.env, std::move(device), reader.take<MmioState>("dev"));
    transport.start();
    machine.settle();
    block_on(machine.loop, transport.stop());
  } catch (const StateError&) {
  }
  return 0;
}
