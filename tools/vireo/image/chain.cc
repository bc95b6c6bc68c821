#include "tools/vireo/image/chain.h"

#include <filesystem>

#include <fmt/format.h>

#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/format.h"
#include "tools/vireo/image/open.h"
#include "vmm/base/error.h"

namespace vireo::cli {

void throw_chain_loop(const std::string& context, const std::string& path) {
  throw ConfigError(speaks_qemu()
                        ? fmt::format("Backing file '{}' creates an infinite loop.", path)
                        : fmt::format("{}: '{}' comes twice: the chain is a loop", context, path));
}

size_t find_in_chain(const std::vector<blk::Spec>& chain, const std::string& name) {
  for (size_t i = 0; i < chain.size(); ++i) {
    std::error_code ignored;
    if (chain[i].path == name || std::filesystem::equivalent(chain[i].path, name, ignored))
      return i;
  }
  return chain.size();
}

std::vector<blk::Spec> find_chain(Session& session, blk::Spec spec) {
  std::vector<blk::Spec> chain;
  for (std::string context;;) {
    if (find_in_chain(chain, spec.path) < chain.size()) throw_chain_loop(context, spec.path);
    const auto describe = [&] { return describe_image(session, spec); };
    const blk::ImageDescription image =
        context.empty() ? describe() : with_context(context, describe);
    spec.format = image.format;
    if (image.probed) spec.references = blk::References::none;
    chain.push_back(spec);
    if (!image.qcow2 || image.qcow2->header.backing_file.empty()) return chain;
    context = fmt::format("the backing file of '{}'", printable(spec.path));
    spec = blk::backing_spec(spec, image);
  }
}

}  // namespace vireo::cli
