#include "blockdev/debugger.h"

#include <utility>

namespace vireo::blk {

namespace {

Task<std::error_code> let_go(Debugger* debugger, DebugEvent event, Task<std::error_code> request) {
  co_await debugger->at(event);
  co_return co_await std::move(request);
}

}  // namespace

Task<std::error_code> after(Debugger* debugger, DebugEvent event, Task<std::error_code> request) {
  if (debugger == nullptr) return request;
  return let_go(debugger, event, std::move(request));
}

}  // namespace vireo::blk
