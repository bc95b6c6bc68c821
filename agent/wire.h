// The messages between a host and the agent in its guest: docs/agent.md.
//
// A frame is a FrameHeader and as many bytes as it says; each message is a struct whose fields()
// lists its fields once, for both directions. Integers are little-endian; a text is size[4] and
// bytes, the last of which is a zero; texts are count[4], size[4] and such texts, one after the
// other, without their sizes. Decoded texts point into the bytes they were decoded from.
//
// Plain values; any thread. Nothing here allocates or throws: the agent has no C++ library. What is
// decoded is bounded by the bytes that are there; a message that is shorter or longer than its
// fields is refused.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "vmm/base/bytes.h"

namespace vireo::agent {

// Each side says the newest it knows in its Hello, and both go by the lower.
inline constexpr uint32_t kGeneration = 1;
// The port's name in the guest: /dev/virtio-ports/vireo.agent, where udev makes that.
inline constexpr std::string_view kPortName = "vireo.agent";

// In bytes, of a frame behind its header.
inline constexpr size_t kMaxToGuest = 4 << 20;  // more than any command line that Linux takes
inline constexpr size_t kMaxToHost = 64 * 1024;
inline constexpr size_t kMaxData = 32 * 1024;  // of a stream, in one frame
// What may be on the way in a stream before its receiver has said that it took some (Window).
inline constexpr uint32_t kWindow = 256 * 1024;
inline constexpr uint32_t kMaxCommands = 64;  // at once
// The channel of what concerns the whole guest; commands have others, which the host chooses.
inline constexpr uint32_t kMachine = 0;

struct FrameHeader {
  le32 length;   // of what follows
  le32 channel;  // whose command's
  le16 type;
  le16 reserved;  // 0
};
static_assert(sizeof(FrameHeader) == 12);

enum class Stream : uint8_t { in = 0, out = 1, error = 2 };
inline constexpr size_t kStreams = 3;

// What could not be done.
enum class Stage : uint8_t {
  request = 1,    // the message cannot be carried out as it is
  mount = 2,      // a file system
  network = 3,    // the interface
  streams = 4,    // the command's pipes or its terminal
  process = 5,    // a new one
  user = 6,       // who it is to run as
  directory = 7,  // where it is to start
  execute = 8,    // the program itself
};
inline constexpr Stage kLastStage = Stage::execute;

// A text with a zero behind it.
struct Text {
  std::string_view view{};
  const char* c_str() const noexcept { return view.empty() ? "" : view.data(); }
};

// Texts that lie one after the other, each with its zero.
struct Texts {
  uint32_t count = 0;
  std::string_view block{};

  template <class Function>
  void each(Function function) const {
    std::string_view rest = block;
    for (uint32_t i = 0; i < count; ++i) {
      const size_t length = std::strlen(rest.data());
      function(std::string_view(rest.data(), length));
      rest.remove_prefix(length + 1);
    }
  }
};

using Bytes = std::span<const std::byte>;  // all that is left of the message

// --- both ways ---

struct Hello {
  static constexpr uint16_t kType = 1;
  uint32_t generation = kGeneration;
  static constexpr void fields(auto& self, auto& archive) { archive(self.generation); }
};
struct Data {
  static constexpr uint16_t kType = 2;
  Stream stream = Stream::in;
  Bytes bytes{};
  static constexpr void fields(auto& self, auto& archive) { archive(self.stream)(self.bytes); }
};
// From the stream's sender: nothing more comes. From its receiver: nothing more is taken.
struct StreamEnd {
  static constexpr uint16_t kType = 3;
  Stream stream = Stream::in;
  static constexpr void fields(auto& self, auto& archive) { archive(self.stream); }
};
// From the stream's receiver: it took so many bytes, as many more may come.
struct Window {
  static constexpr uint16_t kType = 4;
  Stream stream = Stream::in;
  uint32_t bytes = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.stream)(self.bytes); }
};

// --- to the guest ---

struct Ping {
  static constexpr uint16_t kType = 16;
  uint64_t number = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.number); }
};
struct Clock {  // since 1970
  static constexpr uint16_t kType = 17;
  uint64_t seconds = 0;
  uint32_t nanoseconds = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.seconds)(self.nanoseconds);
  }
};
struct Entropy {
  static constexpr uint16_t kType = 18;
  Bytes bytes{};
  static constexpr void fields(auto& self, auto& archive) { archive(self.bytes); }
};
// The share of this tag, read-only, under a layer in memory, as the root of all that follows.
struct Root {
  static constexpr uint16_t kType = 19;
  Text tag{};
  static constexpr void fields(auto& self, auto& archive) { archive(self.tag); }
};
struct Share {
  static constexpr uint16_t kType = 20;
  Text tag{};
  Text path{};  // absolute; made when it is not there
  uint8_t read_only = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.tag)(self.path)(self.read_only);
  }
};
// The first Ethernet interface, and the root's /etc/resolv.conf, which a Share may lie over later;
// IPv4 addresses with their first byte as the highest.
struct Network {
  static constexpr uint16_t kType = 21;
  uint32_t address = 0;
  uint8_t prefix = 0;  // 0..32
  uint32_t gateway = 0;
  uint32_t name_server = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.address)(self.prefix)(self.gateway)(self.name_server);
  }
};
struct PowerOff {
  static constexpr uint16_t kType = 22;
  static constexpr void fields(auto& /*self*/, auto& /*archive*/) {}
};
struct Exec {
  static constexpr uint16_t kType = 23;
  uint8_t terminal = 0;            // whether the streams are one; `error` is not used then
  uint16_t rows = 0, columns = 0;  // of the terminal
  Text user{};       // "name", "uid", either with ":group" or ":gid"; empty: the agent's own
  Text directory{};  // empty: "/"
  Texts arguments{};
  Texts environment{};  // "NAME=value"
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.terminal)(self.rows)(self.columns)(self.user)(self.directory)(self.arguments)(
        self.environment);
  }
};
struct Resize {
  static constexpr uint16_t kType = 24;
  uint16_t rows = 0, columns = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.rows)(self.columns); }
};
struct Signal {  // to all processes of the command's group
  static constexpr uint16_t kType = 25;
  uint8_t number = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.number); }
};

