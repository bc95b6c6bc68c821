// What the host has the agent do with the machine as a whole. As its first process only, but for
// the clock and the randomness, which root may set in any machine.
//
// One thread. No C++ library. Each says what went wrong.
#pragma once

#include "agent/guest/process.h"
#include "agent/wire.h"

namespace vireo::agent {

Failure set_clock(const Clock& clock) noexcept;
Failure add_entropy(const Entropy& entropy) noexcept;
// Makes the share's directory, under a layer in memory, the root; what is mounted on /dev, /proc,
// /sys and /run goes along. Once.
Failure enter_root(const Root& root) noexcept;
// In the root as it is now.
Failure mount_share(const Share& share) noexcept;
Failure configure_network(const Network& network) noexcept;

}  // namespace vireo::agent
