#include "vireo/describe.h"

#include <string>
#include <utility>
#include <vector>

#include "devices/pc/config.h"

namespace vireo {

namespace {

using Word = std::pair<const char*, std::string>;

std::string on_if(bool flag) {
  return flag ? "on" : "";
}

template <class Number>
std::string text_of(const std::optional<Number>& number) {
  return number ? std::to_string(*number) : "";
}

// A console of the program's is connected by build_pc(), which asks what to make of the port.
std::string place_of(const Port& port) {
  return port.ring() ? "null" : port.place();
}

// Empty is what was not said.
std::vector<Word> words_of(const Description& description) {
  return {{"name", description.name},
          {"memory", text_of(description.memory)},
          {"cpus", text_of(description.cpus)},
          {"kernel", description.kernel},
          {"initrd", description.initrd},
          {"append", description.append},
          {"kernel-unpack", description.kernel_unpack},
          {"serial", place_of(description.serial)},
          {"console", place_of(description.console)},
          {"irqchip", description.irqchip},
          {"virtio-cmdline", on_if(description.virtio_cmdline)},
          {"no-reboot", on_if(description.no_reboot)},
          {"debug-exit", on_if(description.debug_exit)}};
}

const std::vector<std::string>& texts_of(const Description& description, std::string_view kind) {
  if (kind == "disk") return description.disk;
  if (kind == "net") return description.net;
  if (kind == "share") return description.share;
  return description.display;
}

}  // namespace

pc::PcSpec spec_of(const Description& description) {
  pc::PcSpec spec;
  if (!description.config.empty()) spec = pc::read_config(description.config);
  const pc::Keys keys = pc::keys_of(spec);
  for (const auto& [key, value] : words_of(description))
    if (!value.empty()) keys.assign(key, value, key);
  for (const pc::PartKind& kind : pc::part_kinds())
    add_parts(spec, kind, kind.key.name, texts_of(description, kind.key.name));
  check(spec);
  return spec;
}

}  // namespace vireo
