// The compiler canary: every pattern that the rules of task.h allow, with objects that notice when
// a compiler constructs or destroys one of them twice or never. Each runs twice: with nothing to
// wait for, and with a real suspension wherever the pattern waits.
#include "vmm/base/task.h"

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "vmm/testing/death.h"
#include "vmm/testing/ledger.h"

using namespace vireo;
using testing::Ledger;
using testing::Tracked;

namespace {

static_assert(!std::is_copy_constructible_v<Task<int>>);
static_assert(std::is_nothrow_move_constructible_v<Task<int>>);

// Where coroutines wait when it is shut. Its awaiter has a destructor, as a timer's has.
class Gate {
 public:
  explicit Gate(bool shut) : shut_(shut) {}
  auto pass() {
    struct Awaiter {
      Gate& gate;
      std::shared_ptr<int> resource;
      bool await_ready() const noexcept { return !gate.shut_; }
      void await_suspend(std::coroutine_handle<> handle) const { gate.waiting_.push_back(handle); }
      int await_resume() const noexcept { return *resource; }
    };
    return Awaiter{*this, std::make_shared<int>(1)};
  }
  // Lets one after the other pass until nobody waits.
  void open() {
    while (!waiting_.empty()) {
      const auto handle = waiting_.front();
      waiting_.pop_front();
      handle.resume();
    }
  }
  size_t waiting() const noexcept { return waiting_.size(); }

 private:
  bool shut_;
  std::deque<std::coroutine_handle<>> waiting_;
};

struct Bench {
  explicit Bench(bool shut) : gate(shut) {}
  Tracked make(int value) { return Tracked(ledger, value); }
  Ledger ledger;
  Gate gate;
};

template <class T>
Task<void> store(Task<T> task, std::optional<T>& into) {
  into.emplace(co_await task);
}

// Runs a task to its end, opening the gate as often as it takes.
template <class T>
T run(Bench& bench, Task<T> task) {
  std::optional<T> result;
  Scope scope;
  scope.spawn(store(std::move(task), result));
  bench.gate.open();
  return std::move(result.value());
}

void run(Bench& bench, Task<void> task) {
  Scope scope;
  scope.spawn(std::move(task));
  bench.gate.open();
  REQUIRE(scope.running() == 0);
}

// `pattern(bench, amount)` gives `expected` and leaves nothing behind, waiting or not.
template <class Pattern>
void check(Pattern pattern, int expected) {
  for (const bool shut : {false, true}) {
    CAPTURE(shut);
    Bench bench(shut);
    REQUIRE(run(bench, pattern(bench)) == expected);
    REQUIRE(bench.ledger.balanced());
    REQUIRE(bench.ledger.constructed() > 0);
    REQUIRE(bench.gate.waiting() == 0);
  }
}

// ---- the callees ------------------------------------------------------------------------------

Task<int> value_of(Bench& bench, Tracked by_value) {
  co_await bench.gate.pass();
  co_return by_value.value();
}

Task<int> value_through_reference(Bench& bench, const Tracked& outlives) {
  co_await bench.gate.pass();
  co_return outlives.value();
}

Task<Tracked> make_named(Bench& bench, int value) {
  Tracked named = bench.make(value);
  co_await bench.gate.pass();
  co_return named;
}

Task<Tracked> make_temporary(Bench& bench, int value) {
  co_await bench.gate.pass();
  co_return bench.make(value);
}

Task<Tracked> hand_back(Bench& bench, Tracked parameter) {
  co_await bench.gate.pass();
  co_return parameter;
}

Task<Tracked> hand_back_moved(Bench& bench, Tracked parameter) {
  co_await bench.gate.pass();
  co_return std::move(parameter);
}

Task<Tracked> relay(Bench& bench, Tracked parameter) {
  co_return co_await hand_back(bench, std::move(parameter));
}

Task<std::optional<Tracked>> countdown(Bench& bench, int& left) {
  co_await bench.gate.pass();
  if (left == 0) co_return std::nullopt;
  co_return bench.make(left--);
}

Task<std::error_code> check_sign(Bench& bench, int value) {
  co_await bench.gate.pass();
  if (value < 0) co_return std::make_error_code(std::errc::invalid_argument);
  co_return std::error_code();
}

Task<void> nothing(Bench& bench, Tracked parameter) {
  co_await bench.gate.pass();
  static_cast<void>(parameter);
}

Task<void> throw_before_waiting(Bench& bench, Tracked parameter) {
  const Tracked local = bench.make(1);
  if (parameter.value() >= 0) throw std::runtime_error(std::to_string(parameter.value()));
  co_await bench.gate.pass();
}

Task<void> wait_then_throw(Bench& bench, Tracked parameter) {
  co_await bench.gate.pass();
  throw std::runtime_error(std::to_string(parameter.value()));
}

Task<int> throw_after_waiting(Bench& bench, Tracked parameter) {
  const Tracked local = bench.make(1);
  co_await bench.gate.pass();
  throw std::runtime_error(std::to_string(parameter.value()));
  co_return 0;
}

}  // namespace

