// How much of something a client may hold: bytes, open files. What is taken comes back with the
// object that has it.
//
// Thread: the server's loop. A Budget outlives its parts.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

namespace vireo::p9 {

class Budget {
 public:
  explicit Budget(size_t most) noexcept : left_(most), most_(most) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  class [[nodiscard]] Part {
   public:
    Part() = default;
    Part(Part&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), amount_(other.amount_) {}
    Part& operator=(Part&& other) noexcept {
      shrink(0);
      budget_ = std::exchange(other.budget_, nullptr);
      amount_ = other.amount_;
      return *this;
    }
    ~Part() { shrink(0); }
    // Gives back what is more than that.
    void shrink(size_t amount) noexcept {
      if (budget_ == nullptr || amount >= amount_) return;
      budget_->left_ += amount_ - amount;
      amount_ = amount;
    }

   private:
    friend Budget;
    Part(Budget& budget, size_t amount) noexcept : budget_(&budget), amount_(amount) {}
    Budget* budget_ = nullptr;
    size_t amount_ = 0;
  };

  // Nothing: that much is not left.
  std::optional<Part> take(size_t amount) noexcept {
    if (amount > left_) return std::nullopt;
    left_ -= amount;
    return Part(*this, amount);
  }
  size_t taken() const noexcept { return most_ - left_; }

 private:
  size_t left_;
  const size_t most_;
};

}  // namespace vireo::p9
