#include "devices/p9/server.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <set>
#include <thread>

#include <catch2/catch.hpp>

#include "devices/p9/testing/client.h"

namespace vireo::p9 {
namespace {

namespace fs = std::filesystem;

// Shares of a loop that has other work, and of one that has none, in turn.
struct Fixture {
  explicit Fixture(ShareConfig config = {}) : client(completed(std::move(config))) {
    client.attach();
  }
  ShareConfig completed(ShareConfig config) const {
    config.directory = share.path();
    config.own_loop = GENERATE(false, true);
    return config;
  }
  // Makes a file by the protocol and leaves it open.
  void create(uint32_t fid, const std::string& name, uint32_t mode = 0644,
              uint32_t flags = O_RDWR) {
    REQUIRE(client.walk(fid, {}) == 0);
    client.call(Tlcreate{fid, name, flags, mode, static_cast<uint32_t>(::getgid())});
  }
  struct stat status(const std::string& name) const {
    struct stat status {};
    REQUIRE(::lstat((share.path() / name).c_str(), &status) == 0);
    return status;
  }

  ShareDirectory share;
  Client client;
};

// On a thread with mounts of its own, a small file system at the directory; not where this process
// may not mount.
void on_small_file_system(const fs::path& directory, const std::function<void()>& test) {
  std::thread([&] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("small", directory.c_str(), "tmpfs", 0, "size=64k,nr_inodes=5") != 0)
      WARN("this process may not mount: " << std::strerror(errno));
    else
      test();
  }).join();
}

}  // namespace

TEST_CASE("a version is negotiated and bounded, and begins anew") {
  Fixture f;
  Client& c = f.client;
  CHECK(c.call(Tversion{1 << 30, kProtocol}).max_message == kMaxMessage);
  CHECK(c.call(Tversion{8192, kProtocol}).max_message == 8192);
  CHECK(c.call(Tversion{8192, "9P2000.u"}).version == "unknown");
  CHECK(c.error(Tversion{kMinMessage - 1, kProtocol}) == EMSGSIZE);
  CHECK(c.error(Tattach{.fid = 1}) == EPROTO);  // after that there is no session
  c.attach();
  CHECK(c.walk(5, {}) == 0);
  c.call(Tversion{8192, kProtocol});
  CHECK(c.error(Tclunk{5}) == EBADF);
  CHECK_FALSE(c.server.is_attached());
}

TEST_CASE("attaching") {
  Fixture f;
  Client& c = f.client;
  CHECK(c.error(Tattach{.fid = Client::kRoot}) == EINVAL);
  CHECK(c.error(Tattach{.fid = 7, .auth_fid = 3}) == EINVAL);
  CHECK(c.error(Tauth{.fid = 7}) == EOPNOTSUPP);
  const auto root = c.call(Tattach{.fid = 7});
  CHECK(root.qid.type == QidType::directory);
  CHECK(root.qid.path == f.status(".").st_ino);
  CHECK(c.server.is_attached());
}

TEST_CASE("walking goes as far as it can") {
  Fixture f;
  fs::create_directories(f.share.path() / "a/b");
  f.share.write("a/b/file", "x");
  Client& c = f.client;
  CHECK(c.walk(1, {"a", "b", "file"}) == 0);
  CHECK(c.walk(2, {"missing"}) == ENOENT);
  Twalk part{Client::kRoot, 2};
  for (const char* name : {"a", "missing", "file"}) part.names.push(name);
  CHECK(c.call(part).qids.count == 1);
  CHECK(c.error(Tclunk{2}) == EBADF);  // it did not come to be
  CHECK(c.walk(2, {"x"}, 1) == ENOTDIR);
  CHECK(c.walk(1, {}) == EINVAL);  // taken
  CHECK(c.walk(3, {}, 99) == EBADF);
  Twalk qids{Client::kRoot, 3};
  for (const char* name : {"a", "..", "a", "b"}) qids.names.push(name);
  const auto walked = c.call(qids);
  REQUIRE(walked.qids.count == 4);
  CHECK(walked.qids.items[1].path == f.status(".").st_ino);
  CHECK(walked.qids.items[0] == walked.qids.items[2]);
  CHECK(walked.qids.items[3].type == QidType::directory);
}

