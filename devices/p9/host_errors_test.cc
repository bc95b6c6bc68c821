// What the host refuses reaches the guest as what it is. The host is this process's own kernel with
// a seccomp filter that answers for it: on a thread of its own, because a filter is for good.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <thread>

#include <catch2/catch.hpp>

#include "devices/p9/testing/client.h"

namespace vireo::p9 {
namespace {

// The calls that a share makes for these requests fail with `error` from here on, also on threads
// that this one starts.
bool refuse_everything(int error) {
  constexpr uint32_t kCalls[] = {SYS_pwritev2, SYS_preadv2,   SYS_mkdirat,  SYS_fsync,
                                 SYS_linkat,   SYS_symlinkat, SYS_unlinkat, SYS_renameat};
  std::vector<sock_filter> program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const uint32_t call : kCalls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog whole{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) == 0;
}

// The answers to one request of each kind. Catch's own macros are for the test's thread.
struct Answers {
  bool filtered = false;
  std::vector<std::pair<std::string, int>> errors{};
};

void ask(const ShareConfig& config, int error, Answers& answers) {
  answers.filtered = refuse_everything(error);
  if (!answers.filtered) return;
  Client client(config);
  client.attach();
  client.open(1, {"file"}, O_RDWR);
  client.walk(2, {"file"});
  const Payload byte{1};
  const auto note = [&](const char* what, int got) { answers.errors.emplace_back(what, got); };
  note("read", client.error(Tread{1, 0, 100}));
  note("write", client.error(Twrite{1, 0, byte}, "x"));
  note("fsync", client.error(Tfsync{1, 0}));
  note("mkdir", client.error(Tmkdir{Client::kRoot, "directory", 0755, 0}));
  note("symlink", client.error(Tsymlink{Client::kRoot, "symlink", "target", 0}));
  note("link", client.error(Tlink{Client::kRoot, 2, "link"}));
  note("unlinkat", client.error(Tunlinkat{Client::kRoot, "file", 0}));
  note("renameat", client.error(Trenameat{Client::kRoot, "file", Client::kRoot, "new"}));
}

}  // namespace

TEST_CASE("the guest hears what the host says") {
  const int error = GENERATE(ENOSPC, EDQUOT, EROFS, ESTALE, EIO);
  ShareDirectory share;
  share.write("file", "x");
  Answers answers;
  std::thread([&] { ask({.directory = share.path()}, error, answers); }).join();
  if (!answers.filtered) {
    WARN("no seccomp filter can be set here");
    return;
  }
  CHECK(answers.errors.size() == 8);
  for (const auto& [what, got] : answers.errors) {
    INFO(what);
    CHECK(got == error);
  }
}

}  // namespace vireo::p9
