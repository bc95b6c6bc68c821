#include "tools/vireo/message.h"

#include <unistd.h>

#include <algorithm>
#include <string>

#include "vmm/base/line_writer.h"
#include "vmm/base/printable.h"

namespace vireo::cli {

namespace {

void write(const std::string& line) {
  LineWriter(STDERR_FILENO).write(line, std::chrono::seconds(1));
}

}  // namespace

void tell(std::string_view text) {
  write("vireo: " + printable(text));
}

void tell_lines(std::string_view text) {
  const size_t first = std::min(text.find('\n'), text.size());
  tell(text.substr(0, first));
  text.remove_prefix(first);
  while (!text.empty()) {
    text.remove_prefix(1);
    const size_t end = std::min(text.find('\n'), text.size());
    write(printable(text.substr(0, end)));
    text.remove_prefix(end);
  }
}

}  // namespace vireo::cli
