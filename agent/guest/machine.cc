#include "agent/guest/machine.h"

#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

#include <arpa/inet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/in.h>

#include "agent/guest/fd.h"
#include "agent/guest/file.h"

namespace vireo::agent {

namespace {

constexpr const char* kLower = "/lower";    // the share
constexpr const char* kLayer = "/layer";    // in memory: what is changed
constexpr const char* kMerged = "/merged";  // both
constexpr const char* kKept[] = {"/dev", "/proc", "/sys", "/run"};

// Fresh names and contents matter where the host writes, too; of a root that is only read, what has
// been read once is kept.
constexpr const char* kShared = "trans=virtio,version=9p2000.L,msize=512000,cache=mmap";
constexpr const char* kReadOnly = "trans=virtio,version=9p2000.L,msize=512000,cache=loose";

Failure mount_failure() noexcept {
  return {errno, Stage::mount};
}

// Each directory of an absolute path that is not there.
bool make_directories(const char* path) noexcept {
  char part[PATH_MAX];
  for (size_t i = 1; path[i - 1] != '\0' && i < sizeof(part); ++i) {
    if (path[i] != '/' && path[i] != '\0') continue;
    std::memcpy(part, path, i);
    part[i] = '\0';
    if (::mkdir(part, 0755) != 0 && errno != EEXIST && errno != EISDIR) return false;
  }
  return true;
}

bool mount_at(const char* what, const char* path, const char* type, unsigned long flags,
              const char* options) noexcept {
  return make_directories(path) && ::mount(what, path, type, flags, options) == 0;
}

bool mount_overlay() noexcept {
  return mount_at("layer", kLayer, "tmpfs", 0, "mode=755") && make_directories("/layer/upper") &&
         make_directories("/layer/work") &&
         mount_at("root", kMerged, "overlay", 0,
                  "lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work");
}

// A mount goes where the root is about to be, if there is one (EINVAL).
bool keep(const char* directory) noexcept {
  char target[64];
  std::snprintf(target, sizeof(target), "%s%s", kMerged, directory);
  return make_directories(target) &&
         (::mount(directory, target, nullptr, MS_MOVE, nullptr) == 0 || errno == EINVAL);
}

// As switch_root(8) does it: the first file system of all cannot be left by pivot_root(2).
bool switch_root() noexcept {
  return std::all_of(std::begin(kKept), std::end(kKept), keep) && ::chdir(kMerged) == 0 &&
         ::mount(".", "/", nullptr, MS_MOVE, nullptr) == 0 && ::chroot(".") == 0 &&
         ::chdir("/") == 0;
}

// --- the interface, by netdevice(7) ---

void set_address(sockaddr& to, uint32_t address) noexcept {
  sockaddr_in wanted{};
  wanted.sin_family = AF_INET;
  wanted.sin_addr.s_addr = htonl(address);
  std::memcpy(&to, &wanted, sizeof(wanted));
}

bool is_ethernet(int socket, ifreq& request) noexcept {
  return ::ioctl(socket, SIOCGIFHWADDR, &request) == 0 &&
         request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
}

// Fills in the name of the first Ethernet interface.
bool find_interface(int socket, ifreq& request) noexcept {
  constexpr int kMostInterfaces = 64;
  for (int index = 1; index <= kMostInterfaces; ++index) {
    request = {};
    request.ifr_ifindex = index;
    if (::ioctl(socket, SIOCGIFNAME, &request) == 0 && is_ethernet(socket, request)) return true;
  }
  errno = ENODEV;
  return false;
}

bool set_interface(int socket, ifreq& request, const Network& network) noexcept {
  set_address(request.ifr_addr, network.address);
  if (::ioctl(socket, SIOCSIFADDR, &request) != 0) return false;
  const auto hosts = static_cast<uint32_t>((uint64_t{1} << (32 - network.prefix)) - 1);
  set_address(request.ifr_netmask, ~hosts);
  if (::ioctl(socket, SIOCSIFNETMASK, &request) != 0) return false;
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ::ioctl(socket, SIOCSIFFLAGS, &request) == 0;
}

bool add_default_route(int socket, const Network& network) noexcept {
  rtentry route{};
  set_address(route.rt_dst, 0);
  set_address(route.rt_genmask, 0);
  set_address(route.rt_gateway, network.gateway);
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  return ::ioctl(socket, SIOCADDRT, &route) == 0;
}

// A file of the guest's own over whatever the root has there, which may be a link to nowhere.
bool set_name_server(uint32_t address) noexcept {
  char text[64];
  std::snprintf(text, sizeof(text), "nameserver %u.%u.%u.%u\n", address >> 24, address >> 16 & 0xff,
                address >> 8 & 0xff, address & 0xff);
  ::unlink("/etc/resolv.conf");
  return write_file("/etc/resolv.conf", text) == 0;
}

}  // namespace

Failure set_clock(const Clock& clock) noexcept {
  const timespec now{static_cast<time_t>(clock.seconds), static_cast<long>(clock.nanoseconds)};
  if (::clock_settime(CLOCK_REALTIME, &now) != 0) return {errno, Stage::request};
  return {};
}

// random(4), RNDADDENTROPY: what only the host knows counts as random, all of it.
Failure add_entropy(const Entropy& entropy) noexcept {
  constexpr size_t kMost = 256;
  alignas(rand_pool_info) std::byte pool[sizeof(rand_pool_info) + kMost];
  const size_t size = std::min(entropy.bytes.size(), kMost);
  const rand_pool_info info{.entropy_count = static_cast<int>(8 * size),
                            .buf_size = static_cast<int>(size)};
  std::memcpy(pool, &info, sizeof(info));
  std::copy_n(entropy.bytes.begin(), size, pool + sizeof(info));
  const Fd device(::open("/dev/urandom", O_WRONLY | O_CLOEXEC));
  if (!device || ::ioctl(device.get(), RNDADDENTROPY, pool) != 0) return {errno, Stage::request};
  return {};
}

Failure enter_root(const Root& root) noexcept {
  const bool entered = mount_at(root.tag.c_str(), kLower, "9p", MS_RDONLY, kReadOnly) &&
                       mount_overlay() && switch_root();
  return entered ? Failure{} : mount_failure();
}

Failure mount_share(const Share& share) noexcept {
  if (!share.path.view.starts_with('/')) return {EINVAL, Stage::request};
  const bool mounted =
      mount_at(share.tag.c_str(), share.path.c_str(), "9p", share.read_only ? MS_RDONLY : 0,
               share.read_only ? kReadOnly : kShared);
  return mounted ? Failure{} : mount_failure();
}

Failure configure_network(const Network& network) noexcept {
  if (network.prefix > 32) return {EINVAL, Stage::request};
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  const bool configured = socket && find_interface(socket.get(), request) &&
                          set_interface(socket.get(), request, network) &&
                          add_default_route(socket.get(), network) &&
                          set_name_server(network.name_server);
  return configured ? Failure{} : Failure{errno, Stage::network};
}

}  // namespace vireo::agent