// ---- parameters -------------------------------------------------------------------------------

namespace {

Task<int> parameter_copied(Bench& bench) {
  const Tracked named = bench.make(5);
  const int value = co_await value_of(bench, named);
  co_return value + named.value();
}

Task<int> parameter_moved(Bench& bench) {
  Tracked named = bench.make(5);
  const int value = co_await value_of(bench, std::move(named));
  co_return value + named.value();  // moved from: -1
}

Task<int> parameter_by_reference(Bench& bench) {
  const Tracked named = bench.make(5);
  co_return co_await value_through_reference(bench, named);
}

Task<int> several(Bench& bench, Tracked a, std::string text, std::unique_ptr<Tracked> b,
                  std::vector<Tracked> many) {
  co_await bench.gate.pass();
  int sum = a.value() + b->value() + static_cast<int>(text.size());
  for (const Tracked& each : many) {
    co_await bench.gate.pass();
    sum += each.value();
  }
  co_return sum;
}

Task<int> many_parameters(Bench& bench) {
  const Tracked a = bench.make(1);
  std::string text(100, 'x');
  auto b = std::make_unique<Tracked>(bench.ledger, 20);
  std::vector<Tracked> many(3, a);
  co_return co_await several(bench, a, std::move(text), std::move(b), std::move(many));
}

struct Twins {
  Tracked first;
  Tracked second;
};

Task<int> converted(Bench& bench, std::function<int()> function, std::optional<Tracked> maybe,
                    const std::string& text, Twins twins) {
  co_await bench.gate.pass();
  co_return function() + maybe->value() + static_cast<int>(text.size()) + twins.first.value() +
      twins.second.value();
}

Task<int> converted_parameters(Bench& bench) {
  const Tracked named = bench.make(1);
  const auto function = [named] { return named.value(); };
  const std::string text(100, 'x');
  const Twins twins{named, named};
  co_return co_await converted(bench, function, named, text, twins);
}

Task<int> deep(Bench& bench, Tracked parameter, int depth) {
  const Tracked local = parameter;
  co_await bench.gate.pass();
  if (depth == 0) co_return local.value();
  co_return 1 + co_await deep(bench, std::move(parameter), depth - 1);
}

Task<int> deeply_nested(Bench& bench) {
  const Tracked named = bench.make(7);
  co_return co_await deep(bench, named, 20);
}

}  // namespace

TEST_CASE("canary: parameters") {
  check(parameter_copied, 10);
  check(parameter_moved, 4);
  check(parameter_by_reference, 5);
  check(many_parameters, 124);
  check(converted_parameters, 104);
  check(deeply_nested, 27);
}

// ---- results ----------------------------------------------------------------------------------

