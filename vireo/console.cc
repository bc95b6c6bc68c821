#include "vireo/console.h"

#include "devices/chardev/ring.h"

namespace vireo {

Console::Console() : ring_(std::make_shared<dev::Ring>()) {}
Console::~Console() = default;

void Console::write(std::string_view text) {
  ring_->write(text);
}

std::string Console::expect(std::string_view text, Timeout timeout) {
  return ring_->expect(text, timeout);
}

std::string Console::expect_match(const std::string& regex, Timeout timeout) {
  return ring_->expect_match(regex, timeout);
}

std::string Console::transcript() const {
  return ring_->transcript();
}

void Console::end() {
  ring_->end();
}

}  // namespace vireo
