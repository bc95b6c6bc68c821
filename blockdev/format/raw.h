// A raw image: the bytes of the node below, all of them or a window of them. Unlike a file, it has
// a fixed size: only resize() changes it.
//
// Thread: the graph's loop. Owns the node below.
// Errors: the constructor throws ConfigError when the window does not lie inside.
#pragma once

#include <cstdint>
#include <memory>

#include "blockdev/format/image.h"

namespace vireo::blk {

struct RawWindow {
  uint64_t offset = 0;  // bytes, a multiple of the block below
  uint64_t size = 0;    // 0: up to the end; such a window can be resized
};

class RawNode final : public FormatNode {
 public:
  explicit RawNode(std::unique_ptr<Node> below, RawWindow window = {});

  std::string_view format() const noexcept override { return "raw"; }
  ImageFacts facts() const override { return {.virtual_size = limits_.size}; }
  const Limits& limits() const noexcept override { return limits_; }
  Task<std::error_code> read(uint64_t offset, IoVecs into) override;
  Task<std::error_code> write(uint64_t offset, IoVecs from, WriteFlags flags) override;
  Task<std::error_code> flush() override;
  Task<std::error_code> discard(uint64_t offset, uint64_t length) override;
  Task<std::error_code> zero(uint64_t offset, uint64_t length, ZeroFlags flags) override;
  Task<std::error_code> resize(uint64_t size) override;
  Task<Extent> extent(uint64_t offset, uint64_t length) override;
  Task<std::error_code> close() override;
  void hurry() override { below_->hurry(); }
  // What shows all of itself here, from its first byte on; null: only a part of it does.
  Node* whole() noexcept { return start_ == 0 && resizable_ ? below_.get() : nullptr; }
  Debugger* debugger() noexcept override { return below_->debugger(); }

 private:
  std::unique_ptr<Node> below_;
  const uint64_t start_;
  const bool resizable_;
  Limits limits_;
};

}  // namespace vireo::blk
