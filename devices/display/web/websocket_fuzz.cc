// A browser that sends anything as frames: what is read of them is no more than what came.
#include <array>

#include "devices/display/testing/memory_stream.h"
#include "devices/display/web/websocket.h"
#include "vmm/base/error.h"

using namespace vireo;
using namespace vireo::display;

namespace {

Task<size_t> read_all_of(WebSocketStream& socket) {
  std::array<std::byte, 100> bytes;
  size_t total = 0;
  for (;;) {
    const size_t got = co_await socket.read(bytes);
    if (got == 0) co_return total;
    total += got;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  EventLoop loop;
  MemoryStream below(std::as_bytes(std::span(data, size)));
  InputBuffer input(below, kMaxRequest);
  WebSocketStream socket(below, input);
  VMM_CHECK(block_on(loop, read_all_of(socket)) <= size, "nothing comes from nowhere");
  return 0;
}