// --- to the host ---

struct Pong {
  static constexpr uint16_t kType = 32;
  uint64_t number = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.number); }
};
// What was asked for on this channel is done: answers Clock, Entropy, Root, Share and Network.
struct Done {
  static constexpr uint16_t kType = 33;
  static constexpr void fields(auto& /*self*/, auto& /*archive*/) {}
};
// It is not; a command that was to start does not exist.
struct Failed {
  static constexpr uint16_t kType = 34;
  uint32_t error = 0;  // Linux' errno
  Stage stage = Stage::request;
  static constexpr void fields(auto& self, auto& archive) { archive(self.error)(self.stage); }
};
struct Started {
  static constexpr uint16_t kType = 35;
  uint32_t pid = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.pid); }
};
// The last message of a command: all that it wrote itself came before.
struct Exited {
  static constexpr uint16_t kType = 36;
  uint8_t status = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.status); }
};
struct Signaled {
  static constexpr uint16_t kType = 37;
  uint8_t signal = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.signal); }
};

namespace detail {

constexpr bool known(Stream stream) noexcept {
  return static_cast<size_t>(stream) < kStreams;
}
constexpr bool known(Stage stage) noexcept {
  return stage >= Stage::request && stage <= kLastStage;
}

class Decoder {
 public:
  explicit Decoder(Bytes bytes) noexcept : reader_(bytes) {}

  Decoder& operator()(std::unsigned_integral auto& value) noexcept {
    value = reader_.get<Le<std::remove_reference_t<decltype(value)>>>();
    return *this;
  }
  template <class E>
  requires std::is_enum_v<E> Decoder& operator()(E& value) noexcept {
    value = static_cast<E>(uint8_t{reader_.get<Le<uint8_t>>()});
    if (!known(value)) reader_.fail();
    return *this;
  }
  Decoder& operator()(Text& text) noexcept {
    const std::string_view block = take_block();
    const bool one = !block.empty() && block.find('\0') == block.size() - 1;
    if (!one) reader_.fail();
    text.view = std::string_view(block.data(), one ? block.size() - 1 : 0);
    return *this;
  }
  Decoder& operator()(Texts& texts) noexcept {
    texts.count = reader_.get<le32>();
    texts.block = take_block();
    const auto zeros =
        static_cast<uint64_t>(std::count(texts.block.begin(), texts.block.end(), '\0'));
    if (zeros != texts.count || (!texts.block.empty() && texts.block.back() != '\0')) {
      reader_.fail();
      texts = {};
    }
    return *this;
  }
  Decoder& operator()(Bytes& bytes) noexcept {
    bytes = reader_.take(reader_.rest().size());
    return *this;
  }
  bool at_end() const noexcept { return reader_.at_end(); }

 private:
  std::string_view take_block() noexcept {
    const uint32_t size = reader_.get<le32>();
    const Bytes taken = reader_.take(size);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  ByteReader reader_;
};

// `Sink` is called with each piece of the message.
template <class Sink>
class Encoder {
 public:
  explicit Encoder(Sink& sink) noexcept : sink_(sink) {}

  Encoder& operator()(const std::unsigned_integral auto& value) {
    const Le<std::remove_cvref_t<decltype(value)>> wire(value);
    sink_(bytes_of(wire));
    return *this;
  }
  template <class E>
  requires std::is_enum_v<E> Encoder& operator()(const E& value) {
    return (*this)(static_cast<uint8_t>(value));
  }
  Encoder& operator()(const Text& text) {
    (*this)(static_cast<uint32_t>(text.view.size() + 1));
    sink_(bytes_of_text(text.view));
    return (*this)(uint8_t{0});
  }
  Encoder& operator()(const Texts& texts) {
    (*this)(texts.count)(static_cast<uint32_t>(texts.block.size()));
    sink_(bytes_of_text(texts.block));
    return *this;
  }
  Encoder& operator()(const Bytes& bytes) {
    sink_(bytes);
    return *this;
  }

 private:
  Sink& sink_;
};

}  // namespace detail

// The message in a frame's payload; nothing when it is not exactly that.
template <class Message>
std::optional<Message> decode(Bytes payload) noexcept {
  Message message;
  detail::Decoder decoder(payload);
  Message::fields(message, decoder);
  if (!decoder.at_end()) return std::nullopt;
  return message;
}

template <class Message>
size_t payload_size(const Message& message) {
  size_t size = 0;
  auto count = [&size](Bytes bytes) { size += bytes.size(); };
  detail::Encoder encoder(count);
  Message::fields(message, encoder);
  return size;
}

// The frame, piece by piece, for `sink`.
template <class Message, class Sink>
void encode(uint32_t channel, const Message& message, Sink sink) {
  sink(bytes_of(FrameHeader{.length = static_cast<uint32_t>(payload_size(message)),
                            .channel = channel,
                            .type = Message::kType,
                            .reserved = uint16_t{0}}));
  detail::Encoder encoder(sink);
  Message::fields(message, encoder);
}

}  // namespace vireo::agent
