// A client that wants out of its share, or more of the host than it may have.
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <atomic>
#include <thread>

#include <catch2/catch.hpp>

#include "devices/p9/testing/client.h"

namespace vireo::p9 {
namespace {

namespace fs = std::filesystem;

struct Fixture {
  explicit Fixture(ShareConfig config = {}) : client(completed(std::move(config))) {
    client.attach();
  }
  ShareConfig completed(ShareConfig config) const {
    config.directory = share.path();
    return config;
  }

  ShareDirectory share;
  Client client;
};

size_t descriptors_of_this_process() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

}  // namespace

TEST_CASE("names that are not names of entries are refused everywhere") {
  Fixture f;
  f.share.write("file", "x");
  Client& c = f.client;
  REQUIRE(c.walk(1, {"file"}) == 0);
  for (const std::string& name : {std::string(".."), std::string("."), std::string(""),
                                  std::string("/"), std::string("../escape"), std::string("a/b"),
                                  std::string("/etc"), std::string("a\0b", 3)}) {
    INFO(name);
    const int error = name.empty() ? ENOENT : EINVAL;
    if (name != "..") CHECK(c.walk(2, {name}) == error);
    CHECK(c.error(Tmkdir{Client::kRoot, name, 0755, 0}) == error);
    CHECK(c.error(Tsymlink{Client::kRoot, name, "t", 0}) == error);
    CHECK(c.error(Tmknod{Client::kRoot, name, S_IFIFO | 0600, 0, 0, 0}) == error);
    CHECK(c.error(Tlink{Client::kRoot, 1, name}) == error);
    CHECK(c.error(Trename{1, Client::kRoot, name}) == error);
    CHECK(c.error(Trenameat{Client::kRoot, "file", Client::kRoot, name}) == error);
    CHECK(c.error(Trenameat{Client::kRoot, name, Client::kRoot, "new"}) == error);
    CHECK(c.error(Tunlinkat{Client::kRoot, name, 0}) == error);
    CHECK(c.error(Tunlinkat{Client::kRoot, name, 0x200}) == error);
    REQUIRE(c.walk(3, {}) == 0);
    CHECK(c.error(Tlcreate{3, name, O_RDWR, 0600, 0}) == error);
    c.call(Tclunk{3});
  }
}

TEST_CASE("there is nothing above the root") {
  Fixture f;
  fs::create_directories(f.share.path() / "d");
  std::ofstream(f.share.outside() / "secret") << "secret";
  Client& c = f.client;
  CHECK(c.walk(1, {"..", "..", "secret"}) == ENOENT);
  CHECK(c.walk(2, {"d", "..", "..", "d"}) == 0);
  // The host moves a directory out: what lies above it then is not the client's.
  REQUIRE(c.walk(3, {"d"}) == 0);
  fs::rename(f.share.path() / "d", f.share.outside() / "d");
  CHECK(c.walk(4, {"..", "secret"}, 3) == ENOENT);
  CHECK(c.walk(5, {".."}, 3) == 0);
  CHECK(c.attributes(5).qid == c.attributes(Client::kRoot).qid);
}

TEST_CASE("links lead nowhere on the host") {
  Fixture f;
  std::ofstream(f.share.outside() / "secret") << "secret";
  fs::create_symlink("/", f.share.path() / "absolute");
  fs::create_symlink("..", f.share.path() / "up");
  fs::create_symlink("../secret", f.share.path() / "file");
  fs::create_symlink("loop", f.share.path() / "loop");
  Client& c = f.client;
  CHECK(c.walk(1, {"absolute", "etc"}) != 0);
  CHECK(c.walk(1, {"up", "secret"}) != 0);
  CHECK(c.walk(1, {"loop", "x"}) != 0);
  REQUIRE(c.walk(2, {"file"}) == 0);
  CHECK(c.error(Tlopen{2, O_RDONLY}) == ELOOP);
  CHECK(c.error(Tsetattr{.fid = 2, .valid = kSetSize}) != 0);
  REQUIRE(c.walk(3, {}) == 0);
  CHECK(c.error(Tlcreate{3, "file", O_RDWR, 0600, 0}) == ELOOP);
  REQUIRE(c.walk(4, {"up"}) == 0);
  CHECK(c.error(Tmkdir{4, "escaped", 0755, 0}) == ENOTDIR);
  CHECK(c.error(Tunlinkat{4, "secret", 0}) == ENOTDIR);
  std::ifstream secret(f.share.outside() / "secret");
  CHECK(std::string(std::istreambuf_iterator<char>(secret), {}) == "secret");
}

TEST_CASE("the links of /proc lead nowhere, either") {
  Client c({.directory = "/proc/self"});
  c.attach();
  CHECK(c.walk(1, {"root", "etc"}) != 0);
  CHECK(c.walk(1, {"cwd", "."}) != 0);
  REQUIRE(c.walk(1, {"exe"}) == 0);
  CHECK(c.error(Tlopen{1, O_RDONLY}) == ELOOP);
}

// The host swaps a directory for a link to the outside, as fast as it can; whatever a request sees,
// it is inside or an error.
TEST_CASE("a link that takes a directory's place is not followed") {
  Fixture f;
  const fs::path in = f.share.path(), out = f.share.outside();
  fs::create_directories(in / "d");
  fs::create_directories(out / "d");
  f.share.write("d/file", "inside");
  std::ofstream(out / "d/file") << "outside";
  fs::create_symlink(out / "d", in / "link");
  std::atomic<bool> done = false;
  std::thread renamer([&] {
    while (!done)
      ::syscall(SYS_renameat2, AT_FDCWD, (in / "d").c_str(), AT_FDCWD, (in / "link").c_str(), 2);
  });
  Client& c = f.client;
  size_t reached = 0;
  for (uint32_t i = 0; i < 1000; ++i) {
    if (c.walk(1, {"d", "file"}) == 0) {
      if (c.error(Tlopen{1, O_RDONLY}) == 0) {
        CHECK(c.read(1) == "inside");
        ++reached;
      }
      c.call(Tclunk{1});
    }
    if (c.walk(2, {"d"}) == 0) {
      c.error(Tlcreate{2, "new" + std::to_string(i), O_WRONLY, 0600, 0});
      c.call(Tclunk{2});
    }
  }
  done = true;
  renamer.join();
  INFO(reached);
  size_t outside = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(out / "d")) ++outside;
  CHECK(outside == 1);
}

