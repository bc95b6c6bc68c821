// Objects that know whether each of them was constructed and destroyed exactly once: what a
// compiler that gets coroutine frames wrong (a parameter copied bit by bit, a temporary destroyed
// twice or never) is caught with. One thread.
#pragma once

#include <cstddef>
#include <set>
#include <utility>

namespace vireo::testing {

class Tracked;

// Every Tracked that refers to it; outlives them.
class Ledger {
 public:
  size_t alive() const noexcept { return alive_.size(); }
  int constructed() const noexcept { return constructed_; }
  // Nothing is alive, and nothing was constructed twice in one place, destroyed twice, or used
  // dead.
  bool balanced() const noexcept { return alive_.empty() && faults_ == 0; }

 private:
  friend Tracked;
  void born(const Tracked* object) {
    ++constructed_;
    faults_ += alive_.insert(object).second ? 0 : 1;
  }
  void died(const Tracked* object) { faults_ += alive_.erase(object) == 1 ? 0 : 1; }
  void used(const Tracked* object) { faults_ += alive_.count(object) == 1 ? 0 : 1; }

  std::set<const Tracked*> alive_;
  int constructed_ = 0;
  int faults_ = 0;
};

// A value with an owner's life: copied and moved, non-trivial all over. Moved from, its value is
// -1.
class Tracked {
 public:
  Tracked(Ledger& ledger, int value) : ledger_(&ledger), value_(value) { ledger_->born(this); }
  Tracked(const Tracked& other) : ledger_(other.ledger_), value_(other.value()) {
    ledger_->born(this);
  }
  Tracked(Tracked&& other) noexcept : ledger_(other.ledger_), value_(other.value()) {
    other.value_ = -1;
    ledger_->born(this);
  }
  Tracked& operator=(const Tracked& other) {
    if (this == &other) return *this;
    ledger_->used(this);
    value_ = other.value();
    return *this;
  }
  Tracked& operator=(Tracked&& other) noexcept {
    if (this == &other) return *this;
    ledger_->used(this);
    value_ = std::exchange(other.value_, -1);
    other.ledger_->used(&other);
    return *this;
  }
  ~Tracked() { ledger_->died(this); }

  int value() const {
    ledger_->used(this);
    return value_;
  }

 private:
  Ledger* ledger_;
  int value_;
};

}  // namespace vireo::testing
