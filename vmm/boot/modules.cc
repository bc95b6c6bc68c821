#include "vmm/boot/modules.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/boot/image.h"

namespace vireo {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMostOfModule = size_t{64} << 20;

// "drivers/char/virtio-rng.ko.xz" is called virtio_rng.
std::string name_of(std::string_view path) {
  std::string name(path.substr(path.rfind('/') + 1));
  name.resize(std::min(name.size(), name.find('.')));
  std::ranges::replace(name, '-', '_');
  return name;
}

template <class Line>
void each_line(const fs::path& file, Line line) {
  std::ifstream in(file);
  for (std::string text; std::getline(in, text);) line(text);
}

void read_built_in(KernelModules& modules) {
  each_line(modules.directory / "modules.builtin",
            [&](const std::string& line) { modules.built_in.insert(name_of(line)); });
}

// "kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko …"
KernelModules installed(const fs::path& directory) {
  KernelModules modules{.directory = directory};
  each_line(directory / "modules.dep", [&](const std::string& line) {
    const std::string path = line.substr(0, line.find(':'));
    modules.files[name_of(path)] = directory / path;
  });
  read_built_in(modules);
  return modules;
}

// "fs/9p/9p.o", or .ko with older kernels.
KernelModules in_tree(const fs::path& tree) {
  KernelModules modules{.directory = tree};
  each_line(tree / "modules.order", [&](const std::string& line) {
    modules.files[name_of(line)] = (tree / line).replace_extension(".ko");
  });
  read_built_in(modules);
  return modules;
}

std::optional<fs::path> tree_of(const fs::path& kernel) {
  const fs::path boot = kernel.parent_path();
  const fs::path tree = boot.parent_path().parent_path().parent_path();
  const bool is_built = boot == tree / "arch/x86/boot" && fs::exists(tree / "modules.order");
  return is_built ? std::optional(tree) : std::nullopt;
}

// Each text of .modinfo ends with a zero, and so does what stands before it.
std::vector<std::string> needs_of(std::span<const std::byte> module) {
  constexpr std::string_view kKey("\0depends=", 9);
  std::string_view text(reinterpret_cast<const char*>(module.data()), module.size());
  const size_t at = text.find(kKey);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + kKey.size());
  text = text.substr(0, text.find('\0'));
  std::vector<std::string> names;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    names.push_back(name_of(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return names;
}

Pages read_module(const fs::path& path) {
  const FileImage image("module", path);
  if (image.size() == 0 || image.size() > kMostOfModule) image.corrupt("no module has that size");
  const Pages packed(image.size());
  image.read(0, packed.bytes());
  return unpack_file(packed.bytes(), kMostOfModule, image.name());
}

class Loader {
 public:
  explicit Loader(const KernelModules& modules) : modules_(modules) {}

  void load(const std::string& name) {
    if (modules_.built_in.contains(name) || !seen_.insert(name).second) return;
    const auto file = modules_.files.find(name);
    if (file == modules_.files.end())
      throw ConfigError(
          fmt::format("there is no module '{}' in '{}', nor is it built into the kernel", name,
                      modules_.directory.string()));
    Pages module = read_module(file->second);
    for (const std::string& needed : needs_of(module.bytes())) load(needed);
    loaded_.push_back(std::move(module));
  }
  std::vector<Pages> take() { return std::move(loaded_); }

 private:
  const KernelModules& modules_;
  std::set<std::string> seen_;
  std::vector<Pages> loaded_;
};

}  // namespace

KernelModules find_modules(const fs::path& kernel, const std::string& release) {
  const fs::path where = fs::canonical(kernel);
  if (const auto tree = tree_of(where)) return in_tree(*tree);
  for (const fs::path& root : {where.parent_path(), fs::path("/"), fs::path("/usr")}) {
    const fs::path directory = root / "lib/modules" / release;
    if (!release.empty() && fs::exists(directory / "modules.dep")) return installed(directory);
  }
  return {};
}

bool has_module(const KernelModules& modules, std::string_view name) {
  const std::string called = name_of(name);
  return modules.directory.empty() || modules.files.contains(called) ||
         modules.built_in.contains(called);
}

std::vector<Pages> load_modules(const KernelModules& modules,
                                std::span<const std::string_view> names) {
  Loader loader(modules);
  if (modules.directory.empty()) return {};
  for (const std::string_view name : names) loader.load(name_of(name));
  return loader.take();
}

}  // namespace vireo
