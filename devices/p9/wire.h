// The messages of 9P2000.L on the wire: Linux' include/net/9p/9p.h, the protocol notes of diod
// (protocol.md) and 9P2000's own manual, intro(5).
//
// A message is size[4] type[1] tag[2] and its fields, all little-endian; a string is length[2] and
// bytes without a terminator. Each message is a struct whose fields() lists the fields once, for
// both directions; kRequests is the table of all that a client may send. Decoded strings point into
// the bytes they were decoded from.
// Plain values; any thread. What is decoded is bounded by the bytes that are there; a message that
// is shorter or longer than its fields is refused.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"

namespace vireo::p9 {

inline constexpr size_t kHeaderSize = 7;  // size, type, tag
inline constexpr uint16_t kNoTag = 0xffff;
inline constexpr uint32_t kNoFid = 0xffffffff;
inline constexpr uint32_t kNoUid = 0xffffffff;
inline constexpr size_t kMaxWalk = 16;  // names in one Twalk
inline constexpr uint32_t kMinMessage = 4096;
inline constexpr uint32_t kMaxMessage = 1 << 20;
// What Linux takes off msize for the data of one read or write.
inline constexpr uint32_t kIoHeader = 24;
inline constexpr std::string_view kProtocol = "9P2000.L";

enum class QidType : uint8_t { file = 0, symlink = 0x02, directory = 0x80 };

struct Qid {
  QidType type = QidType::file;
  uint32_t version = 0;  // changes with the file's contents
  uint64_t path = 0;     // of this file alone
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.type)(self.version)(self.path);
  }
  bool operator==(const Qid&) const = default;
};

// The names of a Twalk, the qids of an Rwalk: a count[2] and as many.
template <class T>
struct Few {
  uint16_t count = 0;
  std::array<T, kMaxWalk> items{};
  void push(const T& item) { items.at(count++) = item; }
  std::span<const T> span() const noexcept { return std::span(items).first(count); }
};

// The data of a Twrite, Rread or Rreaddir: a count[4]; the bytes themselves stay outside.
struct Payload {
  uint32_t count = 0;
};

struct Seconds {
  uint64_t seconds = 0;
  uint64_t nanoseconds = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.seconds)(self.nanoseconds);
  }
};

struct Nothing {
  static constexpr void fields(auto& /*self*/, auto& /*archive*/) {}
};

// --- replies ---

struct Rlerror {
  static constexpr uint8_t kType = 7;
  uint32_t error = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.error); }
};
struct Rstatfs {
  uint32_t type = 0, block_size = 0;
  uint64_t blocks = 0, free = 0, available = 0, files = 0, free_files = 0, fsid = 0;
  uint32_t name_length = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.type)(self.block_size)(self.blocks)(self.free)(self.available)(self.files)(
        self.free_files)(self.fsid)(self.name_length);
  }
};
struct Ropened {  // Rlopen and Rlcreate
  Qid qid{};
  uint32_t io_unit = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.qid)(self.io_unit); }
};
struct Rqid {  // Rattach, Rsymlink, Rmknod, Rmkdir
  Qid qid{};
  static constexpr void fields(auto& self, auto& archive) { archive(self.qid); }
};
struct Rreadlink {
  std::string_view target{};
  static constexpr void fields(auto& self, auto& archive) { archive(self.target); }
};
struct Rgetattr {
  uint64_t valid = 0;
  Qid qid{};
  uint32_t mode = 0, uid = 0, gid = 0;
  uint64_t links = 0, device = 0, size = 0, block_size = 0, blocks = 0;
  Seconds accessed{}, modified{}, changed{}, born{};
  uint64_t generation = 0, data_version = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.valid)(self.qid)(self.mode)(self.uid)(self.gid)(self.links)(self.device)(
        self.size)(self.block_size)(self.blocks)(self.accessed)(self.modified)(self.changed)(
        self.born)(self.generation)(self.data_version);
  }
};
struct Rsize {  // Rxattrwalk
  uint64_t size = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.size); }
};
struct Rlock {
  uint8_t status = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.status); }
};
struct Rgetlock {
  uint8_t type = 0;
  uint64_t start = 0, length = 0;
  uint32_t process = 0;
  std::string_view client{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.type)(self.start)(self.length)(self.process)(self.client);
  }
};
struct Rversion {
  uint32_t max_message = 0;
  std::string_view version{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.max_message)(self.version);
  }
};
struct Rwalk {
  Few<Qid> qids{};
  static constexpr void fields(auto& self, auto& archive) { archive(self.qids); }
};
struct Rdata {  // Rread and Rreaddir; the data lie in the reply's buffers already
  Payload data{};
  static constexpr void fields(auto& self, auto& archive) { archive(self.data); }
};
struct Rwrite {
  uint32_t count = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.count); }
};

