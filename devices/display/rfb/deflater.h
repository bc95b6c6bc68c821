// One zlib stream of a viewer's, which goes on from update to update.
//
// One thread. Owns about 270 KiB once it has been used.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace vireo::display {

class Deflater {
 public:
  Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater();

  // What the viewer's inflate() needs to see all of `bytes`; until the next call. Level 0…9.
  std::span<const std::byte> compress(std::span<const std::byte> bytes, int level);

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
  std::vector<std::byte> out_;
};

}  // namespace vireo::display
