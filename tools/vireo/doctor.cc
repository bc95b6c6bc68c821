#include "tools/vireo/doctor.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <memory>

#include <fmt/format.h>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/probe.h"
#include "vmm/kvm/kvm.h"
#include "vmm/memory/layout.h"

namespace vireo::cli {

namespace {

using Grade = Finding::Grade;

Finding examine_processor() {
  if (has_hardware_virtualisation())
    return {Grade::good, "processor", "has hardware virtualisation (svm or vmx)", ""};
  return {
      Grade::note, "processor", "shows no hardware virtualisation (no svm or vmx flag)",
      "on a PC, switch it on in the firmware (SVM, VT-x); in a cloud, take a machine with nested "
      "virtualisation"};
}

Finding examine_kvm() {
  const KvmProbe probe = probe_kvm();
  switch (probe.kind) {
    case KvmProbe::Kind::hardware:
      return {Grade::good, "kvm", "works: a tiny 64-bit guest ran on the hardware", ""};
    case KvmProbe::Kind::page_table:
      return {
          Grade::bad, "kvm",
          "runs tiny guests only: this KVM has no hardware underneath and interprets kernels that "
          "were not made for it, far too slowly to boot Linux",
          "run guests through tools/kvmbox, which brings a machine with a full KVM in software, or "
          "use a host with hardware virtualisation"};
    case KvmProbe::Kind::broken:
      return {Grade::bad, "kvm",
              "is there, but a guest of three instructions did not run: " + probe.problem,
              "update the host's kernel, or look into its log (dmesg)"};
    case KvmProbe::Kind::absent:
      break;
  }
  return {Grade::bad, "kvm", "is not usable: " + probe.problem,
          "without KVM, guests run only through tools/kvmbox, in software"};
}

struct Capability {
  int number;
  const char* name;
  const char* use;
};
constexpr std::array kOptional{
    Capability{KVM_CAP_TSC_DEADLINE_TIMER, "TSC deadline timer", "cheap timers in the guest"},
    Capability{KVM_CAP_XSAVE2, "XSAVE2", "snapshots with large vector state"},
    Capability{KVM_CAP_KVMCLOCK_CTRL, "KVMCLOCK_CTRL", "no false watchdog alarms after a pause"},
    Capability{KVM_CAP_SYNC_REGS, "SYNC_REGS", "fast debugging"},
    Capability{KVM_CAP_X2APIC_API, "X2APIC_API", "more than 255 vCPUs"},
};

std::string missing_capabilities(const Kvm& kvm) {
  std::string missing;
  for (const Capability& capability : kOptional)
    if (kvm.check_extension(capability.number) <= 0)
      missing +=
          fmt::format("{}{} ({})", missing.empty() ? "" : ", ", capability.name, capability.use);
  return missing;
}

Finding examine_capabilities() {
  try {
    const std::string missing = missing_capabilities(Kvm::open());
    if (missing.empty())
      return {Grade::good, "capabilities", "all that Vireo can make use of are there", ""};
    return {Grade::note, "capabilities", "not there: " + missing,
            "a newer kernel on the host may bring them"};
  } catch (const std::exception&) {
    return {Grade::note, "capabilities", "cannot be asked while kvm is not usable", ""};
  }
}

Finding examine_device(const char* subject, const char* path, const char* use, const char* module) {
  if (::access(path, R_OK | W_OK) == 0)
    return {Grade::good, subject, fmt::format("{} can be used ({})", path, use), ""};
  if (errno == ENOENT)
    return {Grade::note, subject, fmt::format("{} does not exist ({})", path, use),
            fmt::format("'modprobe {}' as root, if you need it", module)};
  return {Grade::note, subject, fmt::format("{} is not permitted to you ({})", path, use),
          "ask for access to the device, if you need it"};
}

Finding examine_huge_pages() {
  std::ifstream in("/proc/sys/vm/nr_hugepages");
  uint64_t pages = 0;
  in >> pages;
  if (pages > 0)
    return {Grade::good, "huge-pages", fmt::format("{} of 2 MiB are reserved", pages), ""};
  return {Grade::note, "huge-pages",
          "none are reserved (guest memory uses ordinary or transparent ones)",
          "'sysctl vm.nr_hugepages=N' as root, if you want them"};
}

Finding examine_locked_memory() {
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) return {Grade::good, "locked-memory", "has no limit", ""};
  return {Grade::note, "locked-memory", fmt::format("is limited to {} KiB", limit.rlim_cur / KiB),
          "'ulimit -l' raises it; only device pass-through would need that"};
}

const char* word(Grade grade) {
  switch (grade) {
    case Grade::good:
      return "ok";
    case Grade::note:
      return "note";
    case Grade::bad:
      return "BAD";
  }
  return "";
}

bool can_run(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings)
    if (finding.grade == Grade::bad) return false;
  return true;
}

void print_text(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    std::printf("%-5s %-14s %s\n", word(finding.grade), finding.subject.c_str(),
                finding.text.c_str());
    if (!finding.advice.empty()) std::printf("%-5s %-14s -> %s\n", "", "", finding.advice.c_str());
  }
  std::printf("\n%s\n", can_run(findings)
                            ? "This host can run virtual machines."
                            : "This host cannot run ordinary virtual machines as it is.");
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      out += c;
  }
  return out + '"';
}

void print_json(const std::vector<Finding>& findings) {
  std::printf("{\"can-run\": %s, \"findings\": [", can_run(findings) ? "true" : "false");
  for (const char* comma = ""; const Finding& finding : findings) {
    std::printf("%s\n  {\"subject\": %s, \"grade\": %s, \"text\": %s, \"advice\": %s}", comma,
                quoted(finding.subject).c_str(), quoted(word(finding.grade)).c_str(),
                quoted(finding.text).c_str(), quoted(finding.advice).c_str());
    comma = ",";
  }
  std::printf("\n]}\n");
}

}  // namespace

std::vector<Finding> examine_host() {
  return {examine_processor(),
          examine_kvm(),
          examine_capabilities(),
          examine_device("tap", "/dev/net/tun", "networks through TAP", "tun"),
          examine_device("vhost-net", "/dev/vhost-net", "faster TAP networks", "vhost_net"),
          examine_huge_pages(),
          examine_locked_memory()};
}

void add_doctor(Options& program) {
  Options command =
      program.command("doctor", "Tell whether this host can run VMs, and what to do if not");
  command.footer("Exits with 0 when ordinary guests can run here, with 4 when not.");
  auto format = std::make_shared<std::string>("human");
  command.option("--output", "FORMAT", *format, "human or json").one_of({"human", "json"});
  command.action([format] {
    const auto findings = examine_host();
    if (*format == "json")
      print_json(findings);
    else
      print_text(findings);
    return can_run(findings) ? kOk : kHostError;
  });
}

}  // namespace vireo::cli
