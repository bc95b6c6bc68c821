#include "devices/p9/ownership.h"

#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <csignal>

#include <catch2/catch.hpp>

#include "devices/p9/claims_file.h"
#include "devices/p9/testing/client.h"

namespace vireo::p9 {
namespace {

namespace fs = std::filesystem;

struct Fixture {
  explicit Fixture(Security security, std::optional<Owner> squash = {})
      : client({.directory = share.path(), .security = security, .squash = squash}) {
    client.attach(1001);
  }
  struct stat status(const std::string& name) const {
    struct stat status {};
    REQUIRE(::lstat((share.path() / name).c_str(), &status) == 0);
    return status;
  }
  // One of each kind that a guest can make.
  void make_all() {
    REQUIRE(client.walk(50, {}) == 0);
    client.call(Tlcreate{50, "file", O_RDWR, 0640, 1002});
    client.write(50, 0, "content");
    client.call(Tmkdir{Client::kRoot, "directory", 01770, 1002});
    client.call(Tsymlink{Client::kRoot, "link", "any/where", 1002});
    client.call(Tmknod{Client::kRoot, "node", S_IFCHR | 0660, 5, 1, 1002});
    client.call(Tmknod{Client::kRoot, "fifo", S_IFIFO | 0600, 0, 0, 1002});
    client.call(Tmknod{Client::kRoot, "socket", S_IFSOCK | 0755, 0, 0, 1002});
  }
  // What the guest sees of them.
  void check_all() {
    check("file", S_IFREG | 0640);
    check("directory", S_IFDIR | 01770);
    check("link", S_IFLNK | 0777);
    check("node", S_IFCHR | 0660);
    check("fifo", S_IFIFO | 0600);
    check("socket", S_IFSOCK | 0755);
    REQUIRE(client.walk(60, {"link"}) == 0);
    CHECK(client.call(Treadlink{60}).target == "any/where");
    CHECK(client.error(Tlopen{60, O_WRONLY | O_TRUNC}) != 0);
    REQUIRE(client.walk(61, {"node"}) == 0);
    CHECK(client.attributes(61).device == makedev(5, 1));
    client.call(Tclunk{60});
    client.call(Tclunk{61});
  }
  void check(const std::string& name, uint32_t mode) {
    INFO(name);
    REQUIRE(client.walk(99, {name}) == 0);
    const Rgetattr seen = client.attributes(99);
    CHECK(seen.mode == mode);
    CHECK(seen.uid == 1001);
    CHECK(seen.gid == 1002);
    client.call(Tclunk{99});
  }

