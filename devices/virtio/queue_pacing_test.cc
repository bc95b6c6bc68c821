#include "devices/virtio/queue_pacing.h"

#include <catch2/catch.hpp>

#include "vmm/testing/manual_loop.h"

namespace vireo::dev {
namespace {

using namespace std::chrono_literals;

struct Fixture {
  ~Fixture() {
    pacing.stop();
    manual.run(end());
  }
  Task<void> end() { co_await tasks.join(); }
  Task<void> look_after_pause() {
    co_await pacing.pause();
    ++looks;
  }
  Task<void> look_when_woken() {
    co_await pacing.woken();
    ++looks;
  }

  testing::ManualLoop manual;
  QueuePacing pacing{manual.loop()};
  int looks = 0;
  Scope tasks;
};

}  // namespace

TEST_CASE("a pause between two looks at a queue has its time") {
  Fixture f;
  f.tasks.spawn(f.look_after_pause());
  f.manual.advance(QueuePacing::kPause - 1ns);
  CHECK(f.pacing.pausing());
  CHECK(f.looks == 0);
  f.manual.advance(1ns);
  CHECK_FALSE(f.pacing.pausing());
  CHECK(f.looks == 1);
}

TEST_CASE("a pause ends early when it is woken or stopped, but not by what came before") {
  const bool stops = GENERATE(false, true);
  Fixture f;
  f.pacing.wake();
  f.tasks.spawn(f.look_after_pause());
  CHECK(f.pacing.pausing());
  if (stops)
    f.pacing.stop();
  else
    f.pacing.wake();
  CHECK_FALSE(f.pacing.pausing());
  CHECK(f.looks == 1);
}

TEST_CASE("a queue's task is woken after a time, and at once by news") {
  Fixture f;
  f.pacing.wake();
  f.pacing.wake_after(1ms);
  f.tasks.spawn(f.look_when_woken());
  f.manual.advance(1ms - 1ns);
  CHECK(f.looks == 0);
  f.manual.advance(1ns);
  CHECK(f.looks == 1);
  f.tasks.spawn(f.look_when_woken());
  CHECK(f.looks == 2);
  f.pacing.forget();
  f.tasks.spawn(f.look_when_woken());
  CHECK(f.looks == 2);
  f.pacing.wake();
  CHECK(f.looks == 3);
}

}  // namespace vireo::dev
