// Doorbells: guest writes that KVM turns into an eventfd without leaving the kernel (ioeventfd).
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

namespace vireo {

// A 32-bit write of `value` to the MMIO address.
struct DoorbellAddress {
  uint64_t address = 0;
  uint32_t value = 0;
};

// A registered doorbell; ends with the object. Thread: any, one at a time.
class [[nodiscard]] Doorbell {
 public:
  Doorbell() = default;
  explicit Doorbell(std::function<void()> release) : release_(std::move(release)) {}
  Doorbell(Doorbell&& other) noexcept : release_(std::exchange(other.release_, nullptr)) {}
  Doorbell& operator=(Doorbell&& other) noexcept {
    std::swap(release_, other.release_);
    return *this;
  }
  explicit operator bool() const noexcept { return static_cast<bool>(release_); }
  ~Doorbell() {
    if (release_) release_();
  }

 private:
  std::function<void()> release_;
};

// Makes doorbells; a test's version may keep a table. Any thread. Throws std::system_error.
class Doorbells {
 public:
  virtual ~Doorbells() = default;
  virtual Doorbell attach(DoorbellAddress address, int eventfd) = 0;
};

}  // namespace vireo
