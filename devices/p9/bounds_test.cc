// How much of the host a client can take: memory, descriptors, locks, other programs' time.
#include <fcntl.h>
#include <linux/limits.h>

#include <algorithm>

#include <catch2/catch.hpp>

#include "devices/p9/testing/client.h"

namespace vireo::p9 {
namespace {

namespace fs = std::filesystem;

struct Fixture {
  explicit Fixture(ShareConfig config = {}) : client(completed(std::move(config))) {
    share.write("file", "0123456789");
    client.attach();
  }
  ShareConfig completed(ShareConfig config) const {
    config.directory = share.path();
    return config;
  }
  int lock(uint8_t type, uint64_t start, uint64_t length, uint32_t process = 7, uint32_t fid = 1) {
    return client.error(Tlock{fid, type, 0, start, length, process, "guest"});
  }
  // Whether a program of the host could lock the file now.
  bool free_on_host(short type) const {
    const UniqueFd host(::open((share.path() / "file").c_str(), O_RDWR | O_CLOEXEC));
    struct flock theirs {};
    theirs.l_type = type;
    return ::fcntl(host.get(), F_OFD_SETLK, &theirs) == 0;
  }

  ShareDirectory share;
  Client client;
};

constexpr uint8_t kRead = 0, kWrite = 1, kUnlock = 2;

}  // namespace

TEST_CASE("fids and their names take no more memory than the share has") {
  constexpr size_t kMemory = 1 << 20;
  Fixture f({.memory = kMemory});
  Client& c = f.client;
  REQUIRE(c.walk(1, {"file"}) == 0);
  const std::string pad(240, 'n');
  uint32_t held = 0;
  int error = 0;
  for (uint32_t fid = 2; error == 0 && fid < 10'000; ++fid) {
    const std::string name = pad + std::to_string(fid);
    REQUIRE(c.error(Tlink{Client::kRoot, 1, name}) == 0);
    error = c.walk(fid, {name});
    if (error == 0) ++held;
  }
  CHECK(error == ENOMEM);
  CHECK(held > 500);
  CHECK(held * pad.size() < kMemory);
  // The same where the fids share a file, and where they make one.
  c.call(Tclunk{3});
  uint32_t fid = 20'000;
  while (fid < 40'000 && (error = c.walk(fid, {})) == 0) ++fid;
  CHECK(error == ENOMEM);
  CHECK(c.error(Tattach{.fid = 90'000}) == ENOMEM);
  CHECK(c.error(Tlopen{2, O_RDONLY}) == ENOMEM);
  CHECK(c.error(Tlcreate{20'000, "made", O_RDWR, 0600, 0}) == ENOMEM);
  CHECK_FALSE(fs::exists(f.share.path() / "made"));
  // What goes makes room.
  for (uint32_t gone = 20'000; gone < fid; ++gone) REQUIRE(c.error(Tclunk{gone}) == 0);
  CHECK(c.walk(20'000, {}) == 0);
  CHECK(c.error(Tlopen{2, O_RDONLY}) == 0);
  c.attach();
  for (uint32_t again = 1; again < held; ++again) REQUIRE(c.walk(again, {}) == 0);
}

TEST_CASE("the descriptors of files that are being opened count as open") {
  const ShareDirectory share;
  share.write("file", "x");
  Client c({.directory = share.path(), .descriptors = 64}, std::make_unique<HandPool>());
  c.attach();
  std::vector<std::shared_ptr<Client::Pending>> sent;
  for (uint32_t fid = 1; fid <= 100; ++fid) {
    REQUIRE(c.walk(fid, {"file"}) == 0);
    sent.push_back(c.start(Tlopen{fid, O_RDWR}));
  }
  c.finish();
  CHECK(std::count_if(sent.begin(), sent.end(),
                      [&](const auto& one) { return c.answer(*one).error == 0; }) == 32);
  CHECK(c.server.open_descriptors() <= 64);
}

TEST_CASE("the values of attributes that are being read count as read") {
  const ShareDirectory share;
  Client c({.directory = share.path()}, std::make_unique<HandPool>());
  c.attach();
  std::vector<std::shared_ptr<Client::Pending>> sent;
  for (uint32_t fid = 1; fid <= 200; ++fid)
    sent.push_back(c.start(Txattrwalk{Client::kRoot, fid, ""}));
  c.finish();
  const auto refused = std::count_if(
      sent.begin(), sent.end(), [&](const auto& one) { return c.answer(*one).error == ENOMEM; });
  CHECK(refused > 70);
}

TEST_CASE("attributes without a value and with long names are bounded, too") {
  Fixture f;
  Client& c = f.client;
  const std::string longest(XATTR_NAME_MAX, 'n');
  REQUIRE(c.walk(1, {}) == 0);
  CHECK(c.error(Txattrcreate{1, longest + "n", 0, 0}) == ERANGE);
  uint32_t fid = 1;
  int error = 0;
  while (fid < 100'000 && (error = c.error(Txattrcreate{fid, longest, 0, 0})) == 0) {
    ++fid;
    REQUIRE(c.walk(fid, {}) == 0);
  }
  CHECK(error == ENOMEM);
}

TEST_CASE("an unlock that leaves more locks than there may be is refused") {
  Fixture f;
  Client& c = f.client;
  c.open(1, {"file"}, O_RDWR);
  REQUIRE(f.lock(kWrite, 0, 0) == 0);
  uint64_t at = 1;
  int error = 0;
  for (; at < 20'000 && error == 0; at += 2) error = f.lock(kUnlock, at, 1);
  CHECK(error == ENOLCK);
  CHECK(at < 10'000);
  CHECK(f.lock(kWrite, 1, 1, 8) == ENOLCK);  // free, but one too many
  CHECK(f.lock(kUnlock, 0, 0) == 0);         // leaves none, and so goes
  CHECK(f.lock(kWrite, at, 1, 8) == 0);
}

TEST_CASE("the names of those who lock are as long as those of hosts") {
  Fixture f;
  Client& c = f.client;
  c.open(1, {"file"}, O_RDWR);
  const std::string name(256, 'n');
  CHECK(c.error(Tlock{1, kWrite, 0, 0, 1, 7, name}) == ENAMETOOLONG);
  CHECK(c.error(Tgetlock{1, kWrite, 0, 1, 7, name}) == ENAMETOOLONG);
  CHECK(c.error(Tlock{1, kWrite, 0, 0, 1, 7, std::string_view(name).substr(1)}) == 0);
}

TEST_CASE("files with locks are bounded") {
  Fixture f({.descriptors = 64});
  Client& c = f.client;
  int error = 0;
  uint32_t fid = 1;
  for (; error == 0 && fid < 30; ++fid) {
    f.share.write(std::to_string(fid), "x");
    c.open(fid, {std::to_string(fid)}, O_RDWR);
    error = f.lock(kWrite, 0, 1, 7, fid);
  }
  CHECK(error == ENOLCK);
  CHECK(fid == 10);
  // A file that has none may still be asked about, and be unlocked.
  CHECK(f.lock(kUnlock, 0, 0, 7, fid - 1) == 0);
  CHECK(c.call(Tgetlock{fid - 1, kWrite, 0, 1, 7, "guest"}).type == kUnlock);
  {
    const UniqueFd host(
        ::open((f.share.path() / std::to_string(fid - 1)).c_str(), O_RDWR | O_CLOEXEC));
    struct flock theirs {};
    theirs.l_type = F_WRLCK;
    REQUIRE(::fcntl(host.get(), F_OFD_SETLK, &theirs) == 0);
    CHECK(c.call(Tgetlock{fid - 1, kWrite, 0, 1, 7, "guest"}).type == kWrite);
  }
  CHECK(f.lock(kUnlock, 0, 1, 7, 1) == 0);
  CHECK(f.lock(kWrite, 0, 1, 7, fid - 1) == 0);
}

TEST_CASE("a guest that may only read holds up nobody on the host, and sees who holds it up") {
  Fixture f({.read_only = true});
  Client& c = f.client;
  c.open(1, {"file"});
  c.open(2, {"file"});
  CHECK(c.call(Tlock{1, kRead, 0, 0, 0, 7, "guest"}).status == 0);
  CHECK(f.free_on_host(F_WRLCK));
  CHECK(c.call(Tlock{2, kWrite, 0, 0, 1, 8, "guest"}).status == 1);  // among themselves they do
  CHECK(c.call(Tgetlock{2, kWrite, 0, 1, 8, "guest"}).process == 7);
  CHECK(c.call(Tlock{1, kUnlock, 0, 0, 0, 7, "guest"}).status == 0);
  const UniqueFd host(::open((f.share.path() / "file").c_str(), O_RDWR | O_CLOEXEC));
  struct flock theirs {};
  theirs.l_type = F_WRLCK;
  REQUIRE(::fcntl(host.get(), F_OFD_SETLK, &theirs) == 0);
  CHECK(c.call(Tlock{1, kRead, 0, 0, 0, 7, "guest"}).status == 1);
  CHECK(c.call(Tgetlock{1, kRead, 0, 0, 7, "guest"}).type == kWrite);
  theirs.l_type = F_UNLCK;
  REQUIRE(::fcntl(host.get(), F_OFD_SETLK, &theirs) == 0);
  CHECK(c.call(Tlock{1, kRead, 0, 0, 0, 7, "guest"}).status == 0);
}

TEST_CASE("names that are longer than the host's are what a kernel says of them") {
  for (const Security security : {Security::none, Security::mapped_xattr, Security::mapped_file}) {
    Fixture f({.security = security});
    const std::string target(PATH_MAX, 't');
    CHECK(f.client.error(Tsymlink{Client::kRoot, "link", target, 0}) == ENAMETOOLONG);
    CHECK_FALSE(fs::exists(f.share.path() / "link"));
    const std::string name(NAME_MAX + 1, 'n');
    CHECK(f.client.walk(5, {name}) == ENAMETOOLONG);
  }
}

}  // namespace vireo::p9
