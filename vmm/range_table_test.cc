#include "vmm/range_table.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include <catch2/catch.hpp>

#include "vmm/bus.h"

namespace vireo {
namespace {

class Handler final : public IoHandler {
 public:
  void io_read(uint64_t, std::span<std::byte>) override {}
  void io_write(uint64_t, std::span<const std::byte>) override {}
};

TEST_CASE("a look-up finds what was published last, as ranges come and go") {
  constexpr uint64_t kSpacing = 0x10, kLength = 8;
  RangeTable table;
  CHECK(table.find(0, 1).handler == nullptr);
  std::array<Handler, 100> handlers;
  std::map<uint64_t, IoHandler*> wanted;
  std::mt19937 random(1);
  for (int change = 0; change < 2000; ++change) {
    const size_t which = random() % handlers.size();
    const uint64_t start = which * kSpacing;
    if (wanted.erase(start) == 0) wanted[start] = &handlers[which];
    std::vector<RangeTable::Entry> entries;
    for (const auto& [at, handler] : wanted) entries.push_back({{at, kLength}, handler});
    table.publish(entries);
    for (uint64_t i = 0; i < handlers.size(); ++i) {
      const auto found = wanted.find(i * kSpacing);
      IoHandler* const handler = found == wanted.end() ? nullptr : found->second;
      REQUIRE(table.find(i * kSpacing + 4, 4).handler == handler);
      REQUIRE(table.find(i * kSpacing + 5, 4).handler == nullptr);
    }
  }
}

// What the threads look for is always there, at one of two places, but for what moves.
TEST_CASE("threads find what stays, and never a mixture, while another thread moves a range") {
  constexpr uint64_t kLow = 0x1000, kMiddle = 0x2000, kHigh = 0x3000, kLength = 0x10;
  constexpr int kMoves = 1'000'000;
  Handler first, moving, last;
  RangeTable table;
  const auto show = [&](uint64_t at) {
    std::vector<RangeTable::Entry> entries{
        {{kMiddle, kLength}, &first}, {{at, kLength}, &moving}, {{kHigh + kHigh, kLength}, &last}};
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.range.start < b.range.start; });
    table.publish(entries);
  };
  show(kLow);
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0, seen = 0;
  const auto expect = [&](uint64_t address, const IoHandler* handler) {
    if (table.find(address, 4).handler != handler) ++wrong;
  };
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&] {
      while (!done) {
        expect(kMiddle, &first);
        expect(2 * kHigh, &last);
        for (const uint64_t at : {kLow, kHigh}) {
          const auto found = table.find(at, 4);
          if (found.handler == nullptr) continue;
          ++seen;
          if (found.handler != &moving || found.range.start != at) ++wrong;
        }
      }
    });
  for (int i = 0; i < kMoves; ++i) show(i % 2 == 0 ? kHigh : kLow);
  while (seen == 0) std::this_thread::yield();
  done = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace vireo
