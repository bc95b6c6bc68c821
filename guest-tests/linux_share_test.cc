// Debian's full kernel with shared directories: what programs there expect of files, and that the
// host sees the same.
#include <fstream>
#include <iterator>
#include <string>

#include <catch2/catch.hpp>

#include "guest-tests/linux_machine.h"

namespace vireo::guest_tests {
namespace {

namespace fs = std::filesystem;

dev::P9Config share_of(const std::string& tag, const fs::path& directory,
                       p9::Security security = p9::Security::passthrough) {
  return {.tag = tag, .share = {.directory = directory, .security = security, .own_loop = true}};
}

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Runs the command in the guest, whose status must be 0. Short: the terminal has 80 columns.
void check_run(LinuxMachine& machine, const std::string& command) {
  const std::string output = machine.run(command + "; echo status $?");
  INFO(command << ":\n" << output);
  CHECK_THAT(output, Catch::EndsWith("status 0\n"));
}

void mount(LinuxMachine& machine, const std::string& tag, const std::string& where,
           const std::string& more = "") {
  check_run(machine, "mkdir -p " + where);
  check_run(machine, "mount -t 9p -o trans=virtio" + more + " " + tag + " " + where);
}

}  // namespace

TEST_CASE("files of a share behave as POSIX has it, in each model of ownership", "[.posix]") {
  const TemporaryDirectory plain, mapped;
  fs::copy_file(VIREO_POSIX, plain.path() / "posix");
  fs::create_directories(plain.path() / "none");
  fs::create_directories(plain.path() / "mmap");
  LinuxMachine machine(
      {.kernel = "full",
       .shares = {share_of("plain", plain.path()), share_of("cached", plain.path()),
                  share_of("mapped", mapped.path(), p9::Security::mapped_file)}});
  machine.come_up();
  mount(machine, "plain", "/plain");
  check_run(machine, "/plain/posix /plain/none");
  mount(machine, "cached", "/cached", ",cache=mmap");
  check_run(machine, "/plain/posix /cached/mmap shared");
  mount(machine, "mapped", "/mapped");
  check_run(machine, "/plain/posix /mapped by-name");
  // The host sees what was written, as it was written; of the mapped files, plain ones.
  check_run(machine, "head -c 300000 /dev/urandom >/plain/random");
  check_run(machine, "cp /plain/random /mapped/random");
  const std::string sum = machine.run("sha256sum /plain/random").substr(0, 64);
  CHECK(output_of("sha256sum " + (plain.path() / "random").string()).substr(0, 64) == sum);
  CHECK(contents(plain.path() / "random") == contents(mapped.path() / "random"));
  CHECK(fs::is_regular_file(mapped.path() / "special_files/wide"));
  CHECK(fs::is_block_file(plain.path() / "none/special_files/wide"));
  machine.type("exit");
  CHECK(machine.wait().reason == End::Reason::power_off);
}

TEST_CASE("a share is saved only while it is not mounted") {
  const TemporaryDirectory shared, saved;
  std::ofstream(shared.path() / "file") << "of the host\n";
  const LinuxOptions options{.kernel = "full", .shares = {share_of("src", shared.path())}};
  {
    LinuxMachine machine(options);
    machine.come_up();
    mount(machine, "src", "/mnt");
    machine.machine().pause();
    CHECK_THROWS_WITH(machine.machine().save(saved.path() / "refused"),
                      Catch::Contains("the share 'src' is mounted in the guest"));
    CHECK_FALSE(fs::exists(saved.path() / "refused"));
    machine.machine().resume();
    check_run(machine, "cat /mnt/file && umount /mnt");
    machine.machine().pause();
    machine.machine().save(saved.path() / "good");
  }
  LinuxMachine machine(Snapshot::open(saved.path() / "good"), options);
  machine.machine().start();
  machine.type("");
  machine.expect(kPrompt);
  mount(machine, "src", "/mnt");
  CHECK(machine.run("cat /mnt/file") == "of the host\n");
}

// The host's own system is the root: its compiler, git and dpkg work in a second share.
TEST_CASE("a system boots from a share, and builds, commits and installs in another", "[.system]") {
  const TemporaryDirectory shared;
  fs::copy(fs::path(VIREO_SOURCE) / "guest-tests", shared.path() / "source",
           fs::copy_options::recursive);
  output_of("cd " + shared.path().string() +
            " && tar -cf source.tar source && rm -r source && mkdir -p package/DEBIAN package/opt "
            "&& printf 'Package: sample\\nVersion: 1\\nArchitecture: all\\nMaintainer: none "
            "<n@localhost>\\nDescription: none\\n' >package/DEBIAN/control && echo installed "
            ">package/opt/sample && dpkg-deb --build package sample.deb");
  fs::copy_file(fs::path(VIREO_SOURCE) / "guest-tests/linux/share.sh", shared.path() / "share.sh");
  dev::P9Config root = share_of("root", "/");
  root.share.read_only = true;
  LinuxMachine machine({.kernel = "full",
                        .memory = 512 * MiB,
                        .shares = {root, share_of("src", shared.path())},
                        .append = "vireo.root=root:9p:ro,trans=virtio,version=9p2000.L,"
                                  "msize=512000,cache=loose vireo.init=/bin/sh"});
  machine.machine().start();
  machine.expect("# ");
  machine.type("PS1='vireo:/'; PS1=\"$PS1# \"; stty -echo");
  machine.expect(kPrompt);
  machine.type("mount -t 9p -o trans=virtio,msize=512000 src /mnt");
  machine.expect(kPrompt);
  machine.type("cd /mnt && bash share.sh; echo status $?");
  CHECK_THAT(machine.expect("status "), !Catch::Contains("failed"));
  CHECK(machine.expect("\n") == "0\r\n");
  CHECK(contents(shared.path() / "target/opt/sample") == "installed\n");
  CHECK(fs::exists(shared.path() / "source/objects/guest.o"));
  CHECK_THAT(output_of("git -c safe.directory='*' -C " + (shared.path() / "source").string() +
                       " fsck && git -c safe.directory='*' -C " +
                       (shared.path() / "source").string() + " log --oneline"),
             Catch::Contains("all of it"));
}

}  // namespace vireo::guest_tests
