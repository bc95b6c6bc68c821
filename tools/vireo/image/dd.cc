#include "tools/vireo/image/dd.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "blockdev/create.h"
#include "blockdev/job/convert.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/create_options.h"
#include "tools/vireo/image/job.h"
#include "tools/vireo/image/open.h"
#include "tools/vireo/image/target.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

struct DdArguments {
  ImageArguments source;
  std::string target_format;
  std::vector<std::string> operands;
};

struct Operands {
  std::string input, output;
  uint64_t offset = 0;  // bytes
  uint64_t length = std::numeric_limits<uint64_t>::max();
};

uint64_t times(const std::string& key, uint64_t count, uint64_t block) {
  uint64_t bytes = 0;
  if (!__builtin_mul_overflow(count, block, &bytes)) return bytes;
  throw ConfigError(fmt::format("{}={} blocks of {} bytes are too many", key, count, block));
}

// if=, of=, bs=, count= and skip=, each once, in any order.
Operands parse_operands(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> values;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const std::string key = text.substr(0, equals);
    const bool known = key == "if" || key == "of" || key == "bs" || key == "count" || key == "skip";
    if (equals == std::string::npos || !known)
      throw ConfigError(fmt::format("'{}': write if=, of=, bs=, count= or skip=", text));
    if (!values.emplace(key, text.substr(equals + 1)).second)
      throw ConfigError(fmt::format("{}= is given twice", key));
  }
  if (!values.contains("if") || !values.contains("of"))
    throw ConfigError("dd needs if=FILE and of=FILE (try --help)");
  Operands operands{.input = values["if"], .output = values["of"]};
  const uint64_t block = values.contains("bs") ? parse_size("bs", values["bs"]) : 512;
  if (block == 0) throw ConfigError("bs=0: a block has bytes");
  if (values.contains("count"))
    operands.length = times("count", parse_size("count", values["count"]), block);
  if (values.contains("skip"))
    operands.offset = times("skip", parse_size("skip", values["skip"]), block);
  return operands;
}

void copy(Session& session, const Operands& operands, const CreateOptions& options,
          const blk::Source& source) {
  blk::Spec spec =
      image_spec({.path = options.path(), .format = std::string(options.format->name)});
  Image target(session, spec);
  std::error_code ignored;
  const bool new_file = std::filesystem::is_regular_file(options.path(), ignored);
  Progress progress({.quiet = true});
  const auto result = session.run(blk::convert(source, target.disk(), {.target_is_zero = new_file},
                                               job_control(session, progress)));
  check_job(session, result, operands.input, operands.output);
  target.check(session.run(target.disk().flush()), "complete");
  target.close();
}

int run(const DdArguments& arguments) {
  const Operands operands = parse_operands(arguments.operands);
  ImageArguments input = arguments.source;
  input.path = operands.input;
  blk::Spec spec = image_spec(input);
  spec.read_only = true;
  Session session;
  if (blk::same_file(spec.location, local_path(operands.output)))
    throw ConfigError(fmt::format("'{}' is input and output", operands.input));
  Image source(session, spec);
  const uint64_t offset = std::min(operands.offset, source.size());
  const uint64_t length = std::min(operands.length, source.size() - offset);
  const CreateOptions options = read_create_options(operands.output, arguments.target_format, {});
  blk::CreateOptions values = options.values();
  blk::set_size(values, length);
  Target target(options.path());
  session.run_job(blk::create_image(session.host(), options.location, values));
  copy(session, operands, options, blk::Source(source.disk(), offset, length));
  target.complete();
  return kOk;
}

}  // namespace

void add_dd(Options& image) {
  auto arguments = std::make_shared<DdArguments>();
  Options command = image.command("dd", "Copy a part of an image into a new one");
  command.footer(
      "Example, the second gigabyte of a disk:\n"
      "  vireo image dd -O raw if=disk.qcow2 of=part.raw bs=1M skip=1024 count=1024");
  command.option("-f,--format", "FMT", arguments->source.format,
                 "Format of the input (default: what the header says)");
  command.option("-O,--target-format", "FMT", arguments->target_format,
                 fmt::format("Format of the output: {} (default: by the ending, else raw)",
                             blk::format_names()));
  add_name_options(command, arguments->source);
  command.flag("-U,--force-share", arguments->source.force_share,
               "Open the input although another program may be writing to it");
  command.operands("OPERANDS", arguments->operands,
                   "if=FILE of=FILE, and bs=SIZE (default: 512), count=BLOCKS, skip=BLOCKS");
  command.action([arguments] { return run(*arguments); });
}

}  // namespace vireo::cli
