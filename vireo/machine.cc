#include "vireo/machine.h"

#include <utility>

#include <fmt/format.h>

#include "devices/pc/build.h"
#include "devices/pc/media.h"
#include "vireo/console_backend.h"
#include "vireo/describe.h"
#include "vmm/vm.h"

namespace vireo {

namespace {

Logger logger_of(const Description& description) {
  if (!description.log) return {};
  return Logger(
      parse_log_level(description.log_level),
      [log = description.log](LogLevel, std::string_view component, std::string_view text) {
        log(fmt::format("{}: {}", component, text));
      });
}

// The program's own console, or what the user named.
std::unique_ptr<dev::CharBackend> connect(const Port& port, const dev::CharSpec& spec,
                                          const Logger& log) {
  if (port.is_console()) return backend_of(port);
  return dev::make_char_backend(spec, {.log = log});
}

// Exceptions that carry others are one sentence for who embeds us.
template <class Step>
auto plainly(Step step) {
  return rethrow_as<ConfigError, ConfigError>(step);
}

}  // namespace

struct Machine::Insides {
  Insides(const Description& description, const pc::PcSpec& spec)
      : vm(machine_config(spec, logger_of(description))),
        pc(build_pc(vm, spec, host_of(description))) {}
  Insides(const Description& description, const pc::PcSpec& spec, Snapshot snapshot)
      : vm(machine_config(spec, logger_of(description)), std::move(snapshot)),
        pc(rebuild_pc(vm, spec, host_of(description))) {}

  pc::PcHost host_of(const Description& description) {
    return {.backend =
                [this, serial = description.serial, console = description.console](
                    const std::string& device, const dev::CharSpec& spec) {
                  return connect(device == "com1" ? serial : console, spec, vm.config().log);
                },
            .tell = [this](const std::string& line) { announcements.push_back(line); }};
  }

  std::vector<std::string> announcements{};
  Vm vm;
  pc::Pc pc;
};

Machine::Machine(const Description& description)
    : insides_(
          plainly([&] { return std::make_unique<Insides>(description, spec_of(description)); })) {}

Machine::Machine(std::unique_ptr<Insides> insides) noexcept : insides_(std::move(insides)) {}
Machine::Machine(Machine&& other) noexcept = default;
Machine& Machine::operator=(Machine&& other) noexcept = default;
Machine::~Machine() = default;

Machine Machine::restore(const std::string& directory, const Description& description) {
  return plainly([&] {
    return Machine(
        std::make_unique<Insides>(description, spec_of(description), Snapshot::open(directory)));
  });
}

const std::vector<std::string>& Machine::announcements() const noexcept {
  return insides_->announcements;
}

void Machine::start() {
  plainly([this] { insides_->vm.start(); });
}

void Machine::pause() {
  insides_->vm.pause();
}

void Machine::resume() {
  insides_->vm.resume();
}

void Machine::stop() {
  insides_->vm.stop();
}

void Machine::save(const std::string& directory) {
  plainly([&] { insides_->vm.save(directory); });
}

End Machine::wait() {
  return insides_->vm.wait();
}

std::optional<End> Machine::wait_for(std::chrono::milliseconds time) {
  return insides_->vm.wait_until(std::chrono::steady_clock::now() + time);
}

void Machine::request_stop() {
  insides_->vm.request_stop();
}

void Machine::request_pause(const std::string& why) {
  insides_->vm.request_pause(why);
}

void Machine::request_resume() {
  insides_->vm.request_resume();
}

void Machine::on_pause(std::function<void(const std::string& why)> listener) {
  insides_->vm.on_pause(std::move(listener));
}

void Machine::press_power_button() {
  insides_->pc.power->press_power_button();
}

bool Machine::eject(const std::string& drive, bool forced) {
  return plainly([&] { return pc::eject(insides_->vm, insides_->pc, drive, forced); });
}

void Machine::insert(const std::string& drive, const std::string& disc) {
  plainly([&] { pc::insert(insides_->vm, insides_->pc, drive, disc); });
}

}  // namespace vireo
