// Doorbells: guest writes that KVM turns into an eventfd without leaving the kernel (ioeventfd).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

namespace vireo {

// Which writes to the MMIO address ring.
struct DoorbellAddress {
  uint64_t address = 0;
  uint8_t width = 4;                // in bytes: 1, 2, 4 or 8; 0: any
  std::optional<uint64_t> value{};  // none: any; one needs a width
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