TEST_CASE("FIFOs, sockets and devices of the host are never opened") {
  Fixture f;
  REQUIRE(::mkfifo((f.share.path() / "fifo").c_str(), 0666) == 0);
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX};
  (f.share.path() / "socket").string().copy(address.sun_path, sizeof(address.sun_path) - 1);
  REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  std::vector<std::string> names{"fifo", "socket"};
  // Needs privileges; where they are missing, the guest cannot have made one, either.
  if (::mknod((f.share.path() / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0)
    names.emplace_back("null");
  Client& c = f.client;
  for (const std::string& name : names) {
    INFO(name);
    REQUIRE(c.walk(1, {name}) == 0);
    for (const uint32_t flags : {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC})
      CHECK(c.error(Tlopen{1, flags}) == ENXIO);
    CHECK(c.error(Tsetattr{.fid = 1, .valid = kSetSize}) == ENXIO);
    CHECK(c.attributes(1).size == 0);
    c.call(Tclunk{1});
    REQUIRE(c.walk(2, {}) == 0);
    CHECK(c.error(Tlcreate{2, name, O_RDWR, 0600, 0}) == ENXIO);
    c.call(Tclunk{2});
  }
}

TEST_CASE("fids are used as what they are, and reused only when they are free") {
  Fixture f;
  f.share.write("file", "x");
  Client& c = f.client;
  c.open(1, {"file"}, O_RDWR);
  CHECK(c.walk(1, {"file"}) == EINVAL);
  CHECK(c.error(Tattach{.fid = 1}) == EINVAL);
  CHECK(c.error(Twalk{1, 1}) == EINVAL);  // open
  CHECK(c.error(Tlcreate{1, "a", O_RDWR, 0600, 0}) == EINVAL);
  CHECK(c.error(Treaddir{1, 0, 1000}) == ENOTDIR);
  CHECK(c.error(Tmkdir{1, "a", 0700, 0}) == ENOTDIR);
  CHECK(c.walk(kNoFid, {}) == EINVAL);
  c.open(2, {});
  CHECK(c.error(Tread{2, 0, 100}) == EISDIR);
  CHECK(c.error(Twrite{2, 0, {1}}, "x") == EBADF);
  REQUIRE(c.walk(3, {"file"}) == 0);
  CHECK(c.error(Tread{3, 0, 100}) == EBADF);
  CHECK(c.error(Treaddir{3, 0, 100}) == EBADF);
  c.call(Txattrcreate{3, "user.a", 4, 0});
  CHECK(c.error(Tgetattr{3, 0}) == EBADF);
  CHECK(c.error(Tlopen{3, O_RDONLY}) == EBADF);
  CHECK(c.error(Tread{3, 0, 10}) == EBADF);
  CHECK(c.walk(4, {}, 3) == EBADF);
  c.error(Tclunk{3});
  CHECK(c.error(Tclunk{3}) == EBADF);
}

TEST_CASE("messages that lie about their size") {
  Fixture f;
  Client& c = f.client;
  for (const RequestInfo& info : kRequests) {
    if (info.type == Tversion::kType) continue;
    for (const size_t cut : {size_t{0}, size_t{1}, info.least - 1}) {
      auto bytes = encode(info.type, c.next_tag(), Nothing{});
      bytes.resize(kHeaderSize + std::min(cut, info.least - 1));
      const le32 size(static_cast<uint32_t>(bytes.size()));
      std::memcpy(bytes.data(), &size, sizeof(size));
      CHECK(c.answer(*c.post(bytes)).error == EBADMSG);  // truncated
      const le32 more(static_cast<uint32_t>(bytes.size() + 1));
      std::memcpy(bytes.data(), &more, sizeof(more));
      CHECK(c.answer(*c.post(bytes)).error == EBADMSG);  // longer than what is there
    }
  }
  auto huge = encode(Tclunk::kType, 1, Tclunk{1});
  huge.resize((64 << 10) + 1);
  const le32 size(static_cast<uint32_t>(huge.size()));
  std::memcpy(huge.data(), &size, sizeof(size));
  CHECK(c.answer(*c.post(huge)).error == EMSGSIZE);
  const le32 small(3);
  std::memcpy(huge.data(), &small, sizeof(small));
  CHECK(c.answer(*c.post(huge)).error == EBADMSG);
  CHECK(c.answer(*c.post(encode(200, 1, Nothing{}))).error == EOPNOTSUPP);
  CHECK(*c.post({std::byte{7}})->length == 0);
  // More data announced than sent.
  CHECK(c.error(Twrite{Client::kRoot, 0, {100}}, "few") == EBADMSG);
  // No room for the reply: its error if that fits, else nothing.
  const auto ask = encode(Tgetattr::kType, 1, Tgetattr{Client::kRoot, 0});
  CHECK(c.answer(*c.post(ask, 100)).error == EMSGSIZE);
  const auto nowhere = c.post(ask, 5);
  c.wait(*nowhere);
  CHECK(*nowhere->length == 0);
}

TEST_CASE("a tag in use is not taken twice") {
  Fixture f;
  Client& c = f.client;
  const auto first = c.post(encode(Tfsync::kType, 9, Tfsync{Client::kRoot, 0}));
  const auto second = c.post(encode(Tgetattr::kType, 9, Tgetattr{Client::kRoot, 0}));
  CHECK(c.answer(*second).error == EINVAL);
  CHECK(c.answer(*first).error == 0);
}

TEST_CASE("100000 fids hold few descriptors, and all of them work") {
  const auto check = [](uint32_t fids) {
    Fixture f({.descriptors = 256});
    Client& c = f.client;
    constexpr uint32_t kDirectories = 10, kFiles = 100;
    for (uint32_t d = 0; d < kDirectories; ++d) {
      fs::create_directories(f.share.path() / std::to_string(d));
      for (uint32_t i = 0; i < kFiles; ++i)
        f.share.write(std::to_string(d) + "/" + std::to_string(i), std::string(i, 'x'));
    }
    const size_t before = descriptors_of_this_process();
    for (uint32_t fid = 1; fid <= fids; ++fid) {
      const std::string directory = std::to_string(fid % kDirectories);
      REQUIRE(c.walk(fid, {directory, std::to_string(fid / kDirectories % kFiles)}) == 0);
    }
    CHECK(c.server.open_descriptors() <= 256);
    CHECK(descriptors_of_this_process() <= before + 256 + 16);  // threads start, too
    for (uint32_t fid = 1; fid <= fids; fid += 997)
      CHECK(c.attributes(fid).size == fid / kDirectories % kFiles);
    // Those that are gone are gone, not another file of the same name.
    fs::remove(f.share.path() / "3/7");
    f.share.write("3/7", "another file");
    CHECK(c.error(Tgetattr{73, 0}) == ESTALE);
    CHECK(c.walk(fids + 1, {"3", "7"}) == 0);
    CHECK(c.attributes(fids + 1).size == 12);
  };
  check(100'000);
  std::thread without_privileges([&] {  // handles need one: then names do
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> data{};
    if (::syscall(SYS_capget, &header, data.data()) != 0) return;
    data[0].effective &= ~(1U << CAP_DAC_READ_SEARCH);
    if (::syscall(SYS_capset, &header, data.data()) == 0) check(10'000);
  });
  without_privileges.join();
}

TEST_CASE("open files, nodes, attributes and locks are bounded") {
  Fixture f({.descriptors = 64, .files = 200});
  f.share.write("file", "x");
  Client& c = f.client;
  uint32_t opened = 0;
  while (c.walk(opened + 1, {"file"}) == 0 && c.error(Tlopen{opened + 1, O_RDONLY}) == 0) ++opened;
  CHECK(opened >= 16);
  CHECK(opened <= 64);
  CHECK(c.error(Tlopen{opened + 1, O_RDONLY}) == ENFILE);
  c.call(Tclunk{1});
  CHECK(c.error(Tlopen{opened + 1, O_RDONLY}) == 0);
  uint32_t fid = 1000;
  while (c.walk(fid, {}) == 0) ++fid;
  CHECK(fid < 1200);
  CHECK(c.walk(fid, {}) == ENFILE);
  uint64_t start = 0;
  for (c.call(Tclunk{1000}); start < 100'000; start += 2) {
    const Answer answer = c.send(Tlock{2, 0, 0, start, 1, 1, "guest"});
    if (answer.error == ENOLCK) break;
    REQUIRE(answer.error == 0);
  }
  CHECK(start < 100'000);
}

TEST_CASE("values of attributes are bounded in all") {
  Fixture f;
  Client& c = f.client;
  uint32_t fid = 1;
  while (fid < 10'000 && c.walk(fid, {}) == 0 &&
         c.error(Txattrcreate{fid, "user.a", 65536, 0}) == 0)
    ++fid;
  CHECK(fid < 1000);
  CHECK(c.error(Txattrcreate{fid, "user.a", 65536, 0}) == ENOMEM);
  CHECK(c.error(Txattrwalk{Client::kRoot, fid + 1, ""}) == ENOMEM);
}

}  // namespace vireo::p9
