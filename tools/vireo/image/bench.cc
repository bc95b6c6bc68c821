#include "tools/vireo/image/bench.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>

#include <fmt/format.h>

#include "blockdev/buffer.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/open.h"
#include "vmm/base/error.h"
#include "vmm/base/json.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

constexpr uint64_t kMaxMemory = uint64_t{1} << 31;  // of all buffers together

struct BenchArguments {
  ImageArguments image;
  std::string aio, size = "4k", step = "0", offset = "0", metadata_cache = "0";
  std::string output = "human";
  uint64_t count = 75000, depth = 64, flush_interval = 0;
  uint64_t pattern = 0;
  bool native = false, no_drain = false, quiet = false, random = false, write = false;
};

// What is sent where, in bytes.
struct Plan {
  uint64_t count = 0, depth = 0, size = 0, step = 0, offset = 0;
  uint64_t flush_interval = 0;  // in requests; 0: no flushes
  bool drain = true;            // flushes wait for the requests before them
  bool write = false;
  bool random = false;
};

Plan plan_of(const BenchArguments& arguments) {
  Plan plan{.count = arguments.count,
            .depth = arguments.depth,
            .size = parse_size("-s", arguments.size),
            .step = parse_size("-S", arguments.step),
            .offset = parse_size("-o", arguments.offset),
            .flush_interval = arguments.flush_interval,
            .drain = !arguments.no_drain,
            .write = arguments.write,
            .random = arguments.random};
  if (plan.step == 0) plan.step = plan.size;
  if (plan.size == 0 || plan.size > kMaxMemory || plan.depth > kMaxMemory / plan.size)
    throw ConfigError("-s times -d has to be between 1 byte and 2 GiB");
  if (!plan.write && (plan.flush_interval > 0 || arguments.no_drain))
    throw ConfigError("--flush-interval and --no-drain are for write tests; add -w");
  if (plan.drain && plan.flush_interval > 0 && plan.flush_interval < plan.depth)
    throw ConfigError("--flush-interval cannot be smaller than the depth (-d)");
  return plan;
}

blk::Spec spec_of(const BenchArguments& arguments) {
  if (arguments.write && arguments.image.force_share)
    throw ConfigError("-U is for images that are only read; leave out -w");
  blk::Spec spec = image_spec(arguments.image);
  spec.read_only = !arguments.write;
  spec.metadata_cache = parse_size("--metadata-cache", arguments.metadata_cache);
  if (!arguments.aio.empty()) spec.aio = blk::parse_aio_mode(arguments.aio);
  if (arguments.native) spec.aio = blk::AioMode::native;
  return spec;
}