TEST_CASE("a file is made, written, read and closed") {
  Fixture f;
  Client& c = f.client;
  f.create(1, "new", 0640);
  CHECK(c.write(1, 0, "hello") == 5);
  CHECK(c.write(1, 10, "world") == 5);
  CHECK(c.read(1) == std::string("hello\0\0\0\0\0world", 15));
  CHECK(c.read(1, 15) == "");
  CHECK(c.read(1, 3, 4) == std::string("lo\0\0", 4));
  CHECK((f.status("new").st_mode & 07777) == 0640);
  c.call(Tfsync{1, 0});
  c.call(Tfsync{1, 1});
  c.call(Tclunk{1});
  CHECK(f.share.read("new").size() == 15);
  CHECK(c.error(Tread{1, 0, 10}) == EBADF);
}

TEST_CASE("opening again what exists") {
  Fixture f;
  f.share.write("old", "content");
  Client& c = f.client;
  REQUIRE(c.walk(1, {}) == 0);
  CHECK(c.error(Tlcreate{1, "old", O_RDWR | O_EXCL, 0600, 0}) == EEXIST);
  c.call(Tlcreate{1, "old", O_RDWR, 0600, 0});
  CHECK(c.read(1) == "content");
  c.open(2, {"old"}, O_WRONLY | O_TRUNC);
  CHECK(c.read(1).empty());
  CHECK(c.error(Tread{2, 0, 1}) == EBADF);
  c.open(3, {"old"});
  CHECK(c.error(Twrite{3, 0, {1}}, "x") == EBADF);
  CHECK(c.error(Tlopen{3, O_RDONLY}) == EINVAL);
}

TEST_CASE("appending ignores the offset, whoever appends") {
  Fixture f;
  Client& c = f.client;
  f.create(1, "log", 0644, O_WRONLY | O_APPEND);
  c.open(2, {"log"}, O_WRONLY | O_APPEND);
  c.write(1, 0, "one ");
  c.write(2, 0, "two ");
  c.write(1, 0, "three");
  CHECK(f.share.read("log") == "one two three");
}

TEST_CASE("attributes are those of the file") {
  Fixture f;
  f.share.write("file", "12345");
  Client& c = f.client;
  REQUIRE(c.walk(1, {"file"}) == 0);
  const Rgetattr got = c.attributes(1);
  const struct stat want = f.status("file");
  CHECK((got.valid & 0x7ff) == 0x7ff);
  CHECK(got.mode == want.st_mode);
  CHECK(got.uid == want.st_uid);
  CHECK(got.links == 1);
  CHECK(got.size == 5);
  CHECK(got.qid.path == want.st_ino);
  CHECK(got.modified.seconds == static_cast<uint64_t>(want.st_mtim.tv_sec));
  CHECK(got.modified.nanoseconds == static_cast<uint64_t>(want.st_mtim.tv_nsec));
}

