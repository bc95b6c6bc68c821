#include "vireo/describe.h"

#include <string>
#include <utility>
#include <vector>

#include "devices/pc/config.h"

namespace vireo {

namespace {

std::string on_if(bool flag) {
  return flag ? "on" : "";
}

template <class Number>
std::string text_of(const std::optional<Number>& number) {
  return number ? std::to_string(*number) : "";
}

// A console of the program's is connected by build_pc(), which asks what to make of the port.
std::string place_of(const Port& port) {
  return port.is_console() ? "null" : port.place();
}

std::vector<pc::Option> options_of(const Description& description) {
  std::vector<pc::Option> options{{"name", description.name},
                                  {"uuid", description.uuid},
                                  {"memory", text_of(description.memory)},
                                  {"cpus", text_of(description.cpus)},
                                  {"kernel", description.kernel},
                                  {"initrd", description.initrd},
                                  {"append", description.append},
                                  {"kernel-unpack", description.kernel_unpack},
                                  {"firmware", description.firmware},
                                  {"serial", place_of(description.serial)},
                                  {"console", place_of(description.console)},
                                  {"irqchip", description.irqchip},
                                  {"virtio-cmdline", on_if(description.virtio_cmdline)},
                                  {"no-reboot", on_if(description.no_reboot)},
                                  {"debug-exit", on_if(description.debug_exit)}};
  // Empty is what was not said.
  std::erase_if(options, [](const pc::Option& option) { return option.value.empty(); });
  const auto add = [&options](const char* name, const std::vector<std::string>& texts) {
    for (const std::string& text : texts) options.push_back({name, text});
  };
  add("disk", description.disk);
  add("cdrom", description.cdrom);
  add("net", description.net);
  add("share", description.share);
  add("display", description.display);
  add("boot", description.boot);
  add("smbios", description.smbios);
  return options;
}

}  // namespace

pc::PcSpec spec_of(const Description& description) {
  pc::PcSpec spec = pc::read_options(description.config, options_of(description), "");
  check(spec);
  return spec;
}

}  // namespace vireo