// --- requests ---

struct Tstatfs {
  static constexpr uint8_t kType = 8;
  using Reply = Rstatfs;
  uint32_t fid = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.fid); }
};
struct Tlopen {
  static constexpr uint8_t kType = 12;
  using Reply = Ropened;
  uint32_t fid = 0, flags = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.fid)(self.flags); }
};
struct Tlcreate {
  static constexpr uint8_t kType = 14;
  using Reply = Ropened;
  uint32_t fid = 0;
  std::string_view name{};
  uint32_t flags = 0, mode = 0, gid = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.name)(self.flags)(self.mode)(self.gid);
  }
};
struct Tsymlink {
  static constexpr uint8_t kType = 16;
  using Reply = Rqid;
  uint32_t fid = 0;
  std::string_view name{}, target{};
  uint32_t gid = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.name)(self.target)(self.gid);
  }
};
struct Tmknod {
  static constexpr uint8_t kType = 18;
  using Reply = Rqid;
  uint32_t fid = 0;
  std::string_view name{};
  uint32_t mode = 0, major = 0, minor = 0, gid = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.name)(self.mode)(self.major)(self.minor)(self.gid);
  }
};
struct Trename {
  static constexpr uint8_t kType = 20;
  using Reply = Nothing;
  uint32_t fid = 0, directory = 0;
  std::string_view name{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.directory)(self.name);
  }
};
struct Treadlink {
  static constexpr uint8_t kType = 22;
  using Reply = Rreadlink;
  uint32_t fid = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.fid); }
};
struct Tgetattr {
  static constexpr uint8_t kType = 24;
  using Reply = Rgetattr;
  uint32_t fid = 0;
  uint64_t mask = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.fid)(self.mask); }
};
struct Tsetattr {
  static constexpr uint8_t kType = 26;
  using Reply = Nothing;
  uint32_t fid = 0, valid = 0, mode = 0, uid = 0, gid = 0;
  uint64_t size = 0;
  Seconds accessed{}, modified{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.valid)(self.mode)(self.uid)(self.gid)(self.size)(self.accessed)(
        self.modified);
  }
};
struct Txattrwalk {
  static constexpr uint8_t kType = 30;
  using Reply = Rsize;
  uint32_t fid = 0, new_fid = 0;
  std::string_view name{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.new_fid)(self.name);
  }
};
struct Txattrcreate {
  static constexpr uint8_t kType = 32;
  using Reply = Nothing;
  uint32_t fid = 0;
  std::string_view name{};
  uint64_t size = 0;
  uint32_t flags = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.name)(self.size)(self.flags);
  }
};
struct Treaddir {
  static constexpr uint8_t kType = 40;
  using Reply = Rdata;
  uint32_t fid = 0;
  uint64_t offset = 0;
  uint32_t count = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.offset)(self.count);
  }
};
struct Tfsync {
  static constexpr uint8_t kType = 50;
  using Reply = Nothing;
  uint32_t fid = 0, data_only = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.fid)(self.data_only); }
};
struct Tlock {
  static constexpr uint8_t kType = 52;
  using Reply = Rlock;
  uint32_t fid = 0;
  uint8_t type = 0;
  uint32_t flags = 0;
  uint64_t start = 0, length = 0;
  uint32_t process = 0;
  std::string_view client{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.type)(self.flags)(self.start)(self.length)(self.process)(self.client);
  }
};
struct Tgetlock {
  static constexpr uint8_t kType = 54;
  using Reply = Rgetlock;
  uint32_t fid = 0;
  uint8_t type = 0;
  uint64_t start = 0, length = 0;
  uint32_t process = 0;
  std::string_view client{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.type)(self.start)(self.length)(self.process)(self.client);
  }
};
struct Tlink {
  static constexpr uint8_t kType = 70;
  using Reply = Nothing;
  uint32_t directory = 0, fid = 0;
  std::string_view name{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.directory)(self.fid)(self.name);
  }
};
struct Tmkdir {
  static constexpr uint8_t kType = 72;
  using Reply = Rqid;
  uint32_t fid = 0;
  std::string_view name{};
  uint32_t mode = 0, gid = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.name)(self.mode)(self.gid);
  }
};
struct Trenameat {
  static constexpr uint8_t kType = 74;
  using Reply = Nothing;
  uint32_t old_directory = 0;
  std::string_view old_name{};
  uint32_t new_directory = 0;
  std::string_view new_name{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.old_directory)(self.old_name)(self.new_directory)(self.new_name);
  }
};
struct Tunlinkat {
  static constexpr uint8_t kType = 76;
  using Reply = Nothing;
  uint32_t fid = 0;
  std::string_view name{};
  uint32_t flags = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.name)(self.flags);
  }
};
struct Tversion {
  static constexpr uint8_t kType = 100;
  using Reply = Rversion;
  uint32_t max_message = 0;
  std::string_view version{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.max_message)(self.version);
  }
};
struct Tauth {
  static constexpr uint8_t kType = 102;
  using Reply = Rqid;
  uint32_t fid = 0;
  std::string_view user{}, tree{};
  uint32_t uid = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.user)(self.tree)(self.uid);
  }
};
struct Tattach {
  static constexpr uint8_t kType = 104;
  using Reply = Rqid;
  uint32_t fid = 0, auth_fid = kNoFid;
  std::string_view user{}, tree{};
  uint32_t uid = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.auth_fid)(self.user)(self.tree)(self.uid);
  }
};
struct Tflush {
  static constexpr uint8_t kType = 108;
  using Reply = Nothing;
  uint16_t old_tag = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.old_tag); }
};
struct Twalk {
  static constexpr uint8_t kType = 110;
  using Reply = Rwalk;
  uint32_t fid = 0, new_fid = 0;
  Few<std::string_view> names{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.new_fid)(self.names);
  }
};
struct Tread {
  static constexpr uint8_t kType = 116;
  using Reply = Rdata;
  uint32_t fid = 0;
  uint64_t offset = 0;
  uint32_t count = 0;
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.offset)(self.count);
  }
};
struct Twrite {
  static constexpr uint8_t kType = 118;
  using Reply = Rwrite;
  uint32_t fid = 0;
  uint64_t offset = 0;
  Payload data{};
  static constexpr void fields(auto& self, auto& archive) {
    archive(self.fid)(self.offset)(self.data);
  }
};
struct Tclunk {
  static constexpr uint8_t kType = 120;
  using Reply = Nothing;
  uint32_t fid = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.fid); }
};
struct Tremove {
  static constexpr uint8_t kType = 122;
  using Reply = Nothing;
  uint32_t fid = 0;
  static constexpr void fields(auto& self, auto& archive) { archive(self.fid); }
};