namespace {

Task<int> result_initialises(Bench& bench) {
  const Tracked a = co_await make_named(bench, 1);
  const Tracked b = co_await make_temporary(bench, 10);
  const Tracked c = co_await hand_back(bench, a);
  const Tracked d = co_await hand_back_moved(bench, b);
  const Tracked e = co_await relay(bench, d);
  co_return a.value() + b.value() + c.value() + d.value() + e.value();
}

Task<int> result_assigned(Bench& bench) {
  Tracked result = bench.make(0);
  for (int i = 1; i <= 3; ++i) result = co_await make_named(bench, i);
  co_return result.value();
}

Task<int> result_dropped(Bench& bench) {
  co_await make_named(bench, 1);
  co_await make_temporary(bench, 2);
  co_return 3;
}

Task<int> result_in_expression(Bench& bench) {
  const Tracked named = bench.make(4);
  int sum = 0;
  sum += co_await value_of(bench, named);
  sum = sum + co_await value_of(bench, named) * 2;
  co_return sum - co_await value_of(bench, named);
}

Task<int> result_in_conditions(Bench& bench) {
  const Tracked named = bench.make(4);
  int sum = 0;
  if (co_await value_of(bench, named) == 4) sum += 1;
  if (const std::error_code error = co_await check_sign(bench, -1)) sum += 10;
  if (const std::error_code error = co_await check_sign(bench, 1); !error) sum += 100;
  switch (co_await value_of(bench, named)) {
    case 4:
      sum += 1000;
      break;
    default:
      break;
  }
  co_return sum;
}

Task<int> result_in_loop_condition(Bench& bench) {
  int left = 5;
  int sum = 0;
  while (const std::optional<Tracked> next = co_await countdown(bench, left)) sum += next->value();
  co_return sum;
}

Task<int> result_do_while(Bench& bench) {
  const Tracked named = bench.make(0);
  int turns = 0;
  do {
    const Tracked local = bench.make(turns);
    ++turns;
  } while (co_await value_of(bench, named) + turns < 5);
  co_return turns;
}

Task<std::unique_ptr<Tracked>> make_unique_later(Bench& bench, int value) {
  auto made = std::make_unique<Tracked>(bench.ledger, value);
  co_await bench.gate.pass();
  co_return made;
}

Task<int> result_moves_only(Bench& bench) {
  const std::unique_ptr<Tracked> a = co_await make_unique_later(bench, 3);
  std::unique_ptr<Tracked> b;
  b = co_await make_unique_later(bench, 4);
  co_return a->value() + b->value();
}

Task<std::pair<Tracked, std::vector<Tracked>>> make_pair_later(Bench& bench) {
  std::pair<Tracked, std::vector<Tracked>> made{bench.make(1), {}};
  for (int i = 0; i < 3; ++i) {
    co_await bench.gate.pass();
    made.second.push_back(bench.make(i));
  }
  co_return made;
}

Task<int> result_aggregate(Bench& bench) {
  const std::pair<Tracked, std::vector<Tracked>> made = co_await make_pair_later(bench);
  co_return made.first.value() + static_cast<int>(made.second.size());
}

}  // namespace

TEST_CASE("canary: results") {
  check(result_initialises, 32);
  check(result_assigned, 3);
  check(result_dropped, 3);
  check(result_in_expression, 8);
  check(result_in_conditions, 1111);
  check(result_in_loop_condition, 15);
  check(result_do_while, 5);
  check(result_moves_only, 7);
  check(result_aggregate, 4);
}

// ---- locals -----------------------------------------------------------------------------------

namespace {

Task<int> locals_in_scopes(Bench& bench) {
  const Tracked outer = bench.make(1);
  int sum = 0;
  {
    const Tracked inner = bench.make(10);
    co_await bench.gate.pass();
    sum += inner.value();
  }
  REQUIRE(bench.ledger.alive() == 1);
  for (int i = 0; i < 3; ++i) {
    const Tracked each = bench.make(100);
    co_await bench.gate.pass();
    if (i == 1) continue;
    sum += each.value();
  }
  REQUIRE(bench.ledger.alive() == 1);
  while (true) {
    const Tracked each = bench.make(1000);
    co_await bench.gate.pass();
    sum += each.value();
    break;
  }
  REQUIRE(bench.ledger.alive() == 1);
  co_return sum + outer.value();
}

Task<int> return_from_loop(Bench& bench) {
  const std::array<int, 3> values{1, 2, 3};
  for (const int value : values) {
    const Tracked each = bench.make(value);
    const Tracked result = co_await hand_back(bench, each);
    if (result.value() == 2) co_return result.value();
  }
  co_return 0;
}

Task<int> range_over_elements(Bench& bench) {
  const std::vector<Tracked> many(4, bench.make(2));
  int sum = 0;
  for (const Tracked& each : many) sum += co_await value_of(bench, each);
  for (Tracked each : many) sum += co_await value_of(bench, std::move(each));
  co_return sum;
}

Task<int> large_and_aligned(Bench& bench) {
  struct alignas(64) Block {
    std::array<std::byte, 4096> bytes{};
  };
  Block block;
  const Tracked named = bench.make(9);
  block.bytes.back() = std::byte{9};
  co_await bench.gate.pass();
  co_return std::to_integer<int>(block.bytes.back()) + named.value();
}

Task<int> lambda_beside_waiting(Bench& bench) {
  const Tracked named = bench.make(3);
  const auto twice = [&](int factor) { return named.value() * factor; };
  co_await bench.gate.pass();
  const int before = twice(2);
  co_await bench.gate.pass();
  co_return before + twice(10);
}

Task<int> awaiter_with_destructor(Bench& bench) {
  const Tracked named = bench.make(0);
  int passed = 0;
  for (int i = 0; i < 10; ++i) passed += co_await bench.gate.pass();
  co_return passed;
}

}  // namespace

