// A browser that sends anything as a request.
#include "devices/display/web/http.h"
#include "devices/display/web/websocket.h"
#include "vmm/base/error.h"

using namespace vireo::display;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ParsedRequest parsed = parse_request(std::as_bytes(std::span(data, size)));
  if (parsed.status != ParsedRequest::Status::complete) return 0;
  VMM_CHECK(parsed.length <= size && parsed.length <= kMaxRequest + 4, "a request is of what came");
  VMM_CHECK(parsed.request.path.starts_with('/'), "a path is absolute");
  is_from_us(parsed.request, false);
  is_from_us(parsed.request, true);
  websocket_answer(parsed.request);
  return 0;
}
