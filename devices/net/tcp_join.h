// Puts TCP segments that follow each other into one long frame, as network cards do for Linux (GRO,
// LRO): a guest that takes such frames has far less work with them. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "devices/net/header.h"

namespace vireo::dev {

struct Frame {
  NetHeader header{};
  std::vector<std::byte> bytes{};
};

// Appends the payload of `next`, whose checksums are right, to the frame when both are IPv4
// segments of one connection, in order, with nothing between or beside them; the frame's header
// then says that it is to be cut again, and its checksum is left to whoever does. False, and
// nothing changed, when they are not.
bool join_tcp(Frame& frame, std::span<const std::byte> next);

}  // namespace vireo::dev