TEST_CASE("canary: locals") {
  check(locals_in_scopes, 1211);
  check(return_from_loop, 2);
  check(range_over_elements, 16);
  check(large_and_aligned, 18);
  check(lambda_beside_waiting, 36);
  check(awaiter_with_destructor, 10);
}

// ---- exceptions -------------------------------------------------------------------------------

namespace {

Task<int> caught_where_awaited(Bench& bench) {
  int caught = 0;
  const Tracked named = bench.make(4);
  try {
    co_await throw_before_waiting(bench, named);
  } catch (const std::runtime_error& error) {
    caught += std::stoi(error.what());
  }
  try {
    const int never = co_await throw_after_waiting(bench, named);
    caught += never;
  } catch (const std::runtime_error& error) {
    caught += 10 * std::stoi(error.what());
  }
  co_await bench.gate.pass();
  co_return caught;
}

Task<int> passes_through(Bench& bench, Tracked parameter, int depth) {
  const Tracked local = parameter;
  if (depth == 0) co_return co_await throw_after_waiting(bench, std::move(parameter));
  const int value = co_await passes_through(bench, parameter, depth - 1);
  co_return value + local.value();
}

Task<int> caught_above(Bench& bench) {
  int caught = 0;
  try {
    const Tracked named = bench.make(6);
    caught = co_await passes_through(bench, named, 10);
  } catch (const std::runtime_error& error) {
    caught = std::stoi(error.what());
  }
  REQUIRE(bench.ledger.alive() == 0);
  co_return caught;
}

Task<int> rethrown_inside(Bench& bench, Tracked parameter) {
  try {
    co_await throw_before_waiting(bench, parameter);
  } catch (const std::runtime_error&) {
    std::throw_with_nested(ConfigError("outer"));
  }
  co_return 0;
}

Task<int> nested_message(Bench& bench) {
  const Tracked named = bench.make(8);
  std::string text;
  try {
    co_await rethrown_inside(bench, named);
  } catch (const std::exception& error) {
    text = describe(error);
  }
  REQUIRE(text == "outer: 8");
  co_return static_cast<int>(text.size());
}

Task<int> retried(Bench& bench) {
  const Tracked named = bench.make(1);
  int failures = 0;
  for (int attempt = 0; attempt < 5; ++attempt) {
    std::exception_ptr failure;
    try {
      const Tracked local = bench.make(attempt);
      co_await throw_before_waiting(bench, local);
    } catch (...) {
      failure = std::current_exception();
    }
    co_await bench.gate.pass();  // as co_await is not allowed in the handler
    if (failure) ++failures;
  }
  co_return failures;
}

}  // namespace

TEST_CASE("canary: exceptions") {
  check(caught_where_awaited, 44);
  check(caught_above, 6);
  check(nested_message, 8);
  check(retried, 5);
}

