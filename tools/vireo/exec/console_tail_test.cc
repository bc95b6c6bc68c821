#include "tools/vireo/exec/console_tail.h"

#include <catch2/catch.hpp>

using namespace vireo::cli;

TEST_CASE("a kernel's last words are found") {
  ConsoleTail tail;
  CHECK_FALSE(tail.panic());
  CHECK_FALSE(tail.killed_for_memory());
  tail.add("[    1.0] Out of memory: Killed process 77 (hog) total-vm:1kB\r\n");
  CHECK(tail.killed_for_memory());
  CHECK(tail.killed_for_memory(77));
  CHECK_FALSE(tail.killed_for_memory(7));
  tail.add("[    2.0] Kernel panic - not syncing: sysrq");
  CHECK(tail.panic() == "Kernel panic - not syncing: sysrq");
  tail.add(" triggered crash\r\n[    2.1] CPU: 0\r\n");
  CHECK(tail.panic() == "Kernel panic - not syncing: sysrq triggered crash");
}

TEST_CASE("what is kept is the end, and bounded") {
  ConsoleTail tail;
  for (int i = 0; i < 100; ++i) tail.add(std::string(ConsoleTail::kMost / 10, 'x'));
  tail.add("end");
  CHECK(tail.text().size() <= 2 * ConsoleTail::kMost);
  CHECK(tail.text().size() >= ConsoleTail::kMost);
  CHECK(tail.text().ends_with("end"));
}
