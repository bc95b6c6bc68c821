// A session of any messages with a real directory, beside which lies one that must stay as it is.
// The input's first byte is the ownership model, then each message is a length[2], a type, and as
// many bytes of fields and data; every fourth length leaves the size in the header wrong. The upper
// bits of the length say what happens before the next message: it waits for the answer, or for
// nobody, or some of what the server left to its pool is done, which the input chooses, too.
// Nothing runs on another thread, so that an input does the same each time.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "devices/p9/testing/client.h"

using namespace vireo;
using namespace vireo::p9;

namespace fs = std::filesystem;

namespace {

constexpr size_t kMaxMessages = 200;

// Sparse files may be large, but not the disk.
void limit_files() {
  const rlimit limit{64 << 20, 64 << 20};
  static_cast<void>(::setrlimit(RLIMIT_FSIZE, &limit));
  ::signal(SIGXFSZ, SIG_IGN);
}

ShareConfig config_of(const ShareDirectory& share, uint8_t choice) {
  ShareConfig config;
  config.directory = share.path();
  config.security = Security{static_cast<uint8_t>(choice % 4)};
  config.read_only = (choice & 0x40) != 0;
  config.descriptors = (choice & 0x80) != 0 ? 64 : 512;
  config.files = 1000;
  return config;
}

void fill(const ShareDirectory& share) {
  fs::create_directories(share.path() / "d/e");
  share.write("file", "some text");
  share.write("d/e/deep", "more text");
  fs::create_symlink("..", share.path() / "up");
  fs::create_symlink("/", share.path() / "absolute");
  std::ofstream(share.outside() / "secret") << "secret";
}

void check_outside(const ShareDirectory& share) {
  std::ifstream secret(share.outside() / "secret");
  VMM_CHECK(std::string(std::istreambuf_iterator<char>(secret), {}) == "secret",
            "what lies outside stays");
  const auto entries = std::distance(fs::directory_iterator(share.outside()), {});
  VMM_CHECK(entries == 2, "nothing is made or removed outside");
}

// The tags are 1, 2, … for a Tflush to name; some requests take one that may be in use.
uint16_t tag_of(Client& client, uint16_t length) {
  const uint16_t next = client.next_tag();
  return length % 16 == 13 ? static_cast<uint16_t>(length % 8) : next;
}

std::vector<std::byte> next_message(Client& client, ByteReader& script, uint16_t length) {
  const auto type = script.get<uint8_t>();
  const auto fields = script.take(std::min<size_t>(length, script.rest().size()));
  std::vector<std::byte> message = encode(type, tag_of(client, length), Nothing{});
  message.insert(message.end(), fields.begin(), fields.end());
  if (length % 4 != 3) {
    const le32 size(static_cast<uint32_t>(message.size()));
    std::memcpy(message.data(), &size, sizeof(size));
  }
  return message;
}

void do_some(Client& client, size_t choice) {
  if (const size_t held = client.hand->held(); held > 0) client.hand->run(choice % held);
  client.loop.step();
}

void play(Client& client, ByteReader& script) {
  for (size_t i = 0; i < kMaxMessages && !script.rest().empty(); ++i) {
    const uint16_t word = script.get<le16>();
    const auto length = static_cast<uint16_t>(word & 0x3ff);
    const auto pending =
        client.post(next_message(client, script, length), length % 5 == 4 ? 20 : 4096);
    switch (word >> 14) {
      case 0:
        client.wait(*pending);
        break;
      case 1:
        break;  // it stays under way for a while
      case 2:
        do_some(client, word >> 10 & 15);
        break;
      default:
        client.loop.step();
    }
  }
  client.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  limit_files();
  const ShareDirectory share;
  fill(share);
  {
    Client client(config_of(share, data[0]), std::make_unique<HandPool>());
    client.attach(1000, 8192);
    ByteReader script(std::as_bytes(std::span(data, size)).subspan(1));
    play(client, script);
  }
  check_outside(share);
  return 0;
}
