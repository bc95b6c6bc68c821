#include "tools/vireo/candidates.h"

#include <catch2/catch.hpp>

#include "tools/vireo/image/image.h"
#include "tools/vireo/run_options.h"

using namespace vireo::cli;

namespace {

using Words = std::vector<std::string>;

struct Fixture {
  Options program{"", "vireo"};
  RunArguments arguments;

  Fixture() {
    Options run = program.command("run", "");
    add_run_options(run, arguments);
    program.command("doctor", "");
  }
  Words after(const Words& words) const { return program.candidates(words); }
};

bool has(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

TEST_CASE("commands and options are completed") {
  const Fixture f;
  REQUIRE(f.after({""}) == Words{"run", "doctor"});
  REQUIRE(f.after({"d"}) == Words{"doctor"});
  REQUIRE(f.after({"run", "--mem"}) == Words{"--memory"});
  REQUIRE(has(f.after({"run", "--"}), "--kernel"));
  REQUIRE(f.after({"x"}).empty());
  REQUIRE(f.after({}).empty());
}

TEST_CASE("words that an option takes are completed, and files are left to the shell") {
  const Fixture f;
  REQUIRE(f.after({"run", "--irqchip", ""}) == Words{"auto", "apic", "pc"});
  REQUIRE(f.after({"run", "--irqchip", "a"}) == Words{"auto", "apic"});
  REQUIRE(f.after({"run", "--serial", "p"}) == Words{"pty"});
  REQUIRE(f.after({"run", "--kernel", ""}).empty());
}

TEST_CASE("a flag takes no word") {
  const Fixture f;
  REQUIRE(f.after({"run", "--no-reboot", "--irq"}) == Words{"--irqchip"});
}

TEST_CASE("the keys of a disk are completed behind each comma, and what they take") {
  const Fixture f;
  REQUIRE(f.after({"run", "--disk", "a.img,reado"}) == Words{"a.img,readonly="});
  REQUIRE(has(f.after({"run", "--disk", "a.img,cache="}), "a.img,cache=none"));
  REQUIRE(f.after({"run", "--disk", "a.img,x=y,cache=no"}) == Words{"a.img,x=y,cache=none"});
  REQUIRE(f.after({"run", "--disk", "dir/a"}).empty());
  REQUIRE(has(f.after({"run", "--net", "user,hostf"}), "user,hostfwd="));
  REQUIRE(has(f.after({"run", "--net", "us"}), "user"));
}

TEST_CASE("the commands of image are completed, too") {
  REQUIRE(image_candidates({"conv"}) == Words{"convert"});
  REQUIRE(!image_candidates({"convert", "-"}).empty());
}
