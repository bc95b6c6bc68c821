// The tests' main: where there is no KVM it says so and ends with the status that means "skipped".
// Tests tagged [hardware] need a processor that can run any guest natively; where KVM only emulates
// one they are left out.
#define CATCH_CONFIG_RUNNER
#define CATCH_CONFIG_NO_POSIX_SIGNALS
#include <fstream>
#include <iostream>
#include <string>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/kvm/kvm.h"

namespace {

constexpr int kSkipped = 77;

bool processor_virtualises() {
  std::ifstream info("/proc/cpuinfo");
  std::string word;
  while (info >> word)
    if (word == "svm" || word == "vmx") return true;
  return false;
}

bool has_kvm() {
  try {
    vireo::Kvm::open();
    return true;
  } catch (const std::exception& error) {
    std::cout << "skipped: " << error.what() << '\n';
    return false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  Catch::Session session;
  if (const int error = session.applyCommandLine(argc, argv); error != 0) return error;
  if (!session.configData().listTests && !has_kvm()) return kSkipped;
  if (!processor_virtualises()) {
    std::cout << "this KVM emulates what guests run: tests tagged [hardware] are left out\n";
    session.configData().testsOrTags.emplace_back("~[hardware]");
  }
  return session.run();
}
