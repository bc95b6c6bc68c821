// What POSIX and Linux promise of files, tried in the directory given: one claim a function. Prints
// "posix: NAME: FILE:LINE: CLAIM" for each claim that does not hold, and at the end how many did
// not. Needs root: it makes files for others and acts as them.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char* current;
static int failures;
static int mode_of_name;  // not of the file, where the mode is kept by its name

static void failed(const char* claim, int line) {
  printf("posix: %s: line %d: %s (errno %s)\n", current, line, claim, strerrorname_np(errno));
  ++failures;
}
#define CHECK(claim) ((claim) ? (void)0 : failed(#claim, __LINE__))
// The call fails with just this errno.
#define FAILS(call, error) (errno = 0, CHECK((call) == -1 && errno == (error)))

static void put(const char* name, const char* text) {
  const int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0644);
  CHECK(fd >= 0);
  CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
  CHECK(close(fd) == 0);
}
static int holds(const char* name, const char* text) {
  char got[4096] = {0};
  const int fd = open(name, O_RDONLY);
  const ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof got - 1);
  if (fd >= 0) close(fd);
  return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}
static struct stat status(const char* name) {
  struct stat s;
  memset(&s, 0, sizeof s);
  CHECK(lstat(name, &s) == 0);
  return s;
}
// Runs it as an ordinary user, in a process of its own.
static void as_user(uid_t uid, void (*what)(void)) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    failures = 0;
    CHECK(setgroups(0, NULL) == 0);
    CHECK(setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0);
    what();
    fflush(stdout);
    _exit(failures);
  }
  int end = 0;
  CHECK(waitpid(child, &end, 0) == child);
  failures += WIFEXITED(end) ? WEXITSTATUS(end) : 1;
}