  ShareDirectory share;
  Client client;
};

bool has_xattrs() {
  const ShareDirectory share;
  return ::setxattr(share.path().c_str(), "user.probe", "x", 1, 0) == 0;
}

template <class T>
T xattr_of(const fs::path& path, const char* name) {
  Le<T> value;
  CHECK(::getxattr(path.c_str(), name, &value, sizeof(value)) == sizeof(value));
  return value;
}

}  // namespace

TEST_CASE("mapped-xattr: what the guest makes is plain on the host and whole in the guest") {
  if (!has_xattrs()) {
    WARN("the host's file system has no extended attributes here");
    return;
  }
  Fixture f(Security::mapped_xattr);
  f.make_all();
  f.check_all();
  for (const char* name : {"file", "link", "node", "fifo", "socket"}) {
    INFO(name);
    CHECK(f.status(name).st_mode == (S_IFREG | 0600));
    CHECK(f.status(name).st_uid == ::geteuid());
  }
  CHECK(f.status("directory").st_mode == (S_IFDIR | 0700));
  CHECK(f.share.read("link") == "any/where");
  const fs::path node = f.share.path() / "node";
  CHECK(xattr_of<uint32_t>(node, "user.virtfs.uid") == 1001);
  CHECK(xattr_of<uint32_t>(node, "user.virtfs.gid") == 1002);
  CHECK(xattr_of<uint32_t>(node, "user.virtfs.mode") == (S_IFCHR | 0660));
  CHECK(xattr_of<uint64_t>(node, "user.virtfs.rdev") == makedev(5, 1));
}

TEST_CASE("mapped-xattr: changes stay in the attributes, which the guest does not see") {
  if (!has_xattrs()) return;
  Fixture f(Security::mapped_xattr);
  f.make_all();
  Client& c = f.client;
  REQUIRE(c.walk(1, {"file"}) == 0);
  c.call(Tsetattr{.fid = 1, .valid = kSetMode | kSetUid, .mode = 04711, .uid = 7});
  CHECK(c.attributes(1).mode == (S_IFREG | 04711));
  CHECK(c.attributes(1).uid == 7);
  CHECK(f.status("file").st_mode == (S_IFREG | 0600));
  CHECK(c.call(Txattrwalk{1, 2, ""}).size == 0);
  CHECK(c.error(Txattrwalk{1, 3, "user.virtfs.uid"}) == EOPNOTSUPP);
  CHECK(c.error(Txattrwalk{1, 3, "security.capability"}) == EOPNOTSUPP);
  REQUIRE(c.walk(4, {"file"}) == 0);
  c.call(Txattrcreate{4, "user.virtfs.uid", 4, 0});
  c.write(4, 0, std::string(4, '\0'));
  CHECK(c.error(Tclunk{4}) == EOPNOTSUPP);
  REQUIRE(c.walk(4, {"file"}) == 0);
  c.call(Txattrcreate{4, "system.posix_acl_access", 3, 0});
  c.write(4, 0, "acl");
  CHECK(c.error(Tclunk{4}) == 0);
  CHECK(::getxattr((f.share.path() / "file").c_str(), "user.virtfs.system.posix_acl_access",
                   nullptr, 0) == 3);
  CHECK(c.call(Txattrwalk{1, 5, ""}).size == sizeof("system.posix_acl_access"));
}

TEST_CASE("mapped-xattr: claims that cannot be are not believed") {
  if (!has_xattrs()) return;
  Fixture f(Security::mapped_xattr);
  fs::create_directories(f.share.path() / "d");
  f.share.write("file", "x");
  const le32 link(S_IFLNK | 0777), directory(S_IFDIR | 0711);
  REQUIRE(::setxattr((f.share.path() / "d").c_str(), "user.virtfs.mode", &link, 4, 0) == 0);
  REQUIRE(::setxattr((f.share.path() / "file").c_str(), "user.virtfs.mode", &directory, 4, 0) == 0);
  REQUIRE(f.client.walk(1, {"d"}) == 0);
  CHECK(f.client.attributes(1).mode == (S_IFDIR | 0777));
  REQUIRE(f.client.walk(2, {"file"}) == 0);
  CHECK(f.client.attributes(2).mode == (S_IFREG | 0711));
}

TEST_CASE("mapped-file: the same in files beside, which go where the file goes") {
  Fixture f(Security::mapped_file);
  f.make_all();
  f.check_all();
  CHECK(f.share.read(".virtfs_metadata/node") ==
        "virtfs.uid=1001\nvirtfs.gid=1002\nvirtfs.mode=8624\nvirtfs.rdev=1281\n");
  Client& c = f.client;
  c.open(1, {});
  const auto names = c.names(1);
  CHECK(std::find(names.begin(), names.end(), ".virtfs_metadata") == names.end());
  CHECK(names.size() == 8);
  for (const char* name : {".virtfs_metadata", ".virtfs_metadata_root", ".virtfs_new_1"}) {
    CHECK(c.walk(2, {name}) == ENOENT);
    CHECK(c.error(Tmkdir{Client::kRoot, name, 0700, 0}) == ENOENT);
    CHECK(c.error(Tsymlink{Client::kRoot, name, "target", 0}) == ENOENT);
    CHECK(c.error(Tmknod{Client::kRoot, name, S_IFREG | 0600, 0, 0, 0}) == ENOENT);
    CHECK(c.error(Trenameat{Client::kRoot, "file", Client::kRoot, name}) == ENOENT);
    CHECK(c.error(Trenameat{Client::kRoot, name, Client::kRoot, "new"}) == ENOENT);
    CHECK(c.error(Tunlinkat{Client::kRoot, name, 0}) == ENOENT);
    REQUIRE(c.walk(2, {"file"}) == 0);
    CHECK(c.error(Tlink{Client::kRoot, 2, name}) == ENOENT);
    CHECK(c.error(Trename{2, Client::kRoot, name}) == ENOENT);
    c.call(Tclunk{2});
    REQUIRE(c.walk(2, {}) == 0);
    CHECK(c.error(Tlcreate{2, name, O_RDWR, 0600, 0}) == ENOENT);
    c.call(Tclunk{2});
  }
  REQUIRE(c.walk(3, {"directory"}) == 0);
  REQUIRE(c.walk(4, {"node"}) == 0);
  c.call(Trenameat{Client::kRoot, "node", 3, "moved"});
  CHECK(c.attributes(4).mode == (S_IFCHR | 0660));
  CHECK(f.share.read("directory/.virtfs_metadata/moved").size() > 0);
  c.call(Tlink{3, 4, "linked"});
  f.check("directory", S_IFDIR | 01770);
  REQUIRE(c.walk(5, {"directory", "linked"}) == 0);
  CHECK(c.attributes(5).mode == (S_IFCHR | 0660));
  CHECK(c.error(Tunlinkat{Client::kRoot, "directory", 0x200}) == ENOTEMPTY);
  c.call(Tunlinkat{3, "moved", 0});
  c.call(Tunlinkat{3, "linked", 0});
  c.call(Tunlinkat{Client::kRoot, "directory", 0x200});
  CHECK_FALSE(fs::exists(f.share.path() / ".virtfs_metadata/directory"));
  c.call(Tsetattr{.fid = Client::kRoot, .valid = kSetMode, .mode = 0711});
  CHECK(f.share.read(".virtfs_metadata_root") == "virtfs.mode=16841\n");
  CHECK(c.attributes(Client::kRoot).mode == (S_IFDIR | 0711));
}

// Where there are files of such a name already, they are the host's.
TEST_CASE("mapped-file: what is written anew is in the way of nobody's name") {
  ShareDirectory share;
  Client c({.directory = share.path(), .security = Security::mapped_file},
           std::make_unique<HandPool>());  // what is written comes from this thread
  c.attach();
  const std::string name = ".virtfs_new_" + std::to_string(::gettid());
  share.write(name, "the host's");
  c.call(Tsetattr{.fid = Client::kRoot, .valid = kSetMode, .mode = 0711});
  CHECK((c.attributes(Client::kRoot).mode & 07777) == 0711);
  CHECK(share.read(name) == "the host's");
}

TEST_CASE("mapped-file: metadata that the host has no room for leave nothing behind") {
  Fixture f(Security::mapped_file);
  fs::create_directory(f.share.path() / "directory");
  f.share.write("directory/file", "");
  REQUIRE(f.client.walk(1, {"directory", "file"}) == 0);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit none{0, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &none) == 0);
  const int error = f.client.error(Tsetattr{.fid = 1, .valid = kSetMode, .mode = 0711});
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  ::signal(SIGXFSZ, handler);
  CHECK(error == EFBIG);
  CHECK(fs::is_empty(f.share.path() / "directory/.virtfs_metadata"));
}

