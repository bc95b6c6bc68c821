// The example of the README.
#include <vireo/vireo.h>

using namespace std::chrono_literals;

int main(int, char** argv) {
  vireo::Console console;
  vireo::Machine vm({.memory = 256 * vireo::MiB,
                     .kernel = argv[1],
                     .initrd = argv[2],
                     .append = "console=ttyS0 panic=-1",
                     .serial = console});
  vm.start();
  console.expect("# ", 60s);
  console.write("echo $((6 * 7)); exit\n");
  console.expect("42", 10s);
  return vm.wait().reason == vireo::End::Reason::power_off ? 0 : 1;
}