double cpu_seconds() {
  struct ::rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const ::timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Spent {
  double seconds = 0, cpu_seconds = 0;
};

// The requests: `depth` workers that each have one under way.
class Bench {
 public:
  Bench(Session& session, Image& image, const Plan& plan, std::span<std::byte> memory)
      : session_(session),
        disk_(image.disk()),
        plan_(plan),
        memory_(memory),
        end_(image.size()),
        left_(plan.count),
        next_(plan.offset) {}

  Spent run() {
    const auto begin = std::chrono::steady_clock::now();
    const double cpu = cpu_seconds();
    error_ = session_.run(work_all());
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    return {passed.count(), cpu_seconds() - cpu};
  }
  const std::error_code& error() const noexcept { return error_; }

 private:
  Task<std::error_code> work_all();
  Task<void> work(iovec buffer);
  Task<std::error_code> request(uint64_t offset, iovec buffer);
  uint64_t next_offset();
  bool stopped() const noexcept { return error_ || session_.interrupted(); }

  Session& session_;
  blk::Disk& disk_;
  const Plan plan_;
  const std::span<std::byte> memory_;
  const uint64_t end_;
  uint64_t left_;       // requests not begun
  uint64_t round_ = 0;  // of those, until the queue is drained
  uint64_t next_;
  std::mt19937_64 random_{1};  // the same offsets in each run
  std::error_code error_;
};

uint64_t Bench::next_offset() {
  if (plan_.random)
    return plan_.offset + random_() % ((end_ - plan_.offset) / plan_.size) * plan_.size;
  const uint64_t offset = next_;
  next_ = (next_ + plan_.step) % end_;
  if (plan_.size > end_ - next_) next_ = 0;
  return offset;
}

Task<std::error_code> Bench::request(uint64_t offset, iovec buffer) {
  IoVecs vectors{buffer};
  if (!plan_.write) return disk_.read(offset, std::move(vectors));
  return disk_.write(offset, std::move(vectors));
}

Task<void> Bench::work(iovec buffer) {
  while (round_ > 0 && !stopped()) {
    --round_;
    --left_;
    const uint64_t offset = next_offset();
    std::error_code error = co_await request(offset, buffer);
    const bool flush =
        !plan_.drain && plan_.flush_interval > 0 && left_ % plan_.flush_interval == 0;
    if (!error && flush) error = co_await disk_.flush();
    if (error) error_ = error;
  }
}

// Where the queue is drained for flushes, a round ends when so many requests are left that they are
// a multiple of the interval.
Task<std::error_code> Bench::work_all() {
  const bool rounds = plan_.drain && plan_.flush_interval > 0;
  while (left_ > 0 && !stopped()) {
    round_ = rounds ? (left_ - 1) % plan_.flush_interval + 1 : left_;
    Scope workers;
    for (uint64_t i = 0; i < plan_.depth; ++i)
      workers.spawn(work(iovec{memory_.data() + i * plan_.size, plan_.size}));
    co_await workers.join();
    if (rounds && !error_) error_ = co_await disk_.flush();
  }
  co_return error_;
}

void print_plan(const Plan& plan) {
  const char* const kind = plan.write ? "write" : "read";
  const std::string steps =
      plan.random ? "at random from there" : fmt::format("step size {}", plan.step);
  std::printf("%s\n", fmt::format("Sending {} {} requests, {} bytes each, {} in parallel (starting "
                                  "at offset {}, {})",
                                  plan.count, kind, plan.size, plan.depth, plan.offset, steps)
                          .c_str());
  if (plan.flush_interval > 0)
    std::printf("Sending flush every %llu requests\n",
                static_cast<unsigned long long>(plan.flush_interval));
}

void print_json(const Plan& plan, const Spent& spent) {
  Json json = Json::object();
  json.add("operation", plan.write ? "write" : "read")
      .add("count", plan.count)
      .add("depth", plan.depth)
      .add("size", plan.size)
      .add("seconds", spent.seconds)
      .add("cpu-seconds", spent.cpu_seconds);
  std::printf("%s\n", json.pretty().c_str());
}

void check_range(const Plan& plan, const Image& image) {
  if (plan.offset > image.size() || plan.size > image.size() - plan.offset)
    throw ConfigError(
        fmt::format("{} bytes at offset {} do not lie inside '{}', which has {} bytes", plan.size,
                    plan.offset, image.path(), image.size()));
}

int bench(const BenchArguments& arguments) {
  const Plan plan = plan_of(arguments);
  Session session;
  Image image(session, spec_of(arguments));
  check_range(plan, image);
  const blk::Buffer memory{plan.depth * plan.size, image.disk().limits().buffer_alignment};
  if (!memory) throw_errno("cannot get memory for the requests", ENOMEM);
  std::memset(memory.data(), static_cast<int>(arguments.pattern), memory.size());
  const bool human = arguments.output == "human";
  if (human && !arguments.quiet) print_plan(plan);
  Bench requests(session, image, plan, memory.bytes());
  const Spent spent = requests.run();
  image.check(requests.error(), plan.write ? "write to" : "read from");
  session.stop_if_interrupted();
  image.close();
  if (human)
    std::printf("Run completed in %.3f seconds.\n", spent.seconds);
  else
    print_json(plan, spent);
  return kOk;
}

void add_request_options(Options& command, BenchArguments& arguments) {
  command.option("-c,--count", "N", arguments.count, "Requests in all").show_default();
  command.option("-d,--depth", "N", arguments.depth, "Requests at a time")
      .within(1, 65536)
      .show_default();
  command.option("-s,--buffer-size", "SIZE", arguments.size, "Bytes of each request")
      .show_default();
  command.option("-o,--offset", "OFFSET", arguments.offset, "Where the first request begins");
  const Option step = command.option("-S,--step-size", "SIZE", arguments.step,
                                     "From one request to the next (default: -s)");
  command
      .flag("--random", arguments.random, "Offsets at random behind -o, the same ones in each run")
      .exclude(step);
}

void add_write_options(Options& command, BenchArguments& arguments) {
  command.flag("-w,--write", arguments.write, "Write instead of reading: THE CONTENT IS LOST");
  command.option("--pattern", "BYTE", arguments.pattern, "The byte that is written")
      .within(0, 255)
      .show_default();
  command.option("--flush-interval", "N", arguments.flush_interval,
                 "Drain the queue and flush whenever a multiple of this is left to do");
  command.flag("--no-drain", arguments.no_drain, "Flush without draining the queue");
}

void add_open_options(Options& command, BenchArguments& arguments) {
  command.option("-t,--cache", "MODE", arguments.image.cache, blk::one_of(blk::kCacheWords))
      .show_default();
  const Option aio = command.option("-i,--aio", "AIO", arguments.aio,
                                    "native (the default with -t none) or threads");
  command.flag("-n,--native", arguments.native, "The same as -i native").exclude(aio);
  command.option("--metadata-cache", "SIZE", arguments.metadata_cache,
                 "Memory for a format's tables (default: the format's)");
}

}  // namespace

void add_bench(Options& image) {
  auto arguments = std::make_shared<BenchArguments>();
  Options command = image.command("bench", "Measure how fast an image is");
  command.footer(
      "The time goes from the first request to the end of the last; --output json also tells the\n"
      "processor time. Sequential offsets begin anew at the end of the image.\n\n"
      "Examples:\n"
      "  vireo image bench -t none -d 32 --random disk.qcow2\n"
      "  vireo image bench -w -s 64k --flush-interval 1000 scratch.qcow2");
  add_image_options(command, arguments->image);
  add_open_options(command, *arguments);
  add_request_options(command, *arguments);
  add_write_options(command, *arguments);
  command.flag("-q,--quiet", arguments->quiet, "Print only the result");
  add_output_option(command, arguments->output);
  command.action([arguments] { return bench(*arguments); });
}

}  // namespace vireo::cli
