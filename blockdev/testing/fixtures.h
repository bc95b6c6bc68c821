// What block tests share: a loop with its pool, temporary directories, patterns of bytes. One
// thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "blockdev/buffer.h"
#include "blockdev/disk.h"
#include "blockdev/host.h"

namespace vireo::blk::testing {

// A loop that the test steps itself.
struct TestHost {
  EventLoop loop;
  WorkerPool pool{2};

  Host host() { return Host{.loop = loop, .pool = pool}; }
  template <class T>
  T wait(Task<T> task) {
    return block_on(loop, std::move(task));
  }
};

// Removed with everything in it.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();
  std::string path(const std::string& name) const { return (path_ / name).string(); }
  // A sparse file of that size; returns its path.
  std::string file(const std::string& name, uint64_t size) const;

 private:
  std::filesystem::path path_;
};

std::vector<std::byte> file_content(const std::string& path);

// Bytes that differ from place to place and from seed to seed, never zero.
std::vector<std::byte> pattern(size_t size, uint32_t seed);
std::vector<std::byte> zeros(size_t size);

// Whole requests through aligned buffers of the helper's own, on a Disk or a Node.
template <class Target>
std::error_code write_bytes(TestHost& host, Target& target, uint64_t offset,
                            const std::vector<std::byte>& bytes, WriteFlags flags = {}) {
  const Buffer buffer{std::max<size_t>(bytes.size(), 1), 4096};
  std::copy(bytes.begin(), bytes.end(), buffer.data());
  return host.wait(target.write(offset, buffer.vectors(0, bytes.size()), flags));
}

// What was read; fails the test on an error.
template <class Target>
std::vector<std::byte> read_bytes(TestHost& host, Target& target, uint64_t offset, size_t size) {
  const Buffer buffer{std::max<size_t>(size, 1), 4096};
  const std::error_code error = host.wait(target.read(offset, buffer.vectors(0, size)));
  if (error) throw std::system_error(error, "read_bytes");
  return {buffer.data(), buffer.data() + size};
}

}  // namespace vireo::blk::testing

// A failed comparison of megabytes is to be readable.
template <>
struct Catch::StringMaker<std::vector<std::byte>> {
  static std::string convert(const std::vector<std::byte>& bytes);
};