namespace {

struct ThrowsOnCopy {
  ThrowsOnCopy(Ledger& ledger, bool& armed_flag) : tracked(ledger, 0), armed(&armed_flag) {}
  ThrowsOnCopy(const ThrowsOnCopy& other) : tracked(other.tracked), armed(other.armed) {
    if (*armed) throw std::runtime_error("copy");
  }
  ThrowsOnCopy(ThrowsOnCopy&&) = default;
  Tracked tracked;
  bool* armed;
};

Task<int> takes_two(Bench& bench, Tracked first, ThrowsOnCopy second) {
  co_await bench.gate.pass();
  co_return first.value() + second.tracked.value();
}

Task<int> parameter_throws(Bench& bench) {
  bool armed = false;
  const Tracked first = bench.make(1);
  const ThrowsOnCopy second(bench.ledger, armed);
  armed = true;
  int caught = 0;
  try {
    caught = co_await takes_two(bench, first, second);
  } catch (const std::runtime_error&) {
    caught = 10;
  }
  armed = false;
  co_return caught + co_await takes_two(bench, first, second);
}

Task<ThrowsOnCopy> returns_by_copy(Bench& bench, const ThrowsOnCopy& from) {
  co_await bench.gate.pass();
  co_return from;
}

Task<int> result_throws(Bench& bench) {
  bool armed = true;
  const ThrowsOnCopy from(bench.ledger, armed);
  int caught = 0;
  try {
    const ThrowsOnCopy result = co_await returns_by_copy(bench, from);
    caught = result.tracked.value();
  } catch (const std::runtime_error&) {
    caught = 5;
  }
  co_return caught;
}

}  // namespace

TEST_CASE("canary: exceptions from copying parameters and results") {
  check(parameter_throws, 11);
  check(result_throws, 5);
}

// ---- members, virtual functions, templates ----------------------------------------------------

namespace {

class Node {
 public:
  virtual ~Node() = default;
  virtual Task<int> read(Bench& bench, Tracked buffer) = 0;
};

class Leaf : public Node {
 public:
  explicit Leaf(Tracked content) : content_(std::move(content)) {}
  Task<int> read(Bench& bench, Tracked buffer) override {
    co_await bench.gate.pass();
    co_return content_.value() + buffer.value();
  }

 private:
  Tracked content_;
};

class Filter : public Node {
 public:
  explicit Filter(std::unique_ptr<Node> below) : below_(std::move(below)) {}
  Task<int> read(Bench& bench, Tracked buffer) override {
    const Tracked kept = buffer;
    const int below = co_await below_->read(bench, std::move(buffer));
    co_return below + kept.value();
  }

 private:
  std::unique_ptr<Node> below_;
};

Task<int> through_a_stack(Bench& bench) {
  std::unique_ptr<Node> node = std::make_unique<Leaf>(bench.make(100));
  for (int i = 0; i < 3; ++i) node = std::make_unique<Filter>(std::move(node));
  const Tracked buffer = bench.make(1);
  int sum = 0;
  for (int i = 0; i < 3; ++i) sum += co_await node->read(bench, buffer);
  co_return sum;
}

template <class T>
Task<T> echo(Bench& bench, T value) {
  co_await bench.gate.pass();
  co_return value;
}

Task<int> templated(Bench& bench) {
  const Tracked named = bench.make(2);
  const Tracked same = co_await echo(bench, named);
  std::string text;
  text = co_await echo<std::string>(bench, std::move(text));
  co_return same.value() + static_cast<int>(text.size()) + co_await echo(bench, 1);
}

}  // namespace

TEST_CASE("canary: members and templates") {
  check(through_a_stack, 312);
  check(templated, 3);
}

// ---- tasks as objects -------------------------------------------------------------------------

namespace {

Task<int> task_moved_before(Bench& bench) {
  const Tracked named = bench.make(3);
  Task<int> first = value_of(bench, named);
  Task<int> second = std::move(first);
  Task<int> third = value_of(bench, named);
  third = std::move(second);  // destroys the one that never ran
  co_return co_await third;
}

Task<int> tasks_kept(Bench& bench) {
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 10; ++i) {
    const Tracked each = bench.make(i);
    tasks.push_back(value_of(bench, each));
  }
  int sum = 0;
  for (const Task<int>& task : tasks) sum += co_await task;
  co_return sum;
}

Task<int> task_passed_on(Bench& bench, Task<int> inner) {
  co_await bench.gate.pass();
  co_return co_await inner;
}

Task<int> task_as_parameter(Bench& bench) {
  const Tracked named = bench.make(3);
  Task<int> inner = value_of(bench, named);
  co_return co_await task_passed_on(bench, std::move(inner));
}

