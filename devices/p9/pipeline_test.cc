// Requests that overlap as no honest client lets them: what one of them acts on is changed, closed,
// removed or forgotten by another while it waits for the host.
#include <sys/xattr.h>

#include <algorithm>

#include <catch2/catch.hpp>

#include "devices/p9/testing/client.h"

namespace vireo::p9 {
namespace {

namespace fs = std::filesystem;

using PendingPtr = std::shared_ptr<Client::Pending>;

// What the pool is given stays undone until the test says so.
struct Fixture {
  explicit Fixture(ShareConfig config = {})
      : client(completed(std::move(config)), std::make_unique<HandPool>()) {
    share.write("file", "some text");
    share.write("other", "more text");
    fs::create_directories(share.path() / "d/e");
    client.attach();
  }
  ShareConfig completed(ShareConfig config) const {
    config.directory = share.path();
    return config;
  }

  // Sends all of them, and then has the work done, the newest first or the oldest.
  enum class Order { oldest_first, newest_first };
  void settle(Order order) {
    while (client.loop.step() || client.hand->held() > 0)
      if (const size_t held = client.hand->held(); held > 0)
        client.hand->run(order == Order::oldest_first ? 0 : held - 1);
  }

  ShareDirectory share;
  Client client;
};

Twalk up(uint32_t fid) {
  Twalk walk{fid, fid};
  walk.names.push("..");
  return walk;
}

}  // namespace

TEST_CASE("a fid that is walked on meanwhile is removed and renamed as what it was") {
  const auto order = GENERATE(Fixture::Order::oldest_first, Fixture::Order::newest_first);
  Fixture f;
  Client& c = f.client;
  REQUIRE(c.walk(5, {"file"}) == 0);
  REQUIRE(c.walk(6, {}) == 0);
  REQUIRE(c.walk(7, {"other"}) == 0);
  const std::vector<PendingPtr> sent{c.start(Trename{5, 6, "new"}), c.start(up(5)),
                                     c.start(Tremove{7}), c.start(up(7))};
  f.settle(order);
  CHECK(c.answer(*sent[0]).error == 0);
  CHECK(c.answer(*sent[1]).error == 0);
  CHECK(c.answer(*sent[2]).error == 0);
  CHECK(c.answer(*sent[3]).error == EBADF);
  CHECK(f.share.read("new") == "some text");
  CHECK_FALSE(fs::exists(f.share.path() / "other"));
}

TEST_CASE("the same with the walk sent first") {
  const auto order = GENERATE(Fixture::Order::oldest_first, Fixture::Order::newest_first);
  Fixture f;
  Client& c = f.client;
  REQUIRE(c.walk(5, {"file"}) == 0);
  REQUIRE(c.walk(6, {}) == 0);
  REQUIRE(c.walk(7, {"other"}) == 0);
  const std::vector<PendingPtr> sent{c.start(up(5)), c.start(Trename{5, 6, "new"}), c.start(up(7)),
                                     c.start(Tremove{7})};
  f.settle(order);
  CHECK(c.answer(*sent[0]).error == 0);
  CHECK(c.answer(*sent[1]).error == 0);
  CHECK(c.answer(*sent[2]).error == EBADF);  // the fid went meanwhile
  CHECK(c.answer(*sent[3]).error == 0);
  CHECK(f.share.read("new") == "some text");
}

TEST_CASE("a rename goes to the directory that was meant when it was sent") {
  Fixture f;
  Client& c = f.client;
  REQUIRE(c.walk(5, {"d"}) == 0);
  REQUIRE(c.walk(6, {"d", "e"}) == 0);
  REQUIRE(c.walk(7, {"file"}) == 0);
  const auto moved = c.start(Trenameat{Client::kRoot, "file", 6, "new"});
  const auto gone = c.start(Tclunk{6});
  const auto again = c.start(Twalk{5, 6});
  f.settle(Fixture::Order::newest_first);
  CHECK(c.answer(*gone).error == 0);
  CHECK(c.answer(*again).error == 0);
  CHECK(c.answer(*moved).error == 0);
  CHECK(f.share.read("d/e/new") == "some text");
  CHECK(c.walk(8, {".."}, 7) == 0);
  REQUIRE(c.walk(9, {"d", "e"}) == 0);
  CHECK(c.attributes(8).qid == c.attributes(9).qid);  // the file's fid knows where it went
}

TEST_CASE("what comes after a version belongs to the session that begins with it") {
  const auto order = GENERATE(Fixture::Order::oldest_first, Fixture::Order::newest_first);
  Fixture f;
  Client& c = f.client;
  c.open(1, {"file"}, O_RDWR);
  c.open(2, {"other"}, O_RDWR);
  const auto sync = c.start(Tfsync{1, 0});
  const auto version = c.start(Tversion{8192, kProtocol});
  const uint16_t version_tag = c.last_tag();
  const auto lock = c.start(Tlock{2, 1, 0, 0, 10, 7, "guest"});
  const auto attach = c.start(Tattach{.fid = 2});
  const auto flush = c.start(Tflush{version_tag});
  const auto second = c.start(Tversion{4096, kProtocol});
  const auto late = c.start(Tgetattr{2, 0});
  CHECK_FALSE(version->length);  // the sync is still under way
  CHECK_FALSE(lock->length);
  f.settle(order);
  const int synced = c.answer(*sync).error;
  CHECK((synced == 0 || synced == EINTR));
  CHECK(Client::as<Rversion>(c.answer(*version)).max_message == 8192);
  CHECK(c.answer(*lock).error == EBADF);
  const int attached = c.answer(*attach).error;
  CHECK((attached == 0 || attached == EINTR));  // given up by the second version
  CHECK(c.answer(*flush).error == 0);
  CHECK(Client::as<Rversion>(c.answer(*second)).max_message == 4096);
  CHECK(c.answer(*late).error == EBADF);
  c.attach();
  c.open(2, {"other"}, O_RDWR);
  CHECK(c.call(Tlock{2, 1, 0, 0, 10, 8, "guest"}).status == 0);
}

TEST_CASE("a version takes all locks with it, those under way too") {
  Fixture f;
  Client& c = f.client;
  c.open(1, {"file"}, O_RDWR);
  CHECK(c.call(Tlock{1, 1, 0, 0, 1, 7, "guest"}).status == 0);
  const auto lock = c.start(Tlock{1, 1, 0, 5, 1, 7, "guest"});
  const auto version = c.start(Tversion{8192, kProtocol});
  f.settle(Fixture::Order::newest_first);
  CHECK(c.answer(*version).error == 0);
  CHECK(lock->length);
  const UniqueFd host(::open((f.share.path() / "file").c_str(), O_RDWR | O_CLOEXEC));
  struct flock theirs {};
  theirs.l_type = F_WRLCK;
  CHECK(::fcntl(host.get(), F_OFD_SETLK, &theirs) == 0);
}

TEST_CASE("flushes and versions that wait for each other's tags end") {
  Fixture f;
  Client& c = f.client;
  c.open(1, {"file"}, O_RDWR);
  const auto sync = c.start(Tfsync{1, 0});
  const auto version = c.start(Tversion{8192, kProtocol});
  const auto tag = static_cast<uint16_t>(c.last_tag() + 2);
  const auto flush = c.start(Tflush{tag});  // of what comes only now
  const auto second = c.start(Tversion{8192, kProtocol});
  REQUIRE(c.last_tag() == tag);
  f.settle(Fixture::Order::oldest_first);
  for (const auto& sent : {sync, version, flush, second}) CHECK(sent->length);
}

TEST_CASE("a fid is opened once, and is then no attribute") {
  const auto order = GENERATE(Fixture::Order::oldest_first, Fixture::Order::newest_first);
  Fixture f;
  Client& c = f.client;
  REQUIRE(c.walk(1, {"file"}) == 0);
  const auto one = c.start(Tlopen{1, O_RDWR});
  const auto two = c.start(Tlopen{1, O_RDWR});
  f.settle(order);
  const int first = c.answer(*one).error, second = c.answer(*two).error;
  CHECK(std::min(first, second) == 0);
  CHECK(std::max(first, second) == EINVAL);
  CHECK(c.error(Txattrcreate{1, "user.a", 1, 0}) == EINVAL);
  REQUIRE(c.walk(2, {"file"}) == 0);
  const auto open = c.start(Tlopen{2, O_RDWR});
  const auto attribute = c.start(Txattrcreate{2, "user.a", 1, 0});
  f.settle(order);
  CHECK((c.answer(*open).error == 0) != (c.answer(*attribute).error == 0));
  REQUIRE(c.walk(3, {}) == 0);
  const auto made = c.start(Tlcreate{3, "new", O_RDWR, 0644, 0});
  const auto twice = c.start(Tlcreate{3, "new2", O_RDWR, 0644, 0});
  const auto walked = c.start(up(3));
  f.settle(order);
  CHECK((c.answer(*made).error == 0) + (c.answer(*twice).error == 0) +
            (c.answer(*walked).error == 0) ==
        1);
  const size_t before = c.server.open_descriptors();
  for (const uint32_t fid : {1U, 2U, 3U}) c.error(Tclunk{fid});
  CHECK(c.server.open_descriptors() < before);
}

TEST_CASE("a fid that goes while it is opened stays gone") {
  const auto order = GENERATE(Fixture::Order::oldest_first, Fixture::Order::newest_first);
  Fixture f;
  Client& c = f.client;
  const size_t before = c.server.open_descriptors();
  REQUIRE(c.walk(1, {"file"}) == 0);
  REQUIRE(c.walk(2, {"other"}) == 0);
  const auto open = c.start(Tlopen{1, O_RDWR});
  const auto clunk = c.start(Tclunk{1});
  const auto again = c.start(Tlopen{2, O_RDWR});
  const auto remove = c.start(Tremove{2});
  f.settle(order);
  CHECK(c.answer(*open).error == EBADF);
  CHECK(c.answer(*clunk).error == 0);
  CHECK(c.answer(*again).error == EBADF);
  CHECK(c.answer(*remove).error == 0);
  CHECK(c.server.open_descriptors() == before);
}

TEST_CASE("an attribute is set once, with what was written before its clunk") {
  Fixture f;
  Client& c = f.client;
  REQUIRE(c.walk(1, {"file"}) == 0);
  c.call(Txattrcreate{1, "user.a", 4, 0});
  c.write(1, 0, "text");
  const auto clunk = c.start(Tclunk{1});
  const auto write = c.start(Twrite{1, 4, {1}}, "!");
  const auto twice = c.start(Tclunk{1});
  f.settle(Fixture::Order::newest_first);
  CHECK(c.answer(*write).error == EBADF);
  CHECK(c.answer(*twice).error == EBADF);
  const int set = c.answer(*clunk).error;
  if (set == EOPNOTSUPP) return;  // the host's file system has none
  CHECK(set == 0);
  char value[8] = {};
  CHECK(::getxattr((f.share.path() / "file").c_str(), "user.a", value, sizeof(value)) == 4);
}

TEST_CASE("a lock that comes through a file being closed does not outlive it") {
  const auto order = GENERATE(Fixture::Order::oldest_first, Fixture::Order::newest_first);
  Fixture f;
  Client& c = f.client;
  c.open(1, {"file"}, O_RDWR);
  c.open(2, {"other"}, O_RDWR);
  CHECK(c.call(Tlock{1, 1, 0, 0, 1, 7, "guest"}).status == 0);
  const std::vector<PendingPtr> sent{c.start(Tlock{2, 1, 0, 0, 1, 7, "guest"}),
                                     c.start(Tlock{1, 1, 0, 5, 1, 7, "guest"}), c.start(Tclunk{1}),
                                     c.start(Tclunk{2}), c.start(Tlock{1, 1, 0, 9, 1, 7, "guest"})};
  f.settle(order);
  for (const PendingPtr& one : sent) CHECK(one->length);
  for (const char* name : {"file", "other"}) {
    const UniqueFd host(::open((f.share.path() / name).c_str(), O_RDWR | O_CLOEXEC));
    struct flock theirs {};
    theirs.l_type = F_WRLCK;
    CHECK(::fcntl(host.get(), F_OFD_SETLK, &theirs) == 0);
  }
}

}  // namespace vireo::p9
