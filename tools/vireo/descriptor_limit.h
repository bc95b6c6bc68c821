// Any thread. Throws std::system_error.
#pragma once

namespace vireo::cli {

// As many descriptors as this process may have: shares and user networks need one for each file and
// connection of the guest's.
void raise_descriptor_limit();

}  // namespace vireo::cli