static void opening(void) {
  int fd = open("file", O_CREAT | O_EXCL | O_RDWR, 0640);
  CHECK(fd >= 0);
  CHECK((status("file").st_mode & 07777) == 0640);
  FAILS(open("file", O_CREAT | O_EXCL | O_RDWR, 0640), EEXIST);
  FAILS(open("missing", O_RDONLY), ENOENT);
  FAILS(open("file/below", O_RDONLY), ENOTDIR);
  FAILS(open(".", O_WRONLY), EISDIR);
  FAILS(open("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
  CHECK(pwrite(fd, "0123456789", 10, 0) == 10);
  CHECK(lseek(fd, 0, SEEK_END) == 10);
  CHECK(write(fd, "ab", 2) == 2);
  CHECK(holds("file", "0123456789ab"));
  const int second = open("file", O_RDONLY | O_TRUNC);
  CHECK(second >= 0 && status("file").st_size == 0);
  char byte;
  CHECK(pread(fd, &byte, 1, 0) == 0);
  FAILS(write(second, "x", 1), EBADF);
  CHECK(fsync(fd) == 0 && fdatasync(fd) == 0);
  CHECK(close(fd) == 0 && close(second) == 0);
  CHECK((fd = open(".", O_RDONLY)) >= 0);
  FAILS(read(fd, &byte, 1), EISDIR);
  CHECK(fsync(fd) == 0);
  close(fd);
}

static void open_files_stay(void) {
  put("old", "old");
  put("new", "new");
  const int fd = open("old", O_RDWR);
  char text[8] = {0};
  struct stat s;
  CHECK(rename("new", "old") == 0);
  CHECK(read(fd, text, sizeof text) == 3 && strcmp(text, "old") == 0);
  CHECK(holds("old", "new"));
  CHECK(fstat(fd, &s) == 0 && s.st_nlink == 0);
  CHECK(write(fd, "er", 2) == 2);
  CHECK(ftruncate(fd, 4) == 0 && fstat(fd, &s) == 0 && s.st_size == 4);
  CHECK(fchmod(fd, 0600) == 0 && fstat(fd, &s) == 0 && (s.st_mode & 0777) == 0600);
  close(fd);
  const int gone = open("temporary", O_CREAT | O_RDWR, 0600);
  CHECK(unlink("temporary") == 0);
  CHECK(write(gone, "kept", 4) == 4 && pread(gone, text, 4, 0) == 4);
  CHECK(fstat(gone, &s) == 0 && s.st_size == 4);
  CHECK(ftruncate(gone, 1 << 20) == 0 && fstat(gone, &s) == 0 && s.st_size == 1 << 20);
  close(gone);
}

static void renaming(void) {
  put("a", "a");
  CHECK(mkdir("d", 0755) == 0 && mkdir("e", 0755) == 0);
  CHECK(rename("a", "d/b") == 0 && holds("d/b", "a"));
  FAILS(rename("a", "x"), ENOENT);
  FAILS(rename("d", "d/below"), EINVAL);
  FAILS(rename("e", "d"), ENOTEMPTY);
  FAILS(rename("d/b", "e"), EISDIR);
  FAILS(rename("d", "d/b"), EINVAL);
  put("file", "f");
  FAILS(rename("e", "file"), ENOTDIR);
  CHECK(rename("d", "e") == 0 && holds("e/b", "a"));
  CHECK(rename("file", "file") == 0);
}

static void linking(void) {
  put("one", "text");
  CHECK(link("one", "two") == 0);
  CHECK(status("one").st_nlink == 2 && status("one").st_ino == status("two").st_ino);
  CHECK(chmod("two", 0600) == 0 && (mode_of_name || (status("one").st_mode & 0777) == 0600));
  FAILS(link("one", "two"), EEXIST);
  FAILS(link("missing", "three"), ENOENT);
  CHECK(mkdir("d", 0755) == 0);
  FAILS(link("d", "three"), EPERM);
  CHECK(unlink("one") == 0 && holds("two", "text") && status("two").st_nlink == 1);
  CHECK(symlink("two", "s") == 0 && holds("s", "text"));
  CHECK(link("s", "s2") == 0 && S_ISLNK(status("s2").st_mode));
  char target[64] = {0};
  CHECK(readlink("s", target, sizeof target) == 3 && strcmp(target, "two") == 0);
  FAILS(readlink("two", target, sizeof target), EINVAL);
  FAILS(symlink("x", "s"), EEXIST);
  CHECK(symlink("loop2", "loop1") == 0 && symlink("loop1", "loop2") == 0);
  FAILS(open("loop1", O_RDONLY), ELOOP);
  FAILS(open("s", O_RDONLY | O_NOFOLLOW), ELOOP);
  char longest[PATH_MAX];
  memset(longest, 'l', sizeof longest);
  longest[PATH_MAX - 2] = 0;
  CHECK(symlink(longest, "longest") == 0);
  static char back[PATH_MAX];
  CHECK(readlink("longest", back, sizeof back) == PATH_MAX - 2);
}

static void special_files(void) {
  CHECK(mkfifo("fifo", 0640) == 0 && S_ISFIFO(status("fifo").st_mode));
  CHECK(mknod("null", S_IFCHR | 0666, makedev(1, 3)) == 0);
  CHECK(S_ISCHR(status("null").st_mode) && status("null").st_rdev == makedev(1, 3));
  CHECK(mknod("wide", S_IFBLK | 0600, makedev(259, 70000)) == 0);
  CHECK(status("wide").st_rdev == makedev(259, 70000));
  const int null = open("null", O_RDWR);
  char byte;
  CHECK(null >= 0 && write(null, "x", 1) == 1 && read(null, &byte, 1) == 0);
  close(null);
  const int reader = open("fifo", O_RDONLY | O_NONBLOCK), writer = open("fifo", O_WRONLY);
  CHECK(write(writer, "p", 1) == 1 && read(reader, &byte, 1) == 1 && byte == 'p');
  close(reader);
  close(writer);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(bind(listener, (struct sockaddr*)&address, sizeof address) == 0);
  CHECK(listen(listener, 1) == 0);
  CHECK(connect(client, (struct sockaddr*)&address, sizeof address) == 0);
  CHECK(S_ISSOCK(status("socket").st_mode));
  close(listener);
  close(client);
  CHECK(unlink("fifo") == 0 && unlink("null") == 0 && unlink("socket") == 0);
}

static void directories(void) {
  CHECK(mkdir("d", 01750) == 0 && (status("d").st_mode & 07777) == 01750);
  FAILS(mkdir("d", 0755), EEXIST);
  FAILS(rmdir("missing"), ENOENT);
  put("d/file", "x");
  FAILS(rmdir("d"), ENOTEMPTY);
  FAILS(unlink("d"), EISDIR);
  FAILS(rmdir("d/file"), ENOTDIR);
  DIR* const open_one = opendir("d");
  CHECK(unlink("d/file") == 0 && rmdir("d") == 0);
  FAILS(openat(dirfd(open_one), "x", O_CREAT | O_WRONLY, 0600), ENOENT);
  errno = 0;
  CHECK(readdir(open_one) != NULL || errno == 0);
  closedir(open_one);
  CHECK(mkdir("group", 0755) == 0 && chown("group", 0, 77) == 0 && chmod("group", 02755) == 0);
  put("group/file", "x");
  CHECK(status("group/file").st_gid == 77);
  CHECK(mkdir("group/below", 0755) == 0 && status("group/below").st_gid == 77);
  CHECK((status("group/below").st_mode & 02000) != 0);
}

// Every name comes back once, also while others come and go.
static void listing(void) {
  enum { kMany = 1000 };
  char name[300];
  CHECK(mkdir("many", 0755) == 0 && chdir("many") == 0);
  for (int i = 0; i < kMany; ++i) {
    snprintf(name, sizeof name, "%d", i);
    put(name, "");
  }
  static int seen[kMany];
  DIR* const directory = opendir(".");
  long half = 0;
  int count = 0;
  for (struct dirent* entry; (entry = readdir(directory)) != NULL; ++count) {
    if (entry->d_name[0] != '.') ++seen[atoi(entry->d_name) % kMany];
    if (count == kMany / 2) half = telldir(directory);
    snprintf(name, sizeof name, "x%d", count);
    if (count < 100) put(name, ""), unlink(name);
  }
  int once = 1;
  for (int i = 0; i < kMany; ++i) once &= seen[i] == 1;
  CHECK(once);
  seekdir(directory, half);
  int rest = 0;
  while (readdir(directory) != NULL) ++rest;
  CHECK(rest == count - kMany / 2 - 1);
  rewinddir(directory);
  int removed = 0;
  for (struct dirent* entry; (entry = readdir(directory)) != NULL;)
    if (entry->d_name[0] != '.') removed += unlink(entry->d_name) == 0;
  CHECK(removed == kMany);
  closedir(directory);
  CHECK(chdir("..") == 0 && rmdir("many") == 0);
}

static void names(void) {
  char name[] = "?";
  for (int value = 1; value < 256; ++value) {
    name[0] = (char)value;
    if (value == '/' || value == '.') continue;
    put(name, "x");
    CHECK(holds(name, "x") && unlink(name) == 0);
  }
  char longest[257];
  memset(longest, 'n', sizeof longest);
  longest[256] = 0;
  FAILS(open(longest, O_CREAT | O_WRONLY, 0600), ENAMETOOLONG);
  longest[255] = 0;
  put(longest, "long");
  CHECK(holds(longest, "long") && unlink(longest) == 0);
  FAILS(mkdir("", 0755), ENOENT);
  // Deeper than any path can say.
  enum { kDeep = 60 };
  longest[100] = 0;
  int depth = 0;
  const int top = open(".", O_RDONLY | O_DIRECTORY);
  while (depth < kDeep && mkdir(longest, 0755) == 0 && chdir(longest) == 0) ++depth;
  CHECK(depth == kDeep);
  put("bottom", "deep");
  CHECK(holds("bottom", "deep") && unlink("bottom") == 0);
  while (depth > 0 && chdir("..") == 0 && rmdir(longest) == 0) --depth;
  CHECK(depth == 0);
  CHECK(fchdir(top) == 0);
  close(top);
}

// Linux' 9p client (6.1) cuts the times that it sets to seconds, whatever the server can do.
static int cut(long got, long wanted) {
  return got == wanted || got == 0;
}

static void times(void) {
  put("file", "x");
  const struct timespec wanted[2] = {{1, 123456789}, {2000000000, 987654321}};
  CHECK(utimensat(AT_FDCWD, "file", wanted, 0) == 0);
  CHECK(status("file").st_atim.tv_sec == 1 && cut(status("file").st_atim.tv_nsec, 123456789));
  CHECK(status("file").st_mtim.tv_sec == 2000000000 &&
        cut(status("file").st_mtim.tv_nsec, 987654321));
  const struct timespec omit[2] = {{0, UTIME_OMIT}, {5, 6}};
  CHECK(utimensat(AT_FDCWD, "file", omit, 0) == 0);
  CHECK(cut(status("file").st_atim.tv_nsec, 123456789) && cut(status("file").st_mtim.tv_nsec, 6));
  const struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  CHECK(utimensat(AT_FDCWD, "file", now, 0) == 0 && status("file").st_mtim.tv_sec > 5);
  CHECK(symlink("nowhere", "link") == 0);
  CHECK(utimensat(AT_FDCWD, "link", wanted, AT_SYMLINK_NOFOLLOW) == 0);
  CHECK(cut(status("link").st_mtim.tv_nsec, 987654321));
  const struct stat before = status("file");
  usleep(20000);
  CHECK(chmod("file", 0600) == 0);
  const struct stat after = status("file");
  CHECK(after.st_ctim.tv_sec != before.st_ctim.tv_sec ||
        after.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
  CHECK(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
}

static void not_mine(void) {
  FAILS(open("private", O_RDONLY), EACCES);
  FAILS(open("readable", O_WRONLY), EACCES);
  FAILS(chmod("readable", 0777), EPERM);
  FAILS(chown("readable", getuid(), getgid()), EPERM);
  FAILS(unlink("readable"), EACCES);
  FAILS(unlink("sticky/theirs"), EPERM);
  FAILS(open("closed/inside", O_RDONLY), EACCES);
  const int fd = open("sticky/mine", O_CREAT | O_EXCL | O_RDWR, 0600);
  CHECK(fd >= 0);
  struct stat s;
  CHECK(fstat(fd, &s) == 0 && s.st_uid == getuid() && s.st_gid == getgid());
  close(fd);
  CHECK(unlink("sticky/mine") == 0);
  // Who writes a set-user-id program without being root makes it an ordinary one.
  const int program = open("sticky/program", O_WRONLY);
  CHECK(program >= 0 && write(program, "x", 1) == 1);
  close(program);
  CHECK((status("sticky/program").st_mode & 06000) == 0);
}

static void permissions(void) {
  put("private", "x");
  CHECK(chmod("private", 0600) == 0);
  put("readable", "x");
  CHECK(mkdir("sticky", 0755) == 0 && chmod("sticky", 01777) == 0 && mkdir("closed", 0700) == 0);
  put("closed/inside", "x");
  put("sticky/theirs", "x");
  put("sticky/program", "x");
  CHECK(chmod("sticky/program", 06777) == 0);
  CHECK((status("sticky/program").st_mode & 07777) == 06777);
  CHECK(chown("readable", 12345, 54321) == 0);
  CHECK(status("readable").st_uid == 12345 && status("readable").st_gid == 54321);
  CHECK(symlink("readable", "link") == 0 && lchown("link", 5, 6) == 0);
  CHECK(status("link").st_uid == 5 && status("readable").st_uid == 12345);
  as_user(1000, not_mine);
  umask(027);
  put("masked", "x");
  CHECK((status("masked").st_mode & 0777) == 0640);
  umask(0);
  CHECK(mkdir("open", 0777) == 0 && (status("open").st_mode & 0777) == 0777);
  umask(022);
}

// Two processes append at once: nothing is lost or torn.
static void appending(void) {
  enum { kLines = 200, kLength = 64 };
  put("log", "");
  fflush(stdout);
  const pid_t child = fork();
  const int fd = open("log", O_WRONLY | O_APPEND);
  char line[kLength];
  memset(line, child == 0 ? 'c' : 'p', sizeof line);
  line[kLength - 1] = '\n';
  for (int i = 0; i < kLines; ++i) CHECK(write(fd, line, sizeof line) == kLength);
  close(fd);
  if (child == 0) _exit(0);
  CHECK(waitpid(child, NULL, 0) == child);
  CHECK(status("log").st_size == 2 * kLines * kLength);
  FILE* const log = fopen("log", "r");
  char got[kLength + 1];
  int whole = 0, parents = 0;
  while (fgets(got, sizeof got, log) != NULL) {
    whole += strlen(got) == kLength && got[0] == got[kLength - 2];
    parents += got[0] == 'p';
  }
  fclose(log);
  CHECK(whole == 2 * kLines && parents == kLines);
}

static void mapping(int shared) {
  enum { kSize = 3 * 4096 + 100 };
  const int fd = open("mapped", O_CREAT | O_RDWR | O_TRUNC, 0644);
  CHECK(ftruncate(fd, kSize) == 0);
  CHECK(pwrite(fd, "start", 5, 0) == 5 && pwrite(fd, "middle", 6, 5000) == 6);
  char* const private_map = mmap(NULL, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  CHECK(private_map != MAP_FAILED);
  if (private_map != MAP_FAILED) {
    CHECK(memcmp(private_map, "start", 5) == 0 && memcmp(private_map + 5000, "middle", 6) == 0);
    private_map[0] = 'X';
    CHECK(munmap(private_map, kSize) == 0 && pread(fd, (char[1]){0}, 1, 0) == 1);
  }
  if (shared) {
    char* const map = mmap(NULL, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    if (map != MAP_FAILED) {
      memcpy(map + 8192, "through the map", 15);
      CHECK(msync(map, kSize, MS_SYNC) == 0 && munmap(map, kSize) == 0);
      char got[16] = {0};
      const int other = open("mapped", O_RDONLY);
      CHECK(pread(other, got, 15, 8192) == 15 && strcmp(got, "through the map") == 0);
      close(other);
    }
  }
  close(fd);
}

static struct flock whole(short type) {
  return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

static void locks(void) {
  put("file", "0123456789");
  const int fd = open("file", O_RDWR);
  struct flock lock = whole(F_WRLCK);
  lock.l_start = 2, lock.l_len = 3;
  CHECK(fcntl(fd, F_SETLK, &lock) == 0);
  const int again = open("file", O_RDWR);  // of the same process: no conflict
  CHECK(fcntl(again, F_SETLK, &lock) == 0);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    failures = 0;
    const int other = open("file", O_RDWR);
    struct flock theirs = whole(F_RDLCK);
    FAILS(fcntl(other, F_SETLK, &theirs), EAGAIN);
    CHECK(fcntl(other, F_GETLK, &theirs) == 0 && theirs.l_type == F_WRLCK);
    CHECK(theirs.l_start == 2 && theirs.l_len == 3 && theirs.l_pid == getppid());
    theirs = whole(F_WRLCK);
    theirs.l_start = 5, theirs.l_len = 5;
    CHECK(fcntl(other, F_SETLK, &theirs) == 0);
    fflush(stdout);
    _exit(failures);
  }
  int end = 0;
  CHECK(waitpid(child, &end, 0) == child);
  failures += WEXITSTATUS(end);
  lock = whole(F_WRLCK);
  CHECK(fcntl(fd, F_SETLK, &lock) == 0);  // what the child had went with it
  close(again);
  close(fd);
  const int one = open("file", O_RDWR), two = open("file", O_RDWR);
  CHECK(flock(one, LOCK_EX | LOCK_NB) == 0);
  FAILS(flock(two, LOCK_SH | LOCK_NB), EAGAIN);
  CHECK(flock(one, LOCK_UN) == 0 && flock(two, LOCK_EX | LOCK_NB) == 0);
  close(one);
  close(two);
}

static void large(void) {
  const off_t far = (off_t)5 << 30;
  const int fd = open("sparse", O_CREAT | O_RDWR, 0644);
  CHECK(pwrite(fd, "end", 3, far) == 3);
  CHECK(status("sparse").st_size == far + 3 && status("sparse").st_blocks < 10000);
  char got[4] = "xxx";
  CHECK(pread(fd, got, 3, (off_t)3 << 30) == 3 && memcmp(got, "\0\0\0", 3) == 0);
  CHECK(pread(fd, got, 3, far) == 3 && memcmp(got, "end", 3) == 0);
  CHECK(pread(fd, got, 3, far + 3) == 0);
  CHECK(ftruncate(fd, (off_t)6 << 30) == 0 && status("sparse").st_size == (off_t)6 << 30);
  CHECK(truncate("sparse", 7) == 0 && status("sparse").st_size == 7);
  FAILS(ftruncate(fd, -1), EINVAL);
  close(fd);
  // Much data through one descriptor, in odd pieces.
  static char block[700001];
  for (size_t i = 0; i < sizeof block; ++i) block[i] = (char)(i * 31 + i / 4093);
  const int big = open("big", O_CREAT | O_RDWR, 0644);
  for (int i = 0; i < 5; ++i) CHECK(write(big, block, sizeof block) == sizeof block);
  static char back[sizeof block];
  CHECK(pread(big, back, sizeof back, 3 * sizeof block) == sizeof back);
  CHECK(memcmp(block, back, sizeof back) == 0);
  struct iovec parts[2] = {{back, 10}, {back + 100, 20}};
  CHECK(preadv(big, parts, 2, 5) == 30 && memcmp(back + 100, block + 15, 20) == 0);
  close(big);
}

static void attributes(void) {
  put("file", "x");
  char got[300] = {0};
  if (setxattr("file", "user.colour", "blue", 4, XATTR_CREATE) != 0) {
    CHECK(errno == EOPNOTSUPP);
    return;
  }
  FAILS(setxattr("file", "user.colour", "red", 3, XATTR_CREATE), EEXIST);
  FAILS(setxattr("file", "user.none", "red", 3, XATTR_REPLACE), ENODATA);
  CHECK(getxattr("file", "user.colour", got, sizeof got) == 4 && strcmp(got, "blue") == 0);
  FAILS(getxattr("file", "user.colour", got, 2), ERANGE);
  CHECK(listxattr("file", got, sizeof got) >= (ssize_t)sizeof "user.colour");
  CHECK(setxattr("file", "user.empty", "", 0, 0) == 0);
  CHECK(getxattr("file", "user.empty", got, sizeof got) == 0);
  CHECK(removexattr("file", "user.colour") == 0);
  FAILS(getxattr("file", "user.colour", got, sizeof got), ENODATA);
  FAILS(removexattr("file", "user.colour"), ENODATA);
}

static void statistics(void) {
  struct statvfs s;
  CHECK(statvfs(".", &s) == 0 && s.f_blocks > 0 && s.f_namemax == 255);
}

static void mapping_private(void) {
  mapping(0);
}
static void mapping_shared(void) {
  mapping(1);
}

static void run(const char* name, void (*test)(void)) {
  current = name;
  CHECK(mkdir(name, 0755) == 0 && chdir(name) == 0);
  test();
  CHECK(chdir("..") == 0);
}

int main(int argc, char** argv) {
  if (argc < 2 || chdir(argv[1]) != 0) return 2;
  mode_of_name = argc > 2 && strcmp(argv[2], "by-name") == 0;
  umask(022);
  signal(SIGPIPE, SIG_IGN);
  run("opening", opening);
  run("open_files_stay", open_files_stay);
  run("renaming", renaming);
  run("linking", linking);
  run("special_files", special_files);
  run("directories", directories);
  run("listing", listing);
  run("names", names);
  run("times", times);
  run("permissions", permissions);
  run("appending", appending);
  run("mapping_private", mapping_private);
  if (argc > 2 && !mode_of_name) run("mapping_shared", mapping_shared);  // a mount without a cache has none
  run("locks", locks);
  run("large", large);
  run("attributes", attributes);
  run("statistics", statistics);
  printf("posix: %d failed\n", failures);
  return failures != 0;
}
