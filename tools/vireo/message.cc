#include "tools/vireo/message.h"

#include <unistd.h>

#include "vmm/base/line_writer.h"
#include "vmm/base/printable.h"

namespace vireo::cli {

void tell(std::string_view text) {
  LineWriter(STDERR_FILENO).write("vireo: " + printable(text), std::chrono::seconds(1));
}

}  // namespace vireo::cli
