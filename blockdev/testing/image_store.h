// Images in memory that name each other: what a directory is for the real ones. For tests of jobs
// over chains of images.
//
// Thread: that of the World's loop. Names without an ending ".qcow2" are raw images.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "blockdev/disk.h"
#include "blockdev/format/raw.h"
#include "blockdev/testing/qcow2_fixture.h"

namespace vireo::blk::testing {

class ImageStore {
 public:
  using Bytes = std::vector<std::byte>;

  World world;

  Storage& file(const std::string& name) { return *files_.at(name); }
  void raw(const std::string& name, uint64_t size);
  // options.backing_file is the name of another image here.
  void qcow2(const std::string& name, Qcow2CreateOptions options);
  // Requests of all images opened from now on complete late and in an order of their own.
  void shuffle(uint64_t seed) { shuffle_ = std::make_unique<Shuffle>(world.loop, seed); }

  std::unique_ptr<Disk> open(const std::string& name, Qcow2Options options = {});
  std::unique_ptr<Disk> open_read_only(const std::string& name) {
    return open(name, {.read_only = true});
  }
  // Without its backing image.
  std::unique_ptr<Disk> open_alone(const std::string& name, bool read_only = true) {
    return open(name, {.read_only = read_only, .no_backing = true});
  }
  void close(std::unique_ptr<Disk> disk) { REQUIRE_FALSE(run(disk->close())); }
  // What a guest would read.
  Bytes content(const std::string& name);
  // Free of errors, and of leaks too if `leaks` is not set.
  void check(const std::string& name, bool leaks = false);
  // Random data, zeros, discards and compressed clusters, on whole clusters and not.
  void scribble(const std::string& name, std::mt19937_64& random, unsigned requests);

  template <class T>
  T run(Task<T> task) {
    return block_on(world.loop, std::move(task));
  }
  std::error_code write(Disk& disk, uint64_t offset, Bytes bytes, WriteFlags flags = {});

  // Keeps all files, to start again from there.
  std::map<std::string, Storage> save() const;
  void restore(const std::map<std::string, Storage>& saved);

 private:
  static bool is_qcow2(const std::string& name) { return name.ends_with(".qcow2"); }
  Task<std::unique_ptr<Node>> open_node(std::string name, Qcow2Options options);
  Task<std::unique_ptr<Node>> open_reference(ImageReference reference);
  std::error_code scribble_once(Disk& disk, std::mt19937_64& random);

  std::map<std::string, std::shared_ptr<Storage>> files_;
  std::unique_ptr<Shuffle> shuffle_;
};

}  // namespace vireo::blk::testing
