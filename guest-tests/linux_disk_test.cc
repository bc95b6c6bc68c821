// Debian's kernels and their disks; what lies in the images afterwards is judged by e2fsprogs and
// qemu-img.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <random>
#include <string>
#include <thread>

#include <catch2/catch.hpp>

#include "blockdev/filter/fault.h"
#include "blockdev/protocol/memory.h"
#include "devices/pc/media.h"
#include "guest-tests/linux_machine.h"
#include "vmm/base/fd.h"

namespace vireo::guest_tests {
namespace {

namespace fs = std::filesystem;

std::string first_word(const std::string& text) {
  return text.substr(0, text.find(' '));
}

// Bytes that a file takes up.
uint64_t allocated(const fs::path& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

// Leaks are no corruption: status 3.
void check_image(const fs::path& image) {
  const std::string command = "qemu-img check -q " + image.string() + " || test $? -eq 3";
  CHECK(output_of(command).find("ERROR") == std::string::npos);
}

void use_from_four_processors(const fs::path& top) {
  LinuxMachine machine(
      {.vcpus = 4,
       .memory = 256 * MiB,
       .disks = {{.serial = "S-42",
                  .image = {.location = top, .format = "qcow2", .references = blk::References::any},
                  .queues = 4,
                  .iothread = true}},
       .append = "vireo.mount=/dev/vda:/disk",
       .reboot = true});
  machine.come_up();
  CHECK(machine.run("ls /sys/block/vda/mq | wc -l") == "4\n");
  CHECK(machine.run("cat /sys/block/vda/serial; echo") == "S-42\n");
  CHECK(machine.run("cat /disk/base") == "from the base\n");
  machine.run(
      "for i in 0 1 2 3; do (taskset $((1 << i)) dd if=/dev/urandom of=/disk/$i bs=64k count=16; "
      "md5sum /disk/$i >/disk/$i.md5) 2>/dev/null & done; wait; sync");
  machine.type("reboot -f");
  machine.expect("vireo-guest: ready");
  machine.expect(kPrompt);
  CHECK(machine.run("md5sum -c /disk/*.md5 | grep -c OK") == "4\n");
  machine.type("exit");
  CHECK(machine.wait().reason == End::Reason::power_off);
}

TEST_CASE("an overlay over a chain serves four processors through four queues and a reboot") {
  const TemporaryDirectory directory;
  const std::string in_directory = "cd " + directory.path().string() + " && ";
  output_of(in_directory +
            "mkdir files && echo from the base >files/base && "
            "mke2fs -q -F -t ext4 -d files base.img 96M && "
            "qemu-img create -q -f qcow2 -b base.img -F raw middle.qcow2 && "
            "qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2");
  const fs::path top = directory.path() / "top.qcow2";
  use_from_four_processors(top);
  check_image(top);
  output_of(in_directory + "qemu-img convert -O raw top.qcow2 flat.raw && e2fsck -fn flat.raw");
  for (const std::string file : {"0", "1", "2", "3"}) {
    const std::string dump = "debugfs -R 'cat /" + file;
    CHECK(first_word(output_of(in_directory + dump + "' flat.raw 2>/dev/null | md5sum")) ==
          first_word(output_of(in_directory + dump + ".md5' flat.raw 2>/dev/null")));
  }
}

// A disk in memory of which one block cannot be read.
void add_bad_disk(LinuxMachine& machine) {
  auto faults = std::make_unique<blk::FaultNode>(machine.machine().env().loop,
                                                 std::make_unique<blk::MemoryNode>(1 * MiB));
  faults->add(
      {.offset = 512 * 1024, .length = 4096, .error = std::make_error_code(std::errc::io_error)});
  machine.virtio().add<dev::Blk>("bad", std::make_unique<blk::Disk>("bad", std::move(faults)),
                                 dev::BlkConfig{});
}

void trims(LinuxMachine& machine, const std::string& device, const fs::path& image) {
  machine.run("mount -t ext4 " + device +
              " /mnt; dd if=/dev/urandom of=/mnt/file bs=64k count=128; sync");
  const uint64_t full = allocated(image);
  machine.run("rm /mnt/file; sync; fstrim /mnt; umount /mnt");
  CHECK(allocated(image) + 7 * MiB < full);
}

void grows(LinuxMachine& machine) {
  constexpr uint64_t kSize = 96 * MiB;
  CHECK_FALSE(call(machine.machine().env().loop, machine.disk(0).resize(kSize)));
  const std::string sectors = std::to_string(kSize / 512);
  CHECK(machine.run("until grep -x " + sectors + " /sys/block/vda/size; do usleep 100000; done") ==
        sectors + "\n");
  CHECK(machine.run("dd if=/dev/zero of=/dev/vda bs=1M seek=95 count=1 conv=fsync 2>/dev/null; "
                    "echo $?") == "0\n");
}

TEST_CASE("disks trim, grow, refuse writes and report errors as their guest expects") {
  const TemporaryDirectory directory;
  const fs::path data = directory.path() / "data.img";
  const fs::path constant = directory.path() / "constant.img";
  output_of("mke2fs -q -F -t ext4 " + data.string() + " 64M && yes | head -c 1M >" +
            constant.string());
  LinuxMachine machine({.disks = {{.image = {.location = data}},
                                  {.image = {.location = constant, .read_only = true}}}});
  add_bad_disk(machine);
  machine.come_up();

  CHECK(machine.run("cd /sys/block; cat vda/ro vdb/ro vda/queue/logical_block_size "
                    "vda/queue/physical_block_size; cd /") == "0\n1\n512\n4096\n");
  CHECK(machine.run("dd if=/dev/zero of=/dev/vdb count=1 2>/dev/null; echo $?") == "1\n");
  CHECK(machine.run("head -c 2 /dev/vdb") == "y\n");
  CHECK(machine.run("cat /sys/block/vda/cache_type; echo write through >/sys/block/vda/cache_type; "
                    "cat /sys/block/vda/cache_type") == "write back\nwrite through\n");
  const std::string read = "dd if=/dev/vdc of=/dev/null bs=4k count=1 iflag=direct skip=";
  CHECK_THAT(machine.run(read + "128 2>&1"), Catch::Contains("Input/output error"));
  CHECK(machine.run(read + "129 2>/dev/null; echo $?") == "0\n");
  trims(machine, "/dev/vda", data);
  grows(machine);
  machine.type("exit");
  CHECK(machine.wait().reason == End::Reason::power_off);
  output_of("e2fsck -fn " + data.string());
}

// A disc with a file system in which there is one file.
fs::path make_disc(const fs::path& directory, const std::string& text) {
  const std::string files = (directory / text).string(), disc = files + ".iso";
  output_of("mkdir " + files + " && echo " + text + " >" + files +
            "/file && mke2fs -q -F -t ext4 -b 4096 -d " + files + " " + disc + " 4M");
  return disc;
}

std::string blocks_of(LinuxMachine& machine, const std::string& device) {
  return first_word(machine.run("dd if=" + device + " bs=1M count=4 2>/dev/null | md5sum"));
}

void changes_discs(LinuxMachine& machine, const fs::path& first, const fs::path& second) {
  Vm& vm = machine.machine();
  CHECK(machine.run("mount -t ext4 -o ro /dev/sr0 /mnt; cat /mnt/file") == "first\n");
  CHECK_FALSE(pc::eject(vm, machine.pc(), "cdrom0", false));  // the guest holds what it has mounted
  CHECK(machine.run("umount /mnt; echo $?") == "0\n");
  CHECK(blocks_of(machine, "/dev/sr0") == first_word(output_of("md5sum " + first.string())));
  CHECK(pc::eject(vm, machine.pc(), "cdrom0", false));
  CHECK_THAT(machine.run("cat /dev/sr0 2>&1"), Catch::Contains("No medium found"));
  pc::insert(vm, machine.pc(), "cdrom0", second.string());
  CHECK(blocks_of(machine, "/dev/sr0") == first_word(output_of("md5sum " + second.string())));
  CHECK(machine.run("mount -t ext4 -o ro /dev/sr0 /mnt; cat /mnt/file; umount /mnt") == "second\n");
}

TEST_CASE("SCSI disks and CD-ROM drives serve a guest, whose discs are changed meanwhile") {
  const TemporaryDirectory directory;
  const fs::path data = directory.path() / "data.img";
  const fs::path first = make_disc(directory.path(), "first");
  const fs::path second = make_disc(directory.path(), "second");
  output_of("mke2fs -q -F -t ext4 " + data.string() + " 64M");
  LinuxMachine machine(
      {.disks = {{.serial = "S-42", .image = {.location = data}, .bus = pc::DiskBus::scsi}},
       .cdroms = {
           {.id = "cdrom0", .image = {.location = first, .format = "raw", .read_only = true}},
           {.id = "cdrom1"}}});
  machine.come_up();
  CHECK(machine.run(
            "cd /sys/block; cat sda/size sda/ro sda/queue/rotational sr0/size sr0/ro; cd /") ==
        "131072\n0\n0\n8192\n1\n");
  CHECK(machine.run("grep -c S-42 /sys/block/sda/device/vpd_pg80") == "1\n");
  CHECK_THAT(machine.run("cat /dev/sr1 2>&1"), Catch::Contains("No medium found"));
  trims(machine, "/dev/sda", data);
  const std::string write = "dd if=/dev/urandom of=/random bs=1M count=8 2>/dev/null; ";
  CHECK(machine.run(write + "dd if=/random of=/dev/sda bs=64k seek=512 oflag=direct 2>/dev/null; "
                            "dd if=/dev/sda bs=1M skip=32 count=8 iflag=direct 2>/dev/null | "
                            "cmp - /random; echo $?") == "0\n");
  changes_discs(machine, first, second);
  machine.type("exit");
  CHECK(machine.wait().reason == End::Reason::power_off);
}

// A small file system in memory; needs root, as the tests that boot Linux do anyway.
class SmallFileSystem {
 public:
  SmallFileSystem(fs::path path, const std::string& size) : path_(std::move(path)) {
    fs::create_directory(path_);
    REQUIRE(::mount("tmpfs", path_.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0);
  }
  ~SmallFileSystem() { ::umount2(path_.c_str(), MNT_DETACH); }
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;
  void resize(const std::string& size) {
    REQUIRE(::mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT, ("size=" + size).c_str()) == 0);
  }
  const fs::path& path() const noexcept { return path_; }

 private:
  fs::path path_;
};

// Has a guest write 10 MiB, and gives room when it has to wait for it; what the guest says of the
// data.
std::string fill(SmallFileSystem& small, const fs::path& image) {
  LinuxMachine machine({.disks = {{.image = {.location = image}, .pauses_when_full = true}}});
  int pauses = 0;
  machine.machine().on_pause([&](const std::string&) {
    // Once too little, once enough.
    small.resize(++pauses == 1 ? "6M" : "64M");
    machine.machine().request_resume();
  });
  machine.come_up();
  machine.run("dd if=/dev/urandom of=/data bs=64k count=160 2>/dev/null");
  CHECK(machine.run("dd if=/data of=/dev/vda bs=64k conv=fsync 2>/dev/null; echo $?") == "0\n");
  CHECK(pauses >= 2);
  std::string sum = first_word(machine.run("md5sum </data"));
  machine.type("exit");
  CHECK(machine.wait().reason == End::Reason::power_off);
  return sum;
}

TEST_CASE("a guest waits while its disks' file system is full, and loses nothing") {
  const TemporaryDirectory directory;
  SmallFileSystem small(directory.path() / "small", "4M");
  const fs::path image = small.path() / "disk.qcow2";
  output_of("qemu-img create -q -f qcow2 " + image.string() + " 64M");
  const std::string sum = fill(small, image);
  output_of("qemu-img check -q " + image.string());
  const fs::path flat = directory.path() / "flat.raw";
  output_of("qemu-img convert -O raw " + image.string() + " " + flat.string());
  CHECK(first_word(output_of("head -c 10M " + flat.string() + " | md5sum")) == sum);
}

// `vireo run` as a process of its own, with pipes for its terminal.
class Command {
 public:
  explicit Command(std::vector<std::string> words) {
    std::array<int, 2> in{}, out{};
    REQUIRE(::pipe2(in.data(), O_CLOEXEC) == 0);
    REQUIRE(::pipe2(out.data(), O_CLOEXEC) == 0);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    process_ = ::fork();
    REQUIRE(process_ >= 0);
    if (process_ == 0) {
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::execv(arguments[0], arguments.data());
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    input_.reset(in[1]);
    output_.reset(out[0]);
  }
  ~Command() { kill(); }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  void type(const std::string& line) {
    const std::string text = line + "\n";
    REQUIRE(::write(input_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  // What comes next; empty at the end.
  std::string read() {
    std::array<char, 4096> part;
    const ssize_t length = ::read(output_.get(), part.data(), part.size());
    return {part.data(), static_cast<size_t>(std::max<ssize_t>(length, 0))};
  }
  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = -1;
  }

 private:
  pid_t process_ = -1;
  UniqueFd input_;
  UniqueFd output_;
};

// A guest that writes files, flushes each and says so, until it is killed in the middle of it.
// Returns the number of the last one that it said.
int write_until_killed(const fs::path& image, int first, std::chrono::milliseconds more) {
  const fs::path guest = fs::path(VIREO_LINUX_GUESTS) / "cloud";
  Command vireo({VIREO_COMMAND, "run", "--kernel", guest / "vmlinuz", "--initrd", guest / "initrd",
                 "--append", "console=ttyS0 quiet panic=-1 pci=off vireo.mount=/dev/vda:/disk",
                 "--disk", image});
  std::string said;
  const auto read_to = [&](const std::string& text) {
    while (said.find(text) == std::string::npos) {
      const std::string part = vireo.read();
      INFO(said);
      REQUIRE(!part.empty());
      said += part;
    }
  };
  read_to(kPrompt);
  vireo.type(
      "i=" + std::to_string(first) +
      "; while :; do yes $i | head -c 20000 | dd of=/disk/$i bs=4k conv=fsync 2>/dev/null && "
      "echo flushed=$i.; i=$((i + 1)); done");
  read_to("flushed=" + std::to_string(first + 9) + ".");
  std::this_thread::sleep_for(more);  // somewhere in the middle of a file
  vireo.kill();
  for (std::string part = vireo.read(); !part.empty(); part = vireo.read()) said += part;
  int last = first;
  while (said.find("flushed=" + std::to_string(last + 1) + ".") != std::string::npos) ++last;
  return last;
}

TEST_CASE("what a guest has flushed survives the sudden death of vireo, again and again") {
  const TemporaryDirectory directory;
  const fs::path image = directory.path() / "disk.qcow2";
  const std::string in_directory = "cd " + directory.path().string() + " && ";
  output_of(in_directory +
            "mke2fs -q -F -t ext4 base.img 64M && "
            "qemu-img create -q -f qcow2 -o cluster_size=4k -b base.img -F raw disk.qcow2");
  std::minstd_rand random(7);
  int last = 0;
  for (int round = 0; round < 3; ++round) {
    last = write_until_killed(image, last + 1, std::chrono::milliseconds(random() % 300));
    check_image(image);
  }
  CHECK(last >= 30);
  // The journal is replayed by e2fsck, for which 1 means that it had something to do.
  output_of(
      in_directory +
      "qemu-img convert -O raw disk.qcow2 flat.raw && { e2fsck -fy flat.raw || test $? -eq 1; }"
      " && mkdir out && debugfs -R 'rdump / out' flat.raw 2>/dev/null");
  for (int i = 1; i <= last; ++i) {
    std::ifstream file(directory.path() / "out" / std::to_string(i));
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    const std::string line = std::to_string(i) + "\n";
    INFO("file " << i << " of " << last);
    REQUIRE(content.size() == 20000);
    REQUIRE(content.starts_with(line));
    REQUIRE(content.substr(content.size() / line.size() / 2 * line.size()).starts_with(line));
  }
}

}  // namespace
}  // namespace vireo::guest_tests
