// The images that an image lies over, from what their headers say. Nothing stays open.
//
// Thread: the session's. Throws ConfigError and std::system_error that say whose backing file it
// is.
#pragma once

#include <vector>

#include "blockdev/open.h"
#include "tools/vireo/image/session.h"

namespace vireo::cli {

struct Layer {
  blk::Spec spec;
  blk::ImageDescription image;
};

// Outermost first, `spec` itself included; the others as it is, with the names and formats that
// are recorded, or as the user's options say.
std::vector<Layer> describe_chain(Session& session, blk::Spec spec);
// The same, without what they say about themselves.
std::vector<blk::Spec> find_chain(Session& session, blk::Spec spec);

// The place in the chain of the image at `location`: the name as it was found, or any other of the
// same file. The chain's size if there is none.
size_t find_in_chain(const std::vector<blk::Spec>& chain, const blk::Location& location);

// ConfigError: an image of a chain is the image at `path` again. `context`: which one names it.
[[noreturn]] void throw_chain_loop(const std::string& context, const std::string& path);

}  // namespace vireo::cli
