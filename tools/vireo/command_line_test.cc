#include "tools/vireo/command_line.h"

#include <catch2/catch.hpp>

#include "tools/vireo/exit_status.h"

using namespace vireo::cli;

namespace {

// A command line of `vireo` with two commands, `run` with some options, and `doctor`.
struct Fixture {
  CLI::App app{"", "vireo"};
  std::string kernel, memory;
  bool ran = false;

  Fixture() {
    app.require_subcommand(1);
    auto* const run = app.add_subcommand("run", "");
    run->add_option("--kernel", kernel)->required();
    run->add_option("--memory", memory);
    run->callback([this] { ran = true; });
    app.add_subcommand("doctor", "");
  }
  void parse(std::vector<std::string> words) {
    words.insert(words.begin(), "vireo");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    parse_command_line(app, static_cast<int>(argv.size()), argv.data());
  }
};

}  // namespace

TEST_CASE("the nearest word is one that a slip of the pen apart") {
  const std::vector<std::string> commands{"run", "doctor", "screenshot", "image"};
  REQUIRE(nearest("runn", commands) == "run");
  REQUIRE(nearest("rn", commands) == "run");
  REQUIRE(nearest("docter", commands) == "doctor");
  REQUIRE(nearest("screenshoot", commands) == "screenshot");
  REQUIRE(nearest("start", commands).empty());
  REQUIRE(nearest("x", commands).empty());
}

TEST_CASE("a command line that is understood runs its command") {
  Fixture f;
  f.parse({"run", "--kernel", "-x", "--memory=1G"});
  REQUIRE(f.ran);
  REQUIRE(f.kernel == "-x");
  REQUIRE(f.memory == "1G");
}

TEST_CASE("unknown commands and options are named, with the nearest one") {
  REQUIRE_THROWS_WITH(Fixture().parse({"runn"}),
                      "there is no command 'runn', did you mean run? (try --help)");
  REQUIRE_THROWS_WITH(Fixture().parse({"launch"}), "there is no command 'launch' (try --help)");
  REQUIRE_THROWS_WITH(Fixture().parse({"run", "--kernel", "k", "--memroy=1G"}),
                      "run has no option --memroy, did you mean --memory? (try --help)");
  REQUIRE_THROWS_WITH(Fixture().parse({"run", "--bogus"}),
                      "run has no option --bogus (try --help)");
  REQUIRE_THROWS_WITH(Fixture().parse({"run"}), Catch::Contains("--kernel"));
  REQUIRE_THROWS_AS(Fixture().parse({}), UsageError);
  REQUIRE_THROWS_WITH(Fixture().parse({"run", "--kernel", "k", "more"}), Catch::Contains("more"));
}

TEST_CASE("options of QEMU's are told in our words, all at once") {
  REQUIRE_THROWS_WITH(
      Fixture().parse({"run", "-m", "8G", "-smp", "4", "-enable-kvm"}),
      "run does not have QEMU's options: for -m write --memory SIZE; for -smp write --cpus N; for "
      "-enable-kvm write nothing, KVM is always used (try --help)");
  REQUIRE_THROWS_WITH(Fixture().parse({"run", "-kernel", "k"}),
                      Catch::Contains("for -kernel write --kernel FILE"));
  REQUIRE_THROWS_WITH(Fixture().parse({"doctor", "-m", "8G"}),
                      "doctor has no option -m (try --help)");
}
