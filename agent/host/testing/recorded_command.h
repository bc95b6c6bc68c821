// What a command told, for tests.
#pragma once

#include <optional>
#include <string>

#include "agent/host/session.h"

namespace vireo::agent {

// Outlives the session. Takes what it is told at once, unless `takes` is false.
struct RecordedCommand {
  CommandEvents events(Session& session) {
    return {.started = [this](uint32_t id) { pid = id; },
            .output =
                [this, &session](Stream stream, Bytes bytes) {
                  text(stream).append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                  if (takes) session.took(channel, stream, bytes.size());
                },
            .output_ended = [this](Stream stream) { ended[static_cast<size_t>(stream)] = true; },
            .writable = [this] { ++writable; },
            .input_closed = [this] { input_closed = true; },
            .ended = [this](const Outcome& how) { outcome = how; }};
  }
  std::string& text(Stream stream) { return stream == Stream::out ? out : error; }

  uint32_t channel = 0;
  bool takes = true;
  uint32_t pid = 0;
  std::string out, error;
  bool ended[kStreams]{};
  int writable = 0;
  bool input_closed = false;
  std::optional<Outcome> outcome;
};

// The texts, each with its zero, as Texts holds them.
inline std::string block_of(std::initializer_list<std::string_view> texts) {
  std::string block;
  for (const std::string_view text : texts) block.append(text).push_back('\0');
  return block;
}

}  // namespace vireo::agent