TEST_CASE("attributes are set, to the nanosecond") {
  Fixture f;
  f.share.write("file", "12345");
  Client& c = f.client;
  REQUIRE(c.walk(1, {"file"}) == 0);
  c.call(Tsetattr{
      .fid = 1,
      .valid = kSetMode | kSetSize | kSetAccessed | kSetAccessedTo | kSetModified | kSetModifiedTo,
      .mode = S_IFREG | 0751,
      .size = 2,
      .accessed = {1, 2},
      .modified = {1'000'000'000, 999'999'999}});
  const struct stat after = f.status("file");
  CHECK((after.st_mode & 07777) == 0751);
  CHECK(after.st_size == 2);
  CHECK(after.st_atim.tv_nsec == 2);
  CHECK(after.st_mtim.tv_sec == 1'000'000'000);
  CHECK(after.st_mtim.tv_nsec == 999'999'999);
  CHECK(c.error(Tsetattr{
            .fid = 1, .valid = kSetModified | kSetModifiedTo, .modified = {0, 1'000'000'000}}) ==
        EINVAL);
  CHECK(c.error(Tsetattr{.fid = Client::kRoot, .valid = kSetSize}) == EISDIR);
  c.call(Tsetattr{.fid = 1, .valid = kSetModified});  // to now
  CHECK(f.status("file").st_mtim.tv_sec > 1'000'000'000);
  c.call(Tsetattr{.fid = 1, .valid = kSetChanged});
}

TEST_CASE("set-id bits go when somebody else than root writes or cuts") {
  const Security security = GENERATE(Security::none, Security::mapped_xattr, Security::mapped_file);
  ShareDirectory share;
  Client c({.directory = share.path(), .security = security});
  c.attach(0);
  REQUIRE(c.call(Tattach{.fid = 50, .uid = 1000}).qid.type == QidType::directory);
  REQUIRE(c.walk(1, {}) == 0);
  c.call(Tlcreate{1, "program", O_RDWR, 0755, 0});
  c.write(1, 0, "text");
  // What is left of a set-id program's mode after an access by fid 2, which is user 1000's.
  const auto mode_after = [&](const std::function<void()>& access) {
    c.call(Tsetattr{.fid = 1, .valid = kSetMode, .mode = 06755});
    REQUIRE(c.walk(2, {"program"}, 50) == 0);
    access();
    c.call(Tclunk{2});
    return c.attributes(1).mode & 07777;
  };
  CHECK(mode_after([&] {
          c.call(Tlopen{2, O_WRONLY});
          c.write(2, 0, "y");
        }) == 0755);
  CHECK(mode_after([&] { c.call(Tlopen{2, O_WRONLY | O_TRUNC}); }) == 0755);
  CHECK(mode_after([&] { c.call(Tsetattr{.fid = 2, .valid = kSetSize, .size = 1}); }) == 0755);
  CHECK(mode_after([&] {
          c.call(Tsetattr{.fid = 2, .valid = kSetSize | kSetMode, .mode = 06711, .size = 1});
        }) == 06711);
  CHECK(mode_after([&] {
          REQUIRE(c.walk(3, {}, 50) == 0);
          c.call(Tlcreate{3, "program", O_RDWR | O_TRUNC, 0755, 0});  // it is there already
        }) == 0755);
  CHECK(mode_after([&] { c.call(Tsetattr{.fid = 1, .valid = kSetSize}); }) == 06755);  // root's
  REQUIRE(c.walk(4, {}, 50) == 0);
  c.call(Tlcreate{4, "other", O_RDWR | O_TRUNC, 06755, 0});
  CHECK((c.attributes(4).mode & 07777) == 06755);
}

TEST_CASE("directories, links and nodes are made") {
  Fixture f;
  f.share.write("file", "x");
  Client& c = f.client;
  const auto gid = static_cast<uint32_t>(::getgid());
  CHECK(c.call(Tmkdir{Client::kRoot, "d", 0755, gid}).qid.type == QidType::directory);
  CHECK(c.error(Tmkdir{Client::kRoot, "d", 0755, gid}) == EEXIST);
  CHECK(c.call(Tsymlink{Client::kRoot, "s", "any/../where", gid}).qid.type == QidType::symlink);
  REQUIRE(c.walk(1, {"s"}) == 0);
  CHECK(c.call(Treadlink{1}).target == "any/../where");
  CHECK(c.error(Treadlink{Client::kRoot}) == EINVAL);
  CHECK(c.error(Tlopen{1, O_RDONLY}) == ELOOP);
  REQUIRE(c.walk(2, {"file"}) == 0);
  c.call(Tlink{Client::kRoot, 2, "hard"});
  CHECK(f.status("hard").st_ino == f.status("file").st_ino);
  c.call(Tlink{Client::kRoot, 1, "s2"});  // a link to the link, not to what it names
  CHECK(S_ISLNK(f.status("s2").st_mode));
  c.call(Tmknod{Client::kRoot, "fifo", S_IFIFO | 0600, 0, 0, gid});
  CHECK(S_ISFIFO(f.status("fifo").st_mode));
  c.call(Tmknod{Client::kRoot, "plain", S_IFREG | 0600, 0, 0, gid});
  CHECK(S_ISREG(f.status("plain").st_mode));
  CHECK(c.error(Tmknod{Client::kRoot, "dir", S_IFDIR | 0600, 0, 0, gid}) == EINVAL);
  c.call(Tunlinkat{Client::kRoot, "s", 0});
  CHECK(c.error(Tunlinkat{Client::kRoot, "d", 0}) == EISDIR);
  c.call(Tunlinkat{Client::kRoot, "d", 0x200});
  CHECK(c.error(Tunlinkat{Client::kRoot, "file", 1}) == EINVAL);
  CHECK_FALSE(fs::exists(f.share.path() / "d"));
}

TEST_CASE("renames") {
  Fixture f;
  fs::create_directories(f.share.path() / "a");
  fs::create_directories(f.share.path() / "b");
  f.share.write("a/one", "1");
  f.share.write("b/two", "2");
  Client& c = f.client;
  REQUIRE(c.walk(1, {"a"}) == 0);
  REQUIRE(c.walk(2, {"b"}) == 0);
  REQUIRE(c.walk(3, {"a", "one"}) == 0);
  c.open(4, {"b", "two"}, O_RDWR);
  c.call(Trenameat{1, "one", 2, "two"});  // over an open file
  CHECK(f.share.read("b/two") == "1");
  CHECK(c.read(4) == "2");
  CHECK(c.attributes(4).links == 0);
  // The fid goes with its file.
  c.call(Trename{3, 1, "three"});
  CHECK(f.share.read("a/three") == "1");
  c.call(Trename{3, Client::kRoot, "four"});
  CHECK(f.share.read("four") == "1");
  CHECK(c.error(Trename{Client::kRoot, 1, "x"}) == EBUSY);
  CHECK(c.error(Trenameat{Client::kRoot, "missing", 1, "x"}) == ENOENT);
  CHECK(c.error(Trenameat{Client::kRoot, "a", 1, "x"}) == EINVAL);  // below itself
  c.call(Tremove{3});
  CHECK_FALSE(fs::exists(f.share.path() / "four"));
  CHECK(c.error(Tclunk{3}) == EBADF);
}

TEST_CASE("a whole directory moves with the fids below it") {
  Fixture f;
  fs::create_directories(f.share.path() / "old/deep");
  f.share.write("old/deep/file", "x");
  Client& c = f.client;
  REQUIRE(c.walk(1, {"old", "deep", "file"}) == 0);
  c.call(Trenameat{Client::kRoot, "old", Client::kRoot, "new"});
  c.call(Tremove{1});
  CHECK_FALSE(fs::exists(f.share.path() / "new/deep/file"));
}

TEST_CASE("removing looks whether the name is still the file's") {
  Fixture f;
  f.share.write("file", "x");
  Client& c = f.client;
  REQUIRE(c.walk(1, {"file"}) == 0);
  fs::rename(f.share.path() / "file", f.share.path() / "elsewhere");
  f.share.write("file", "another");
  CHECK(c.error(Tremove{1}) == ENOENT);
  CHECK(f.share.read("file") == "another");
}

TEST_CASE("an unlinked file works on by its fid") {
  Fixture f;
  Client& c = f.client;
  f.create(1, "gone");
  c.write(1, 0, "still here");
  REQUIRE(c.walk(2, {"gone"}) == 0);
  c.call(Tunlinkat{Client::kRoot, "gone", 0});
  CHECK(c.attributes(1).links == 0);
  CHECK(c.attributes(2).size == 10);  // the one that is not open, too
  c.call(Tsetattr{.fid = 1, .valid = kSetSize, .size = 5});
  CHECK(c.read(1) == "still");
  c.call(Tsetattr{.fid = 2, .valid = kSetSize | kSetMode, .mode = 0600, .size = 3});
  CHECK(c.read(1) == "sti");
  c.call(Tlopen{2, O_RDWR});
  CHECK(c.read(2) == "sti");
  c.call(Tclunk{1});
  c.call(Tclunk{2});
}

TEST_CASE("an open directory is emptied and removed") {
  Fixture f;
  fs::create_directories(f.share.path() / "d");
  for (int i = 0; i < 100; ++i) f.share.write("d/" + std::to_string(i), "");
  Client& c = f.client;
  c.open(1, {"d"});
  REQUIRE(c.walk(2, {"d"}) == 0);
  uint64_t offset = 0;
  size_t removed = 0;
  while (true) {  // as rm -r does: remove while reading on
    const auto entries = c.list(1, offset, 512);
    if (entries.empty()) break;
    for (const auto& entry : entries)
      if (entry.name != "." && entry.name != "..") {
        c.call(Tunlinkat{2, entry.name, 0});
        ++removed;
      }
    offset = entries.back().offset;
  }
  CHECK(removed == 100);
  c.call(Tunlinkat{Client::kRoot, "d", 0x200});
  CHECK(c.attributes(2).mode == c.attributes(1).mode);
  CHECK(c.error(Tmkdir{2, "x", 0700, 0}) == ENOENT);
}

TEST_CASE("a listing has every name once, from any place in it") {
  Fixture f;
  std::set<std::string> want{".", ".."};
  for (int i = 0; i < 500; ++i) {
    const std::string name = std::to_string(i) + std::string(static_cast<size_t>(i % 240), 'n');
    f.share.write(name, "");
    want.insert(name);
  }
  std::string bytes;  // all that can be in a name
  for (int value = 1; value < 256; ++value)
    if (value != '/') bytes.push_back(static_cast<char>(value));
  f.share.write(bytes, "");
  want.insert(bytes);
  Client& c = f.client;
  c.open(1, {});
  for (const uint32_t count : {700U, 4096U, 32768U}) {
    const auto names = c.names(1, count);
    CHECK(std::set<std::string>(names.begin(), names.end()) == want);
    CHECK(names.size() == want.size());
  }
  const auto all = c.list(1, 0, 60000);
  const auto again = c.list(1, all[100].offset, 60000);
  REQUIRE_FALSE(again.empty());
  CHECK(again.front().name == all[101].name);
  CHECK(c.error(Treaddir{1, 0, 20}) == EINVAL);
  CHECK(c.walk(2, {bytes}) == 0);
  const auto dots =
      std::find_if(all.begin(), all.end(), [](const auto& entry) { return entry.name == ".."; });
  CHECK(dots->qid.path == f.status(".").st_ino);  // nothing of what lies above
}

TEST_CASE("file system statistics") {
  Fixture f;
  const auto got = f.client.call(Tstatfs{Client::kRoot});
  CHECK(got.block_size > 0);
  CHECK(got.name_length == 255);
  CHECK(f.client.error(Tstatfs{9}) == EBADF);
}

TEST_CASE("extended attributes") {
  Fixture f;
  f.share.write("file", "x");
  const fs::path path = f.share.path() / "file";
  if (::setxattr(path.c_str(), "user.probe", "", 0, 0) != 0) {
    WARN("the host's file system has no extended attributes here");
    return;
  }
  ::removexattr(path.c_str(), "user.probe");
  Client& c = f.client;
  REQUIRE(c.walk(1, {"file"}) == 0);
  const auto set = [&](const char* name, const std::string& value, uint32_t flags) {
    REQUIRE(c.walk(2, {"file"}) == 0);
    c.call(Txattrcreate{2, name, value.size(), flags});
    if (!value.empty()) c.write(2, 0, value);
    return c.error(Tclunk{2});
  };
  CHECK(set("user.colour", "blue", 0) == 0);
  CHECK(set("user.colour", "red", XATTR_CREATE) == EEXIST);
  CHECK(set("user.empty", "", 0) == 0);
  CHECK(set("user.none", "x", XATTR_REPLACE) == ENODATA);
  CHECK(c.call(Txattrwalk{1, 3, "user.colour"}).size == 4);
  CHECK(c.read(3) == "blue");
  CHECK(c.read(3, 2) == "ue");
  CHECK(c.error(Twrite{3, 0, {1}}, "x") == EBADF);
  c.call(Tclunk{3});
  CHECK(c.call(Txattrwalk{1, 3, ""}).size == std::string("user.colour user.empty ").size());
  c.call(Tclunk{3});
  CHECK(c.error(Txattrwalk{1, 3, "user.none"}) == ENODATA);
  CHECK(set("user.colour", "", XATTR_REPLACE) == 0);  // Linux' way to remove one
  CHECK(c.error(Txattrwalk{1, 3, "user.colour"}) == ENODATA);
  REQUIRE(c.walk(2, {"file"}) == 0);
  CHECK(c.error(Txattrcreate{2, "user.big", 1 << 20, 0}) == E2BIG);
  c.call(Txattrcreate{2, "user.short", 10, 0});
  c.write(2, 0, "less");
  CHECK(c.error(Twrite{2, 4, {8}}, "too much") == ENOSPC);
  CHECK(c.error(Tclunk{2}) == EINVAL);
}

TEST_CASE("record locks are between processes of the guest, and seen by the host") {
  Fixture f;
  f.share.write("file", "0123456789");
  Client& c = f.client;
  c.open(1, {"file"}, O_RDWR);
  c.open(2, {"file"}, O_RDWR);
  const auto lock = [&](uint32_t fid, uint8_t type, uint64_t start, uint64_t length,
                        uint32_t process) {
    return c.call(Tlock{fid, type, 0, start, length, process, "guest"}).status;
  };
  CHECK(lock(1, 1, 0, 5, 10) == 0);
  CHECK(lock(2, 0, 4, 1, 11) == 1);  // blocked
  CHECK(lock(2, 0, 4, 1, 10) == 0);  // the same process by another fid: POSIX lets it
  CHECK(lock(2, 1, 5, 0, 11) == 0);
  const auto who = c.call(Tgetlock{2, 1, 0, 2, 11, "guest"});
  CHECK(who.process == 10);
  CHECK(who.start == 0);
  CHECK(who.length == 4);
  const UniqueFd host(::open((f.share.path() / "file").c_str(), O_RDWR | O_CLOEXEC));
  struct flock theirs {};
  theirs.l_type = F_WRLCK;
  CHECK(::fcntl(host.get(), F_OFD_SETLK, &theirs) != 0);
  c.call(Tclunk{1});  // lets go of what was locked through it
  CHECK(lock(2, 2, 0, 0, 11) == 0);
  CHECK(lock(2, 2, 0, 0, 10) == 0);
  CHECK(::fcntl(host.get(), F_OFD_SETLK, &theirs) == 0);
  CHECK(lock(2, 0, 0, 1, 11) == 1);  // now it is the host that has it
  CHECK(c.call(Tgetlock{2, 0, 0, 1, 11, "guest"}).process == 0);
  CHECK(c.error(Tlock{2, 9, 0, 0, 1, 1, "guest"}) == EINVAL);
  CHECK(c.error(Tlock{2, 0, 0, ~uint64_t{0}, 1, 1, "guest"}) == EINVAL);
}

TEST_CASE("a read-only share stays as it is") {
  Fixture f({.read_only = true});
  f.share.write("file", "x");
  Client& c = f.client;
  REQUIRE(c.walk(1, {"file"}) == 0);
  CHECK(c.error(Tlopen{1, O_RDWR}) == EROFS);
  CHECK(c.error(Tlopen{1, O_RDONLY | O_TRUNC}) == EROFS);
  CHECK(c.error(Tsetattr{.fid = 1, .valid = kSetMode, .mode = 0}) == EROFS);
  CHECK(c.error(Tsetattr{.fid = 1, .valid = kSetChanged}) == EROFS);
  CHECK(c.error(Txattrcreate{1, "user.a", 0, 0}) == EROFS);
  CHECK(c.error(Tlink{Client::kRoot, 1, "l"}) == EROFS);
  CHECK(c.error(Tmkdir{Client::kRoot, "d", 0755, 0}) == EROFS);
  CHECK(c.error(Tsymlink{Client::kRoot, "s", "t", 0}) == EROFS);
  CHECK(c.error(Tmknod{Client::kRoot, "n", S_IFIFO, 0, 0, 0}) == EROFS);
  CHECK(c.error(Trenameat{Client::kRoot, "file", Client::kRoot, "f"}) == EROFS);
  CHECK(c.error(Trename{1, Client::kRoot, "f"}) == EROFS);
  CHECK(c.error(Tunlinkat{Client::kRoot, "file", 0}) == EROFS);
  REQUIRE(c.walk(2, {}) == 0);
  CHECK(c.error(Tlcreate{2, "new", O_RDWR, 0600, 0}) == EROFS);
  c.call(Tlopen{1, O_RDONLY});
  CHECK(c.read(1) == "x");
  CHECK(c.error(Tremove{1}) == EROFS);
  CHECK(f.share.read("file") == "x");
}

TEST_CASE("a flush is answered after what it gives up") {
  Fixture f;
  Client& c = f.client;
  f.create(1, "file");
  auto sync = c.start(Tfsync{1, 0});
  const uint16_t tag = c.last_tag();
  auto flush = c.start(Tflush{tag});
  auto other = c.start(Tflush{c.last_tag()});  // of the flush
  CHECK(c.error(Tflush{0x7777}) == 0);         // nobody has that tag
  c.wait(*flush);
  CHECK(sync->length);
  c.wait(*other);
  const int error = c.answer(*sync).error;
  CHECK((error == 0 || error == EINTR));
}

TEST_CASE("a new version waits for what is under way, a flush of it too") {
  Fixture f;
  Client& c = f.client;
  f.create(1, "file");
  auto sync = c.start(Tfsync{1, 0});
  auto version = c.start(Tversion{65536, kProtocol});
  auto flush = c.start(Tflush{c.last_tag()});
  c.wait(*flush);
  CHECK(version->length);
  CHECK(sync->length);
}

TEST_CASE("many requests are under way at once") {
  Fixture f;
  Client& c = f.client;
  std::vector<std::shared_ptr<Client::Pending>> made;
  for (uint32_t i = 0; i < 200; ++i)
    made.push_back(c.start(Tmkdir{Client::kRoot, "d" + std::to_string(i), 0755, 0}));
  for (const auto& one : made) CHECK(c.answer(*one).error == 0);
  c.open(1, {});
  CHECK(c.names(1).size() == 202);
}

TEST_CASE("data go between the file and scattered buffers") {
  Fixture f;
  Client& c = f.client;
  f.create(1, "file");
  std::string text(50000, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7);
  auto head = encode(Twrite::kType, 77, Twrite{1, 0, {50000}}, 50000);
  IoVecs request;
  for (size_t at = 0; at < head.size(); at += 5)
    request.push_back({head.data() + at, std::min<size_t>(5, head.size() - at)});
  for (size_t at = 0; at < text.size(); at += 4096)
    request.push_back({text.data() + at, std::min<size_t>(4096, text.size() - at)});
  std::vector<std::byte> room(64);
  std::optional<uint32_t> length;
  c.server.serve({request, {{room.data(), room.size()}}, [&](uint32_t n) { length = n; }});
  while (!length) c.loop.step(std::chrono::seconds(1));
  CHECK(*length == kHeaderSize + 4);
  CHECK(f.share.read("file") == text);
  std::string back(11 + 50000, '\0');
  auto ask = encode(Tread::kType, 78, Tread{1, 0, 60000});
  IoVecs reply{{back.data(), 3}, {back.data() + 3, 6}, {back.data() + 9, 1000}};
  for (size_t at = 1009; at < back.size(); at += 4096)
    reply.push_back({back.data() + at, std::min<size_t>(4096, back.size() - at)});
  length.reset();
  c.server.serve({{{ask.data(), ask.size()}}, reply, [&](uint32_t n) { length = n; }});
  while (!length) c.loop.step(std::chrono::seconds(1));
  CHECK(*length == back.size());
  CHECK(back.substr(11) == text);
}

TEST_CASE("errors of the host come through as they are") {
  Fixture f;
  Client& c = f.client;
  const std::string long_name(256, 'n');
  CHECK(c.walk(1, {long_name}) == ENAMETOOLONG);
  CHECK(c.error(Tmkdir{Client::kRoot, long_name, 0755, 0}) == ENAMETOOLONG);
  f.create(1, "file");
  CHECK(c.error(Tsetattr{.fid = 1, .valid = kSetSize, .size = ~uint64_t{0}}) == EFBIG);
  CHECK(c.error(Twrite{1, uint64_t{1} << 62, {1}}, "x") == EFBIG);
  CHECK(c.error(Tread{1, ~uint64_t{0}, 1}) == EINVAL);
}

TEST_CASE("a share that can not be is one clear sentence") {
  EventLoop loop;
  const auto words = [&](const fs::path& path) -> std::string {
    try {
      const Server server(loop, {.directory = path});
    } catch (const std::exception& error) {
      return describe(error);
    }
    return "";
  };
  const ShareDirectory share;
  share.write("file", "");
  CHECK(words(share.path() / "none") ==
        "cannot share '" + (share.path() / "none").string() + "': No such file or directory");
  CHECK(words(share.path() / "file") ==
        "cannot share '" + (share.path() / "file").string() + "': it is not a directory");
}

TEST_CASE("a full host and one that is read-only are what the client hears of") {
  const ShareDirectory share;
  on_small_file_system(share.path(), [&] {
    Client c({.directory = share.path(), .own_loop = true});
    c.attach();
    REQUIRE(c.walk(1, {}) == 0);
    c.call(Tlcreate{1, "file", O_RDWR, 0600, 0});
    const std::string block(16 << 10, 'x');
    uint64_t offset = 0;
    for (uint32_t n = 1; n != 0 && offset < 1 << 20; offset += n) {
      const Answer answer = c.send(Twrite{1, offset, {16 << 10}}, block);
      n = answer.error != 0 ? 0 : Client::as<Rwrite>(answer).count;
    }
    CHECK(offset == 64 << 10);
    CHECK(c.error(Twrite{1, offset, {16 << 10}}, block) == ENOSPC);
    int error = 0;
    for (int i = 0; i < 10 && error == 0; ++i)
      error = c.error(Tmkdir{Client::kRoot, "d" + std::to_string(i), 0700, 0});
    CHECK(error == ENOSPC);
    CHECK(c.error(Tsymlink{Client::kRoot, "link", "target", 0}) == ENOSPC);
    c.call(Tclunk{1});
    REQUIRE(::mount(nullptr, share.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0);
    CHECK(c.error(Tmkdir{Client::kRoot, "d", 0700, 0}) == EROFS);
    CHECK(c.error(Tunlinkat{Client::kRoot, "file", 0}) == EROFS);
    REQUIRE(c.walk(2, {"file"}) == 0);
    CHECK(c.error(Tlopen{2, O_RDWR}) == EROFS);
    CHECK(c.error(Tsetattr{.fid = 2, .valid = kSetMode, .mode = 0700}) == EROFS);
    c.call(Tlopen{2, O_RDONLY});
    CHECK(c.read(2, 0, 100) == std::string(100, 'x'));
  });
}

}  // namespace vireo::p9
