// Images in memory for the tests of qcow2, and qemu-img as the second opinion where it is
// installed.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include <catch2/catch.hpp>

#include "blockdev/format/qcow2/create.h"
#include "blockdev/format/qcow2/qcow2.h"
#include "blockdev/testing/fixtures.h"
#include "blockdev/testing/scripted_memory.h"

namespace vireo::blk::testing {

// Tests that would take minutes take a sample, unless the environment asks for all.
inline bool thorough() {
  return std::getenv("VIREO_TEST_THOROUGH") != nullptr;
}

struct CommandResult {
  int status = -1;
  std::string output;
};
inline CommandResult run_command(const std::string& command) {
  CommandResult result;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof buffer, pipe)) result.output.append(buffer, n);
  result.status = WEXITSTATUS(pclose(pipe));
  return result;
}
inline bool have_qemu() {
  static const bool found = run_command("qemu-img --version && qemu-io --version").status == 0;
  return found;
}
inline void must_run(const std::string& command) {
  const CommandResult result = run_command(command);
  INFO(command << "\n" << result.output);
  REQUIRE(result.status == 0);
}
// qemu-img check: 0 clean, 3 leaks only, 2 corrupt.
inline CommandResult qemu_check(const Storage& storage, const TempDir& dir) {
  storage.save(dir.path("check.qcow2"));
  return run_command("cd " + dir.path(".") + " && qemu-img check -f qcow2 check.qcow2");
}

struct World {
  EventLoop loop;
  WorkerPool pool{2};
  Host host() { return {.loop = loop, .pool = pool, .log = log}; }
  // What the image complained of is told with the next failure.
  Logger log{LogLevel::warn,
             [](LogLevel, std::string_view, std::string_view text) { UNSCOPED_INFO(text); }};

  std::shared_ptr<Storage> create(Qcow2CreateOptions options,
                                  std::shared_ptr<Storage> data = nullptr) {
    auto storage = std::make_shared<Storage>();
    options.path = "test.qcow2";
    if (data) options.data_file = "data.raw";
    std::unique_ptr<Node> data_node;
    if (data) data_node = std::make_unique<ScriptedMemory>(data);
    block_on(loop, create_qcow2(host(), std::make_unique<ScriptedMemory>(storage),
                                std::move(data_node), options));
    return storage;
  }
  static Task<std::unique_ptr<Node>> give(std::shared_ptr<std::unique_ptr<Node>> node) {
    co_return std::move(*node);
  }
  // `other`: the backing image or data file.
  std::unique_ptr<Qcow2> open(std::shared_ptr<Storage> storage, Qcow2Options options = {},
                              std::unique_ptr<Node> other = nullptr, Shuffle* shuffle = nullptr) {
    if (options.path.empty()) options.path = "test.qcow2";
    if (other) options.references = References::any;
    const auto held = std::make_shared<std::unique_ptr<Node>>(std::move(other));
    return block_on(loop,
                    open_qcow2(host(), std::make_unique<ScriptedMemory>(storage, shuffle), options,
                               [held](const ImageReference&) { return give(held); }));
  }
  std::vector<std::byte> read(Node& node, uint64_t offset, size_t length) {
    qcow2::Buffer buffer(length);
    REQUIRE_FALSE(block_on(loop, node.read(offset, {buffer.vector()})));
    return {buffer.data(), buffer.data() + length};
  }
  std::error_code write(Node& node, uint64_t offset, std::span<const std::byte> bytes) {
    qcow2::Buffer buffer = qcow2::Buffer::copy_of(bytes);
    return block_on(loop, node.write(offset, {buffer.vector()}, {}));
  }
  std::error_code fill(Node& node, uint64_t offset, size_t length, uint8_t value) {
    const std::vector<std::byte> bytes(length, std::byte{value});
    return write(node, offset, bytes);
  }
};

}  // namespace vireo::blk::testing