Task<int> tasks_never_awaited(Bench& bench) {
  const Tracked named = bench.make(3);
  {
    const Task<int> never = value_of(bench, named);
    const Task<void> nor_this = nothing(bench, named);
    co_await bench.gate.pass();
    REQUIRE(bench.ledger.alive() == 3);
  }
  REQUIRE(bench.ledger.alive() == 1);
  co_return 1;
}

}  // namespace

TEST_CASE("canary: tasks as objects") {
  check(task_moved_before, 3);
  check(tasks_kept, 45);
  check(task_as_parameter, 3);
  check(tasks_never_awaited, 1);
}

TEST_CASE("a task does nothing until it is awaited") {
  Bench bench(false);
  {
    const Tracked named = bench.make(1);
    const Task<void> never = throw_before_waiting(bench, named);
    REQUIRE(bench.ledger.alive() == 2);  // the named one and the parameter
  }
  REQUIRE(bench.ledger.balanced());
}

TEST_CASE("a task's frame, parameters included, is gone when the awaiting expression is over") {
  struct Pattern {
    static Task<int> run(Bench& bench) {
      Tracked named = bench.make(1);
      co_await nothing(bench, std::move(named));
      co_return static_cast<int>(bench.ledger.alive());
    }
  };
  check(Pattern::run, 1);
}

namespace {

Task<void> await_twice(Bench& bench) {
  const Task<Tracked> task = make_named(bench, 1);
  co_await task;
  co_await task;
}

Task<void> await_moved_from(Bench& bench) {
  Task<Tracked> task = make_named(bench, 1);
  const Task<Tracked> taken = std::move(task);
  co_await task;
}

}  // namespace

TEST_CASE("awaiting a task twice or after it was moved from aborts") {
  Bench bench(false);
  REQUIRE_THAT(testing::abort_message([&] { run(bench, await_twice(bench)); }),
               Catch::Contains("a Task is awaited once"));
  REQUIRE_THAT(testing::abort_message([&] { run(bench, await_moved_from(bench)); }),
               Catch::Contains("a Task is not awaited after it was moved from"));
}

// ---- the stack --------------------------------------------------------------------------------

namespace {

constexpr int kMillion = 1'000'000;

Task<int> one() {
  co_return 1;
}

Task<int> one_through_one() {
  const int value = co_await one();
  co_return value;
}

Task<int> a_million_ready_awaits() {
  int sum = 0;
  for (int i = 0; i < kMillion; ++i) sum += co_await one_through_one();
  co_return sum;
}

Task<int> one_after_waiting(Gate& gate) {
  co_return co_await gate.pass();
}

Task<int> alternately(Gate& gate, int times) {
  int sum = 0;
  for (int i = 0; i < times; ++i) {
    sum += co_await one_after_waiting(gate);
    sum += co_await one_through_one();
  }
  co_return sum;
}

// Passes the gate from inside its own await: resumes before await_suspend has returned.
class Inline {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { handle.resume(); }
  int await_resume() const noexcept { return 1; }
};

Task<int> one_inline() {
  const Inline at_once;
  co_return co_await at_once;
}

Task<int> many_inline() {
  int sum = 0;
  for (int i = 0; i < kMillion; ++i) sum += co_await one_inline();
  co_return sum;
}

}  // namespace

TEST_CASE("canary: a million ready awaits two deep do not grow the stack") {
  Bench bench(false);
  REQUIRE(run(bench, a_million_ready_awaits()) == kMillion);
}

