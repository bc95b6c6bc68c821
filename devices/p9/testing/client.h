// A 9P client for tests: messages as the test has them, straight into a server's serve(), and a
// directory to share.
//
// Thread: the test's, which also steps the loop.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/p9/server.h"
#include "devices/p9/testing/hand_pool.h"
#include "devices/p9/wire.h"
#include "vmm/testing/temp_file.h"

namespace vireo::p9 {

// A directory with the share in it, and room beside that for what must not be reached.
class ShareDirectory {
 public:
  ShareDirectory() { std::filesystem::create_directory(path()); }

  std::filesystem::path path() const { return outside() / "share"; }
  std::filesystem::path outside() const { return directory_.path(); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path() / name) << text;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path() / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  testing::TempDir directory_;
};

// A reply: an error, or the bytes of its fields.
struct Answer {
  uint8_t type = 0;
  uint16_t tag = 0;
  int error = 0;
  std::vector<std::byte> bytes{};  // after the header
};

class Client {
 public:
  static constexpr size_t kRoom = 64 << 10, kLittleRoom = 1 << 10;

  explicit Client(const ShareConfig& config) : server(loop, config) {}
  // With a pool that the test has in hand.
  Client(const ShareConfig& config, std::unique_ptr<HandPool> pool)
      : hand(pool.get()), server(loop, config, std::move(pool)) {}
  ~Client() {
    if (hand != nullptr) finish();
    block_on(loop, server.drain());
  }

  // Sends raw bytes; the reply comes into `pending`.
  struct Pending {
    std::vector<std::byte> request, room;
    std::optional<uint32_t> length{};  // of the reply, once it came
  };
  std::shared_ptr<Pending> post(std::vector<std::byte> request, size_t room = kLittleRoom) {
    auto pending = std::make_shared<Pending>(Pending{std::move(request), {}});
    pending->room.resize(room);
    server.serve({.request = {{pending->request.data(), pending->request.size()}},
                  .reply = {{pending->room.data(), pending->room.size()}},
                  .send = [pending](uint32_t length) { pending->length = length; }});
    return pending;
  }
  void wait(const Pending& pending) {
    while (!pending.length) turn();
  }
  // The oldest work of a pool in hand is done, or else what comes from the pool's threads awaited.
  void turn() {
    if (hand == nullptr) return static_cast<void>(loop.step(std::chrono::seconds(1)));
    if (!loop.step() && hand->held() > 0) hand->run(0);
  }
  // All that is under way.
  void finish() {
    while (loop.step() || hand->held() > 0) turn();
  }
  Answer answer(const Pending& pending) {
    wait(pending);
    Answer answer;
    const std::span<const std::byte> reply = std::span(pending.room).first(*pending.length);
    if (reply.size() < kHeaderSize) return answer;
    const Header header = decode_header(reply.first<kHeaderSize>());
    answer.type = header.type;
    answer.tag = header.tag;
    answer.bytes.assign(reply.begin() + kHeaderSize, reply.end());
    if (header.type == Rlerror::kType) answer.error = static_cast<int>(as<Rlerror>(answer).error);
    return answer;
  }
  template <class T>
  std::shared_ptr<Pending> start(const T& message, std::string_view data = {}) {
    auto bytes = encode(T::kType, next_tag(), message, static_cast<uint32_t>(data.size()));
    const auto more = bytes_of_text(data);
    bytes.insert(bytes.end(), more.begin(), more.end());
    constexpr bool kHasData = std::is_same_v<typename T::Reply, Rdata>;
    return post(std::move(bytes), kHasData ? kRoom : kLittleRoom);
  }
  template <class T>
  Answer send(const T& message, std::string_view data = {}) {
    return answer(*start(message, data));
  }
  // The errno, 0 for success.
  template <class T>
  int error(const T& message, std::string_view data = {}) {
    return send(message, data).error;
  }
  // The reply of a request that must work.
  template <class T>
  typename T::Reply call(const T& message, std::string_view data = {}) {
    last_ = send(message, data);
    VMM_CHECK(last_.error == 0 && last_.type == T::kType + 1, "the request works");
    return as<typename T::Reply>(last_);
  }
  template <class R>
  static R as(const Answer& answer) {
    R reply;
    Decoder decoder(answer.bytes);
    decoder(reply);
    VMM_CHECK(decoder.ok(), "a reply has all its fields");
    return reply;
  }

  uint16_t next_tag() noexcept { return tag_ = static_cast<uint16_t>((tag_ + 1) % kNoTag); }
  uint16_t last_tag() const noexcept { return tag_; }

  // --- what most tests begin with ---

  static constexpr uint32_t kRoot = 0;
  void attach(uint32_t uid = kNoUid, uint32_t max_message = 64 << 10) {
    call(Tversion{max_message, kProtocol});
    call(Tattach{.fid = kRoot, .user = "", .tree = "", .uid = uid});
  }
  // 0, or the errno; a walk that goes only part of the way is ENOENT.
  int walk(uint32_t new_fid, const std::vector<std::string>& names, uint32_t from = kRoot) {
    Twalk message{from, new_fid};
    for (const std::string& name : names) message.names.push(name);
    const Answer answered = send(message);
    if (answered.error != 0) return answered.error;
    return as<Rwalk>(answered).qids.count == names.size() ? 0 : ENOENT;
  }
  uint32_t open(uint32_t fid, const std::vector<std::string>& names, uint32_t flags = O_RDONLY) {
    VMM_CHECK(walk(fid, names) == 0, "the test's file is there");
    call(Tlopen{fid, flags});
    return fid;
  }
  std::string read(uint32_t fid, uint64_t offset = 0, uint32_t count = 32 << 10) {
    const Rdata data = call(Tread{fid, offset, count});
    const auto* const text = reinterpret_cast<const char*>(last_.bytes.data());
    return {text + sizeof(uint32_t), data.data.count};
  }
  uint32_t write(uint32_t fid, uint64_t offset, const std::string& text) {
    const Payload payload{static_cast<uint32_t>(text.size())};
    return call(Twrite{fid, offset, payload}, text).count;
  }
  struct Listed {
    Qid qid{};
    uint64_t offset = 0;
    uint8_t type = 0;
    std::string name{};
  };
  // One Treaddir.
  std::vector<Listed> list(uint32_t fid, uint64_t offset, uint32_t count = 32 << 10) {
    call(Treaddir{fid, offset, count});
    std::vector<Listed> entries;
    Decoder decoder(std::span<const std::byte>(last_.bytes).subspan(sizeof(uint32_t)));
    while (!decoder.at_end()) {
      Listed entry;
      std::string_view name;
      decoder(entry.qid)(entry.offset)(entry.type)(name);
      VMM_CHECK(decoder.ok(), "a listing has whole entries");
      entry.name = name;
      entries.push_back(std::move(entry));
    }
    return entries;
  }
  std::vector<std::string> names(uint32_t fid, uint32_t count = 32 << 10) {
    std::vector<std::string> all;
    uint64_t offset = 0;
    while (true) {
      const auto some = list(fid, offset, count);
      if (some.empty()) return all;
      for (const Listed& entry : some) all.push_back(entry.name);
      offset = some.back().offset;
    }
  }
  Rgetattr attributes(uint32_t fid) { return call(Tgetattr{fid, 0xfff}); }

  HandPool* const hand = nullptr;  // the server's
  EventLoop loop;
  Server server;

 private:
  uint16_t tag_ = 0;
  Answer last_;
};

}  // namespace vireo::p9
