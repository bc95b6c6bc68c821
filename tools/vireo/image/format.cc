#include "tools/vireo/image/format.h"

#include <array>
#include <cstdio>
#include <ctime>

#include <fmt/format.h>

namespace vireo::cli {

namespace {

std::string date(uint32_t seconds) {
  const std::time_t time = seconds;
  std::tm local{};
  ::localtime_r(&time, &local);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local);
  return text.data();
}

std::string clock(uint64_t nanoseconds) {
  const uint64_t seconds = nanoseconds / 1000000000;
  return fmt::format("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60,
                     nanoseconds / 1000000 % 1000);
}

}  // namespace

std::string human_size(uint64_t bytes) {
  constexpr std::array kUnits{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  auto number = static_cast<double>(bytes);
  size_t unit = 0;
  for (; number >= 1000 && unit + 1 < kUnits.size(); ++unit) number /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%0.3g %sB", number, kUnits[unit]);
  return text.data();
}

std::string snapshot_table(const std::vector<blk::ImageSnapshot>& snapshots) {
  std::string table = fmt::format("{:<9} {:<16} {:>8} {:>19} {:>12} {:>10}\n", "ID", "TAG",
                                  "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
  for (const auto& snapshot : snapshots) {
    const auto& count = snapshot.instructions;
    table += fmt::format("{:<9} {:<16} {:>8} {:>19} {:>12} {:>10}\n", printable(snapshot.id),
                         printable(snapshot.name), human_size(snapshot.vm_state_size),
                         date(snapshot.date_seconds), clock(snapshot.vm_clock_nanoseconds),
                         count ? std::to_string(*count) : "");
  }
  return table;
}

}  // namespace vireo::cli
