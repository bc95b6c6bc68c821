// virtio-9p (virtio 1.2, 5.9, and Linux' net/9p/trans_virtio.c): a directory of the host's for the
// guest to mount.
//
// Thread: its loop, which the vCPU that notifies it borrows when it has no other work
// (ShareConfig::own_loop); what waits for the host's file systems runs on threads of the server's
// own.
// Owns the server. A share that is mounted cannot be saved: save() throws ConfigError.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/p9/server.h"
#include "devices/virtio/device.h"

namespace vireo::dev {

struct P9Config {
  std::string tag{};  // what the guest mounts it by; 1 to 31 bytes
  p9::ShareConfig share{};
};

class P9 final : public VirtioDevice {
 public:
  static constexpr size_t kMaxTag = 31;  // QEMU's and libvirt's limit, too
  static constexpr uint16_t kQueueSize = 128;

  // Throws ConfigError and std::system_error on a share that can not be.
  P9(std::string name, VirtioEnv env, const P9Config& config);
  ~P9() override;

  const VirtioInfo& info() const noexcept override { return info_; }
  std::vector<std::byte> config() const override;
  void start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) override;
  Task<std::optional<QueueState>> stop_queue(uint16_t index) override;
  void notified(uint16_t index) override;
  void reset() override { server_.reset(); }
  void save(StateWriter& writer) const override;

 private:
  Task<void> serve();
  void answer(Chain chain, bool alone);

  const std::string tag_;
  const VirtioInfo info_;
  p9::Server server_;
  QueueWork requests_;
};

}  // namespace vireo::dev
