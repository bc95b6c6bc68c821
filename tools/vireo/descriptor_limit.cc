#include "tools/vireo/descriptor_limit.h"

#include <sys/resource.h>

#include "vmm/base/error.h"

namespace vireo::cli {

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("cannot read the limit of open files");
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace vireo::cli
