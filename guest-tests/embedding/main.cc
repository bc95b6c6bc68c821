// The example of the README.
#include "devices/chardev/ring.h"
#include "devices/legacy/acpi_power.h"
#include "devices/legacy/uart.h"
#include "vmm/machine.h"

using namespace std::chrono_literals;

int main(int, char** argv) {
  vireo::dev::Ring console;
  vireo::Machine vm({.memory = {.size = 256 * vireo::MiB}});
  vm.add<vireo::dev::AcpiPower>("power");
  vm.add<vireo::dev::Uart>("com1", console.backend());
  vm.boot({.kernel = argv[1], .initrd = argv[2], .cmdline = "console=ttyS0 panic=-1"});
  vm.start();
  console.expect("# ", 60s);
  console.write("echo $((6 * 7)); exit\n");
  console.expect("42", 10s);
  return vm.wait().reason == vireo::End::Reason::power_off ? 0 : 1;
}
