// virtio-rng (virtio 1.2, 5.4): random bytes from the host's kernel.
//
// Thread: its loop. Keeps nothing between requests; each gets at most kMaxBytes, however much the
// driver asks for.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "devices/virtio/device.h"

namespace vireo::dev {

class Rng final : public VirtioDevice {
 public:
  static constexpr uint32_t kMaxBytes = 64 * 1024;

  Rng(std::string name, VirtioEnv env);

  const VirtioInfo& info() const noexcept override { return info_; }
  void start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) override;
  Task<std::optional<QueueState>> stop_queue(uint16_t index) override;

 private:
  Task<void> serve();
  void answer(Chain chain);

  const std::string name_;
  const Logger log_;
  const VirtioInfo info_;
  QueueWork requests_;
};

}  // namespace vireo::dev
