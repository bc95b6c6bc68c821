// What the commands of long jobs share: a job that is watched and stopped as the session says, and
// its failure as one sentence.
//
// Thread: the session's.
#pragma once

#include <string>

#include "blockdev/job/job.h"
#include "tools/vireo/image/progress.h"
#include "tools/vireo/image/session.h"

namespace vireo::cli {

// Both outlive the job.
blk::JobControl job_control(Session& session, Progress& progress);

// Throws Interrupted, or std::system_error that names the image and the place; `source` and
// `target` are the paths of the job's two sides.
void check_job(const Session& session, const blk::JobResult& result, const std::string& source,
               const std::string& target);

}  // namespace vireo::cli
