#include "tools/vireo/image/chain.h"

#include <algorithm>
#include <optional>
#include <utility>

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

size_t find_in_chain(const std::vector<blk::Spec>& chain, const blk::Location& location) {
  const auto found = std::ranges::find_if(chain, [&location](const blk::Spec& image) {
    return image.name() == location.name() || same_file(image.location, location);
  });
  return static_cast<size_t>(found - chain.begin());
}

namespace {

// What the image lies over: what the user says, else what it records.
std::optional<blk::Spec> next_below(const Layer& layer) {
  if (layer.spec.below) return *layer.spec.below;
  if (layer.spec.no_backing || layer.image.facts.backing_file.empty()) return std::nullopt;
  return blk::backing_spec(layer.spec, layer.image);
}

Layer describe_layer(Session& session, blk::Spec spec) {
  blk::ImageDescription image = describe_image(session, spec);
  spec.format = image.format;
  if (image.probed) spec.references = blk::References::none;
  return {std::move(spec), std::move(image)};
}

}  // namespace

std::vector<Layer> describe_chain(Session& session, blk::Spec spec) {
  std::vector<Layer> chain{describe_layer(session, std::move(spec))};
  std::vector<blk::Spec> seen;
  for (;;) {
    seen.push_back(chain.back().spec);
    std::optional<blk::Spec> below = next_below(chain.back());
    if (!below) return chain;
    const std::string context =
        fmt::format("the backing file of '{}'", printable(chain.back().spec.name()));
    if (find_in_chain(seen, below->location) < seen.size())
      throw_chain_loop(context, below->name());
    if (chain.size() > blk::kMaxBackingDepth)
      throw ConfigError(
          fmt::format("{}: the chain is deeper than {}", context, blk::kMaxBackingDepth));
    chain.push_back(with_context(context, [&] { return describe_layer(session, *below); }));
  }
}

std::vector<blk::Spec> find_chain(Session& session, blk::Spec spec) {
  std::vector<blk::Spec> chain;
  for (Layer& layer : describe_chain(session, std::move(spec)))
    chain.push_back(std::move(layer.spec));
  return chain;
}

}  // namespace vireo::cli
