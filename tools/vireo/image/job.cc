#include "tools/vireo/image/job.h"

#include <fmt/format.h>

namespace vireo::cli {

blk::JobControl job_control(Session& session, Progress& progress) {
  return {.progress = [&session, &progress](uint64_t done, uint64_t total) {
    progress.update(done, total);
    return !session.interrupted();
  }};
}

void check_job(const Session& session, const blk::JobResult& result, const std::string& source,
               const std::string& target) {
  if (!result.error) return;
  if (result.error == std::errc::operation_canceled) session.stop_if_interrupted();
  const bool reading = result.side == blk::JobResult::Side::source;
  throw std::system_error(result.error,
                          fmt::format("cannot {} '{}' at byte {}", reading ? "read" : "write",
                                      reading ? source : target, result.offset));
}

}  // namespace vireo::cli