// std::monostate: no message that we know.
using Request = std::variant<std::monostate, Tstatfs, Tlopen, Tlcreate, Tsymlink, Tmknod, Trename,
                             Treadlink, Tgetattr, Tsetattr, Txattrwalk, Txattrcreate, Treaddir,
                             Tfsync, Tlock, Tgetlock, Tlink, Tmkdir, Trenameat, Tunlinkat, Tversion,
                             Tauth, Tattach, Tflush, Twalk, Tread, Twrite, Tclunk, Tremove>;

// --- encoding and decoding ---

template <class T>
concept WireScalar = std::unsigned_integral<T> || std::is_same_v<T, QidType>;
class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> bytes) noexcept : reader_(bytes) {}
  template <class T>
  Decoder& operator()(T& value) {
    if constexpr (std::unsigned_integral<T>)
      value = reader_.get<Le<T>>();
    else if constexpr (std::is_same_v<T, QidType>)
      value = QidType{reader_.get<uint8_t>()};
    else if constexpr (std::is_same_v<T, std::string_view>)
      value = string();
    else if constexpr (std::is_same_v<T, Payload>)
      value.count = reader_.get<le32>();
    else
      T::fields(value, *this);
    return *this;
  }
  template <class T>
  Decoder& operator()(Few<T>& few) {
    const uint16_t count = reader_.get<le16>();
    if (count > kMaxWalk) reader_.fail();
    for (uint16_t i = 0; i < count && reader_.ok(); ++i) {
      T item{};
      (*this)(item);
      few.push(item);
    }
    return *this;
  }
  bool ok() const noexcept { return reader_.ok(); }
  bool at_end() const noexcept { return reader_.at_end(); }

 private:
  std::string_view string() {
    const uint16_t length = reader_.get<le16>();
    const auto bytes = reader_.take(length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  ByteReader reader_;
};

class Encoder {
 public:
  explicit Encoder(ByteWriter& writer) noexcept : writer_(writer) {}
  template <class T>
  Encoder& operator()(const T& value) {
    if constexpr (std::unsigned_integral<T>)
      writer_.put(Le<T>(value));
    else if constexpr (std::is_same_v<T, QidType>)
      writer_.put(static_cast<uint8_t>(value));
    else if constexpr (std::is_same_v<T, std::string_view>)
      string(value);
    else if constexpr (std::is_same_v<T, Payload>)
      writer_.put(le32(value.count));
    else
      T::fields(value, *this);
    return *this;
  }
  template <class T>
  Encoder& operator()(const Few<T>& few) {
    writer_.put(le16(few.count));
    for (const T& item : few.span()) (*this)(item);
    return *this;
  }

 private:
  void string(std::string_view text) {
    VMM_CHECK(text.size() <= 0xffff, "a string of ours fits its length field");
    writer_.put(le16(static_cast<uint16_t>(text.size())));
    writer_.put(bytes_of_text(text));
  }
  ByteWriter& writer_;
};

// The bytes a message's fields take at least.
class LeastSize {
 public:
  template <class T>
  constexpr LeastSize& operator()(const T& value) {
    if constexpr (WireScalar<T>)
      size_ += sizeof(T);
    else if constexpr (std::is_same_v<T, std::string_view>)
      size_ += 2;
    else if constexpr (std::is_same_v<T, Payload>)
      size_ += 4;
    else
      T::fields(value, *this);
    return *this;
  }
  template <class T>
  constexpr LeastSize& operator()(const Few<T>& /*few*/) {
    size_ += 2;
    return *this;
  }
  constexpr size_t size() const noexcept { return size_; }

 private:
  size_t size_ = 0;
};
template <class T>
constexpr size_t least_size() {
  const T message{};
  LeastSize sizer;
  T::fields(message, sizer);
  return sizer.size();
}

struct Header {
  uint32_t size = 0;
  uint8_t type = 0;
  uint16_t tag = 0;
};
Header decode_header(std::span<const std::byte, kHeaderSize> bytes) noexcept;

// What the table says of a request.
struct RequestInfo {
  uint8_t type = 0;
  size_t least = 0;           // bytes of the fields, with empty strings
  bool carries_data = false;  // after the fields, up to the end of the message
  std::optional<Request> (*decode)(std::span<const std::byte> fields) = nullptr;
};

namespace detail {
template <class T>
std::optional<Request> decode_as(std::span<const std::byte> fields) {
  T message;
  Decoder decoder(fields);
  decoder(message);
  if (!decoder.at_end()) return std::nullopt;
  return message;
}
template <class Variant>
struct TableOf;
template <class... T>
struct TableOf<std::variant<std::monostate, T...>> {
  static constexpr std::array value{
      RequestInfo{T::kType, least_size<T>(), std::is_same_v<T, Twrite>, decode_as<T>}...};
};
}  // namespace detail

inline constexpr auto kRequests = detail::TableOf<Request>::value;

// nullptr for a type that no request has.
const RequestInfo* find_request(uint8_t type) noexcept;

// A whole message with its header. The data that a Payload counts belong to the size and are not
// appended.
template <class T>
std::vector<std::byte> encode(uint8_t type, uint16_t tag, const T& message, uint32_t data = 0) {
  ByteWriter writer;
  writer.put(le32(0));
  writer.put(type);
  writer.put(le16(tag));
  Encoder encoder(writer);
  encoder(message);
  const le32 size(static_cast<uint32_t>(writer.size()) + data);
  std::memcpy(writer.bytes().data(), &size, sizeof(size));
  return writer.take();
}

}  // namespace vireo::p9