// The clock that files are stamped by may stand still for some milliseconds.
TEST_CASE("mapped-file: a change of mode or owner is a change of the file") {
  Fixture f(Security::mapped_file);
  f.share.write("file", "");
  Client& c = f.client;
  REQUIRE(c.walk(1, {"file"}) == 0);
  for (const uint32_t what : {kSetMode, kSetUid}) {
    const Seconds before = c.attributes(1).changed;
    Seconds after = before;
    for (int i = 0; i < 20'000 && after.nanoseconds == before.nanoseconds; ++i) {
      c.call(Tsetattr{.fid = 1, .valid = what, .mode = 0600, .uid = 1000});
      after = c.attributes(1).changed;
    }
    CHECK(after.nanoseconds != before.nanoseconds);
  }
}

TEST_CASE("mapped-file: metadata of others are read with care") {
  const Claims claims = claims_file::parse("virtfs.uid=-2\nvirtfs.mode=x\n\nrubbish\nvirtfs.gid=5");
  CHECK(claims.uid == 0xfffffffe);
  CHECK(claims.gid == 5);
  CHECK_FALSE(claims.mode);
  CHECK(claims_file::format(claims) == "virtfs.uid=-2\nvirtfs.gid=5\n");
  Fixture f(Security::mapped_file);
  f.share.write("file", "x");
  std::ofstream(f.share.outside() / "secret") << "virtfs.uid=77\n";
  fs::create_directories(f.share.path() / ".virtfs_metadata");
  fs::create_symlink("../../secret", f.share.path() / ".virtfs_metadata/file");
  CHECK(f.client.walk(1, {"file"}) == EIO);
  fs::remove(f.share.path() / ".virtfs_metadata/file");
  REQUIRE(::mkfifo((f.share.path() / ".virtfs_metadata/file").c_str(), 0600) == 0);
  CHECK(f.client.walk(1, {"file"}) == EIO);
}

TEST_CASE("passthrough and none: as they are, for root") {
  if (::geteuid() != 0) return;
  for (const Security security : {Security::passthrough, Security::none}) {
    Fixture f(security);
    f.make_all();
    f.check_all();
    CHECK(f.status("file").st_uid == 1001);
    CHECK(S_ISLNK(f.status("link").st_mode));
    CHECK(f.status("node").st_rdev == makedev(5, 1));
    f.client.call(Tsetattr{.fid = 50, .valid = kSetUid | kSetGid, .uid = 8, .gid = 9});
    CHECK(f.status("file").st_uid == 8);
    CHECK(f.status("file").st_gid == 9);
  }
}

TEST_CASE("modes are what the guest asks for, whatever the host's umask") {
  Fixture f(Security::none);
  const mode_t before = ::umask(077);
  f.client.call(Tmkdir{Client::kRoot, "d", 0775, 1002});
  REQUIRE(f.client.walk(1, {}) == 0);
  f.client.call(Tlcreate{1, "f", O_RDWR, 04666, 1002});
  ::umask(before);
  CHECK((f.status("d").st_mode & 07777) == 0775);
  CHECK((f.status("f").st_mode & 07777) == 04666);
}

TEST_CASE("squash: all that the guest makes belongs to one user of the host") {
  if (::geteuid() != 0) return;
  Fixture f(Security::none, Owner{2001, 2002});
  f.client.call(Tmkdir{Client::kRoot, "d", 0755, 1002});
  CHECK(f.status("d").st_uid == 2001);
  CHECK(f.status("d").st_gid == 2002);
  REQUIRE(f.client.walk(1, {"d"}) == 0);
  f.client.call(Tsetattr{.fid = 1, .valid = kSetUid, .uid = 5});
  CHECK(f.status("d").st_uid == 2001);
  Fixture mapped(Security::mapped_file, Owner{2001, 2002});
  mapped.make_all();
  mapped.check_all();
  CHECK(mapped.status("node").st_uid == 2001);
}

}  // namespace vireo::p9
