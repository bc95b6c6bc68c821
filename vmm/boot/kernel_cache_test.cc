#include "vmm/boot/kernel_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include <catch2/catch.hpp>

#include "vmm/boot/image.h"
#include "vmm/boot/testing/kernels.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

namespace fs = std::filesystem;
using testing::Bytes;
using testing::TempDir;

const std::string kHash(64, 'a');
const std::string kOther(64, 'b');

// A file that was last changed long ago.
struct stat old_file(ino_t inode = 7) {
  struct stat status {};
  status.st_dev = 1;
  status.st_ino = inode;
  status.st_size = 1000;
  status.st_mtim = status.st_ctim = {1'000'000'000, 5};
  return status;
}

Bytes content_of(const KernelCache::Entry& entry) {
  Bytes bytes(entry.size);
  REQUIRE(!pread_all(entry.fd.get(), bytes, 0));
  return bytes;
}

size_t files_in(const fs::path& directory) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory)) ++count;
  return count;
}

// Sets the access time, by which entries are thrown out.
void use_at(const fs::path& path, time_t when) {
  const std::array<timespec, 2> times{timespec{when, 0}, timespec{0, UTIME_OMIT}};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times.data(), 0) == 0);
}

}  // namespace

TEST_CASE("what was stored is found by hash and by file") {
  const TempDir dir;
  const KernelCache cache(dir.path() / "deep" / "cache");
  REQUIRE(cache);
  Bytes kernel(100'000);
  kernel[0] = kernel[50'000] = kernel[99'999] = std::byte{1};
  CHECK_FALSE(cache.find_file(old_file()));
  CHECK_FALSE(cache.find_payload(kHash, old_file()));
  cache.store(kHash, old_file(), kernel);

  const auto by_file = cache.find_file(old_file());
  REQUIRE(by_file);
  CHECK(content_of(*by_file) == kernel);
  const auto by_hash = KernelCache(dir.path() / "deep" / "cache").find_payload(kHash, old_file());
  REQUIRE(by_hash);
  CHECK(content_of(*by_hash) == kernel);
  CHECK_FALSE(cache.find_payload(kOther, old_file()));
  CHECK(files_in(dir.path() / "deep" / "cache") == 2);  // nothing temporary is left
}

TEST_CASE("zero pages take no space") {
  const TempDir dir;
  const KernelCache cache(dir.path());
  Bytes kernel(4 * MiB);
  kernel[MiB] = std::byte{1};
  cache.store(kHash, old_file(), kernel);
  struct stat status {};
  REQUIRE(::stat((dir.path() / (kHash + ".elf")).c_str(), &status) == 0);
  CHECK(status.st_blocks * 512 < 1024 * 1024);
  CHECK(content_of(*cache.find_file(old_file())) == kernel);
}

TEST_CASE("a file that changed in any way is another file") {
  const TempDir dir;
  const KernelCache cache(dir.path());
  cache.store(kHash, old_file(), testing::pattern(1000));
  struct stat changed = old_file();
  SECTION("device") {
    changed.st_dev++;
  }
  SECTION("inode") {
    changed.st_ino++;
  }
  SECTION("size") {
    changed.st_size++;
  }
  SECTION("modification time") {
    changed.st_mtim.tv_nsec++;
  }
  SECTION("modification time in seconds") {
    changed.st_mtim.tv_sec++;
  }
  SECTION("change time") {
    changed.st_ctim.tv_nsec++;
  }
  CHECK_FALSE(cache.find_file(changed));
  CHECK(cache.find_payload(kHash, changed));
  CHECK(cache.find_file(changed));  // remembered now
  CHECK(cache.find_file(old_file()));
}

TEST_CASE("a file just written is not remembered by its times") {
  const TempDir dir;
  const KernelCache cache(dir.path());
  struct stat young = old_file();
  young.st_ctim.tv_sec = std::time(nullptr);
  cache.store(kHash, young, testing::pattern(1000));
  CHECK_FALSE(cache.find_file(young));
  CHECK(cache.find_payload(kHash, young));
  CHECK_FALSE(cache.find_file(young));
}

TEST_CASE("an entry that is not as it was written is none") {
  const TempDir dir;
  const KernelCache cache(dir.path());
  const Bytes kernel = testing::pattern(10'000);
  cache.store(kHash, old_file(), kernel);
  const fs::path path = dir.path() / (kHash + ".elf");
  REQUIRE(cache.find_file(old_file()));
  const UniqueFd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  const Bytes one(1);
  SECTION("written to") {
    REQUIRE(!pwrite_all(fd.get(), one, 100));
  }
  SECTION("truncated") {
    REQUIRE(::ftruncate(fd.get(), 9'000) == 0);
  }
  SECTION("emptied") {
    REQUIRE(::ftruncate(fd.get(), 0) == 0);
  }
  SECTION("grown") {
    REQUIRE(::ftruncate(fd.get(), 20'000) == 0);
  }
  SECTION("truncated, with its old time") {
    struct stat status {};
    REQUIRE(::fstat(fd.get(), &status) == 0);
    REQUIRE(::ftruncate(fd.get(), 9'000) == 0);
    const std::array<timespec, 2> times{status.st_atim, status.st_mtim};
    REQUIRE(::futimens(fd.get(), times.data()) == 0);
  }
  SECTION("removed") {
    fs::remove(path);
  }
  SECTION("a directory") {
    fs::remove(path);
    fs::create_directory(path);
    CHECK_FALSE(cache.find_file(old_file()));
    return;
  }
  CHECK_FALSE(cache.find_file(old_file()));
  CHECK_FALSE(cache.find_payload(kHash, old_file()));
  cache.store(kHash, old_file(), kernel);  // replaces it
  REQUIRE(cache.find_file(old_file()));
  CHECK(content_of(*cache.find_file(old_file())) == kernel);
}

TEST_CASE("a directory that others can write is not used") {
  const TempDir dir;
  const fs::path path = dir.path() / "cache";
  fs::create_directory(path);
  fs::permissions(path, fs::perms::group_write, fs::perm_options::add);
  const KernelCache cache(path);
  CHECK_FALSE(cache);
  cache.store(kHash, old_file(), testing::pattern(1000));
  CHECK_FALSE(cache.find_payload(kHash, old_file()));
  CHECK(files_in(path) == 0);
}

TEST_CASE("a directory that everybody can write above it is not passed") {
  const TempDir dir;
  const fs::path open_to_all = dir.path() / "open";
  fs::create_directory(open_to_all);
  fs::permissions(open_to_all, fs::perms::all);
  CHECK_FALSE(KernelCache(open_to_all / "cache"));
  fs::permissions(open_to_all, fs::perms::all | fs::perms::sticky_bit);
  CHECK(KernelCache(open_to_all / "cache"));
}

TEST_CASE("a link of one's own is followed") {
  const TempDir dir;
  fs::create_directory(dir.path() / "elsewhere");
  fs::create_directory_symlink("elsewhere", dir.path() / "link");
  CHECK(KernelCache(dir.path() / "link" / "cache"));
  CHECK(fs::exists(dir.path() / "elsewhere" / "cache"));
  fs::create_directory_symlink("elsewhere", dir.path() / "cache");
  fs::permissions(dir.path() / "elsewhere", fs::perms::owner_all);
  CHECK(KernelCache(dir.path() / "cache"));
}

// Root can play both users. Others cannot, but may not be led by anybody's links either: the links
// of another user's lie in that user's directories.
TEST_CASE("nothing of another user's leads the way") {
  if (::geteuid() != 0) return;
  constexpr uid_t kOther = 65534;
  const TempDir dir;
  const fs::path home = dir.path() / "home", target = dir.path() / "target";
  fs::create_directory(home);
  fs::create_directory(target);
  fs::permissions(target, fs::perms::owner_all);
  SECTION("a directory") {
    REQUIRE(::chown(home.c_str(), kOther, kOther) == 0);
    CHECK_FALSE(KernelCache(home / "cache"));
    CHECK(files_in(home) == 0);
  }
  SECTION("a link in a directory of that user's") {
    fs::create_directory_symlink(target, home / "cache");
    REQUIRE(::chown(home.c_str(), kOther, kOther) == 0);
    CHECK_FALSE(KernelCache(home / "cache"));
  }
  SECTION("a link in a directory that all share") {
    fs::permissions(home, fs::perms::all | fs::perms::sticky_bit);
    fs::create_directory_symlink(target, home / "cache");
    REQUIRE(::lchown((home / "cache").c_str(), kOther, kOther) == 0);
    CHECK_FALSE(KernelCache(home / "cache"));
  }
  CHECK(files_in(target) == 0);
}

TEST_CASE("no directory, no cache") {
  CHECK_FALSE(KernelCache({}));
  CHECK_FALSE(KernelCache("/proc/nowhere/vireo"));
  const TempDir dir;
  const auto file = dir.write("file", testing::pattern(1));
  CHECK_FALSE(KernelCache(file));
}

TEST_CASE("the least recently used entries go when the limit is reached") {
  const TempDir dir;
  constexpr uint64_t kLimit = 100 * KiB;
  const KernelCache cache(dir.path(), kLimit);
  const auto hash = [](char digit) { return std::string(64, digit); };
  const auto path = [&](char digit) { return dir.path() / (hash(digit) + ".elf"); };
  for (const char digit : {'1', '2', '3'}) {
    cache.store(hash(digit), old_file(static_cast<ino_t>(digit)), testing::pattern(20'000));
    use_at(path(digit), 1'100'000'000 + digit);
  }
  use_at(path('1'), 1'200'000'000);
  cache.store(hash('4'), old_file('4'), testing::pattern(48'000));
  CHECK(fs::exists(path('1')));
  CHECK_FALSE(fs::exists(path('2')));
  CHECK(fs::exists(path('4')));
  CHECK_FALSE(cache.find_file(old_file('2')));

  SECTION("finding an entry counts as use") {
    use_at(path('1'), 1);
    REQUIRE(cache.find_file(old_file('1')));
    struct stat status {};
    REQUIRE(::stat(path('1').c_str(), &status) == 0);
    CHECK(status.st_atim.tv_sec > 1'300'000'000);
  }
  SECTION("what is far too large is not kept") {
    cache.store(hash('5'), old_file('5'), testing::pattern(60'000));
    CHECK_FALSE(fs::exists(path('5')));
    CHECK(fs::exists(path('4')));
  }
}

TEST_CASE("abandoned temporary files and too many links are cleared away") {
  const TempDir dir;
  const KernelCache cache(dir.path());
  const auto young = dir.write("tmp-1-young", testing::pattern(1));
  const auto old = dir.write("tmp-2-old", testing::pattern(1));
  const std::array<timespec, 2> times{timespec{1, 0}, timespec{1, 0}};
  REQUIRE(::utimensat(AT_FDCWD, old.c_str(), times.data(), 0) == 0);
  const auto foreign = dir.write("foreign", testing::pattern(1));
  for (int i = 0; i < 300; ++i)
    fs::create_symlink("gone.elf", dir.path() / ("file-" + std::to_string(i)));
  cache.store(kHash, old_file(), testing::pattern(1000));
  CHECK(fs::exists(young));
  CHECK_FALSE(fs::exists(old));
  CHECK(fs::exists(foreign));
  CHECK(files_in(dir.path()) == 4);  // and the entry with its link
  CHECK(cache.find_file(old_file()));
}

TEST_CASE("the default directory follows the environment") {
  const auto with = [](const char* cache, const char* home) {
    const auto set = [](const char* name, const char* value) {
      return value != nullptr ? ::setenv(name, value, 1) : ::unsetenv(name);
    };
    const std::string old_home = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "";
    set("XDG_CACHE_HOME", cache);
    set("HOME", home);
    const fs::path path = default_kernel_cache();
    set("XDG_CACHE_HOME", nullptr);
    set("HOME", old_home.c_str());
    return path;
  };
  CHECK(with("/x", "/home/u") == "/x/vireo");
  CHECK(with(nullptr, "/home/u") == "/home/u/.cache/vireo");
  CHECK(with("relative", "/home/u") == "/home/u/.cache/vireo");
  CHECK(with(nullptr, nullptr).empty());
}

}  // namespace vireo