TEST_CASE("canary: nor do awaits that really suspend, alternating with ready ones") {
  Bench bench(true);
  REQUIRE(run(bench, alternately(bench.gate, 100'000)) == 200'000);
}

TEST_CASE("canary: nor do awaits that are resumed while they suspend") {
  Bench bench(false);
  REQUIRE(run(bench, many_inline()) == kMillion);
}

// ---- Scope ------------------------------------------------------------------------------------

namespace {

Task<int> join_many(Bench& bench) {
  Scope scope;
  for (int i = 0; i < 10; ++i) {
    const Tracked each = bench.make(i);
    scope.spawn(nothing(bench, each));
  }
  co_await scope.join();
  co_return 10;
}

// What a spawned task holds while it runs, as a virtio request holds its chain.
class Queue {
 public:
  explicit Queue(Ledger& ledger) : alive_(ledger, 0) {}
  class Hold {
   public:
    explicit Hold(Queue& queue) : queue_(&queue) {}
    Hold(Hold&& other) noexcept : queue_(std::exchange(other.queue_, nullptr)) {}
    ~Hold() {
      if (queue_ != nullptr) queue_->released_ += queue_->alive_.value() + 1;
    }

   private:
    Queue* queue_;
  };
  int released() const { return released_; }

 private:
  Tracked alive_;
  int released_ = 0;
};

Task<void> serve(Bench& bench, Queue::Hold hold) {
  co_await bench.gate.pass();
  static_cast<void>(hold);
}

Task<int> parameters_end_before_join(Bench& bench) {
  auto queue = std::make_unique<Queue>(bench.ledger);
  Scope scope;
  for (int i = 0; i < 3; ++i) {
    Queue::Hold hold(*queue);
    scope.spawn(serve(bench, std::move(hold)));
  }
  co_await scope.join();
  const int released = queue->released();
  queue.reset();  // a hold that were still there would touch it
  co_return released;
}

Task<void> spawn_more(Bench& bench, Scope& scope, int depth) {
  const Tracked local = bench.make(depth);
  co_await bench.gate.pass();
  if (depth > 0) {
    scope.spawn(spawn_more(bench, scope, depth - 1));
    scope.spawn(spawn_more(bench, scope, depth - 1));
  }
}

Task<int> join_waits_for_later_spawns(Bench& bench) {
  Scope scope;
  scope.spawn(spawn_more(bench, scope, 4));
  co_await scope.join();
  REQUIRE(bench.ledger.constructed() == 31);
  co_return static_cast<int>(scope.running());
}

Task<int> join_again(Bench& bench) {
  Scope scope;
  co_await scope.join();
  const Tracked named = bench.make(1);
  for (int i = 0; i < 3; ++i) {
    scope.spawn(nothing(bench, named));
    co_await scope.join();
  }
  co_return static_cast<int>(scope.running());
}

}  // namespace

TEST_CASE("canary: Scope") {
  check(join_many, 10);
  check(parameters_end_before_join, 3);
  check(join_waits_for_later_spawns, 0);
  check(join_again, 0);
}

TEST_CASE("a Scope counts what runs") {
  Bench bench(true);
  {
    Scope scope;
    const Tracked named = bench.make(1);
    scope.spawn(nothing(bench, named));
    scope.spawn(nothing(bench, named));
    REQUIRE(scope.running() == 2);
    bench.gate.open();
    REQUIRE(scope.running() == 0);
  }
  REQUIRE(bench.ledger.balanced());
}

TEST_CASE("a Scope destroyed before it is joined aborts") {
  REQUIRE_THAT(testing::abort_message([] {
                 Bench bench(true);
                 const Tracked named = bench.make(1);
                 Scope scope;
                 scope.spawn(nothing(bench, named));
               }),
               Catch::Contains("a Scope is joined before it is destroyed"));
}

TEST_CASE("an exception that leaves a spawned task is told to who listens, and the scope joined") {
  for (const bool shut : {false, true}) {
    CAPTURE(shut);
    Bench bench(shut);
    std::vector<std::string> told;
    Scope scope([&](const std::exception_ptr& why) {
      try {
        std::rethrow_exception(why);
      } catch (const std::runtime_error& error) {
        told.emplace_back(error.what());
      }
    });
    const Tracked named = bench.make(42);
    scope.spawn(wait_then_throw(bench, named));
    scope.spawn(nothing(bench, named));
    bench.gate.open();
    REQUIRE(told == std::vector<std::string>{"42"});
    REQUIRE(scope.running() == 0);
  }
}

TEST_CASE("an exception that leaves a spawned task ends the process") {
  REQUIRE_THAT(testing::abort_message([] {
                 Bench bench(false);
                 Scope scope;
                 const Tracked named = bench.make(42);
                 scope.spawn(throw_before_waiting(bench, named));
               }),
               Catch::Contains("42"));
}
