// Clients that send what they like, as much of it at once as they like: what comes back does not
// matter, but the server is there afterwards, and so is what lies outside the share.
#include <sys/resource.h>

#include <deque>

#include <catch2/catch.hpp>

#include "devices/p9/testing/client.h"
#include "devices/p9/testing/random_messages.h"

namespace vireo::p9 {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMessages = 1500;
constexpr uint32_t kTags = 40;

void fill(const ShareDirectory& share) {
  fs::create_directories(share.path() / "d/d/d");
  for (const char* name : {"a", "b", "d/a", "d/b", "d/d/a", "d/d/b"}) share.write(name, "text");
  fs::create_symlink("..", share.path() / "link");
  std::ofstream(share.outside() / "secret") << "secret";
}

void check_outside(const ShareDirectory& share) {
  std::ifstream secret(share.outside() / "secret");
  CHECK(std::string(std::istreambuf_iterator<char>(secret), {}) == "secret");
  CHECK(std::distance(fs::directory_iterator(share.outside()), {}) == 2);
}

ShareConfig config_of(const ShareDirectory& share, Random& random) {
  ShareConfig config;
  config.directory = share.path();
  config.security = Security{static_cast<uint8_t>(below(random, 4))};
  config.read_only = below(random, 8) == 0;
  config.own_loop = below(random, 2) == 0;
  config.descriptors = 64;
  return config;
}

// A message of the random kind, whole or cut; after a version a root to go on from.
void send_one(Client& client, Random& random, std::deque<std::shared_ptr<Client::Pending>>& sent) {
  auto message = random_message(random, static_cast<uint16_t>(below(random, kTags)));
  const bool version = static_cast<uint8_t>(message[4]) == Tversion::kType;
  if (below(random, 50) == 0) message.resize(below(random, static_cast<uint32_t>(message.size())));
  sent.push_back(client.post(std::move(message), below(random, 30) == 0 ? 9 : 4096));
  if (version || below(random, 10) == 0) sent.push_back(client.start(Tattach{.fid = 0}));
}

// Up to a dozen calls of the host stay under way, any of which may be the next that is done.
void do_some(Client& client, Random& random) {
  while (client.hand->held() > below(random, 12))
    client.hand->run(below(random, static_cast<uint32_t>(client.hand->held())));
  if (below(random, 2) == 0) client.loop.step();
}

}  // namespace

TEST_CASE("requests of any kind overlap in any order") {
  const auto seed = GENERATE(range(1U, 17U));
  INFO(seed);
  Random random(seed);
  const ShareDirectory share;
  fill(share);
  std::deque<std::shared_ptr<Client::Pending>> sent;
  {
    Client client(config_of(share, random), std::make_unique<HandPool>());
    client.attach(1000);
    for (size_t i = 0; i < kMessages; ++i) {
      send_one(client, random, sent);
      do_some(client, random);
    }
    client.finish();
    CHECK(client.server.open_descriptors() <= 64);
  }
  for (const auto& one : sent) CHECK(one->length);
  check_outside(share);
}

TEST_CASE("requests of any kind overlap on the pool's threads") {
  const auto seed = GENERATE(range(1U, 9U));
  INFO(seed);
  Random random(seed);
  const ShareDirectory share;
  fill(share);
  {
    Client client(config_of(share, random));
    client.attach(1000);
    std::deque<std::shared_ptr<Client::Pending>> sent;
    for (size_t i = 0; i < kMessages; ++i) {
      send_one(client, random, sent);
      if (sent.size() < kTags) continue;
      client.wait(*sent.front());
      while (!sent.empty() && sent.front()->length) sent.pop_front();
    }
    for (const auto& one : sent) client.wait(*one);
  }
  check_outside(share);
}

}  // namespace vireo::p9
