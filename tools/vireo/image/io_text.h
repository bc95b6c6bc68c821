// The words of 'image io', which scripts compare: they are qemu-io's. Pure functions; any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace vireo::cli {

// What is wrong with a command, as it is told.
class IoError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// "64 KiB", "1.500 KiB", "512 bytes".
std::string io_size(double bytes);

// What was done: "wrote 512/512 bytes at offset 0" and how fast, or all of that for machines.
struct IoDone {
  const char* what = "";
  uint64_t offset = 0, bytes = 0;
  std::chrono::nanoseconds time{0};
};
std::string io_report(const IoDone& done, bool for_machines);

// Sixteen bytes a line, with their addresses.
std::string io_dump(std::span<const std::byte> bytes, uint64_t offset);

// A command's words after its name: options, and what is none.
struct IoWords {
  std::map<char, std::string> options;
  std::vector<std::string> rest;

  bool has(char option) const { return options.contains(option); }
};
std::vector<std::string> split_words(const std::string& line);
// `known`: the letters of the options, those with a value followed by a colon. Throws IoError.
IoWords parse_words(const std::string& name, std::span<const std::string> words,
                    const std::string& known);

// Sizes with the suffixes of qemu-img. Throws IoError.
uint64_t io_number(const std::string& text);
// At most what one request may have.
uint64_t io_length(const std::string& text);
// A byte, decimal or 0x.
std::byte io_pattern(const std::string& text);

}  // namespace vireo::cli
