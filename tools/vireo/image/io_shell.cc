#include "tools/vireo/image/io_shell.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "tools/vireo/image/blkdebug.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/format.h"
#include "tools/vireo/image/image_name.h"
#include "tools/vireo/image/info.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

constexpr size_t kAny = ~size_t{0};
constexpr uint64_t kSector = 512;

void say(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// Without the program's name, as qemu-io says what is wrong with a command.
void object(const std::string& text) {
  std::fprintf(stderr, "%s\n", printable(text).c_str());
}

}  // namespace

struct IoShell::Command {
  std::string name, short_name;
  bool (IoShell::*run)(const IoWords&) = nullptr;
  size_t least = 0, most = 0;  // words after the name, options included
  std::string options;         // for parse_words()
  bool needs_image = true;
  size_t rest_least = 0, rest_most = 0;  // of the words that are no options
  std::string arguments, summary, details{};

  bool writes() const {
    return name == "write" || name == "writev" || name == "aio_write" || name == "discard" ||
           name == "truncate";
  }
  std::string usage() const {
    return name + (arguments.empty() ? "" : " ") + arguments + " -- " + summary + "\n";
  }
};

const std::vector<IoShell::Command>& IoShell::commands() {
  static const std::vector<Command> list{
      {"abort", "", &IoShell::abort, 0, 0, "", false, 0, 0, "",
       "simulate a program crash using abort(3)"},
      {"aio_flush", "", &IoShell::aio_flush, 0, 0, "", true, 0, 0, "",
       "completes all outstanding aio requests"},
      {"aio_read", "", &IoShell::aio_read, 2, kAny, "CqvP:", true, 2, kAny,
       "[-Cqv] [-P pattern] off len [len..]", "asynchronously reads a number of bytes",
       " The request is made and goes on while other commands run; what it did is told when it is\n"
       " done, at the latest by aio_flush. Its failure does not change the exit status.\n"},
      {"aio_write", "", &IoShell::aio_write, 2, kAny, "CfquzP:", true, 2, kAny,
       "[-Cfquz] [-P pattern] off len [len..]", "asynchronously writes a number of bytes",
       " As aio_read does, with the options of write.\n"},
      {"alloc", "", &IoShell::alloc, 1, 2, "", true, 1, 2, "offset [count]",
       "checks if offset is allocated in the file"},
      {"break", "", &IoShell::set_break, 2, 2, "", true, 2, 2, "event tag",
       "sets a breakpoint on event and tags the stopped request as tag",
       " The image lies on blkdebug: 'open blkdebug::FILE'.\n"},
      {"close", "c", &IoShell::close_image, 0, 0, "", true, 0, 0, "",
       "close the current open file"},
      {"discard", "d", &IoShell::discard, 2, kAny, "Cq", true, 2, 2, "[-Cq] off len",
       "discards a number of bytes at a specified offset"},
      {"flush", "f", &IoShell::flush, 0, 0, "", true, 0, 0, "",
       "flush all in-core file state to disk"},
      {"help", "?", &IoShell::help, 0, 1, "", false, 0, 1, "[command]",
       "help for one or all commands"},
      {"info", "i", &IoShell::info, 0, 0, "", true, 0, 0, "",
       "prints information about the current file"},
      {"length", "l", &IoShell::length, 0, 0, "", true, 0, 0, "",
       "gets the length of the current file"},
      {"map", "", &IoShell::map, 0, 0, "", true, 0, 0, "", "prints the allocated areas of a file"},
      {"open", "o", &IoShell::open_image, 0, kAny, "rsnUkt:i:d:f:o:", false, 0, 1,
       "[-rsnkU] [-t cache] [-i aio] [-d discard] [-o options] [path]",
       "open the file specified by path",
       " -r, -- open file read-only\n -s, -- throw writes away at the end\n"
       " -n, -- without the host's cache, short for -t none\n"
       " -U, -- although another program may be writing to it; needs -r\n"
       " -t, -- cache mode\n -i, -- aio mode (threads, native or io_uring); -k is short for -i "
       "native\n"
       " -d, -- discards: unmap or ignore\n"
       " -o, -- options: driver=FMT,offset=SIZE,backing.file.filename=FILE,...\n"
       " -f, -- format, the same as -o driver=FMT\n"},
      {"quit", "q", &IoShell::quit, 0, kAny, "", false, 0, kAny, "", "exit the program"},
      {"read", "r", &IoShell::read, 2, kAny, "bCqvpP:s:l:", true, 2, 2,
       "[-bCqv] [-P pattern [-s off] [-l len]] off len",
       "reads a number of bytes at a specified offset",
       " -b, -- from the state of a machine, which lies behind the disk\n"
       " -P, -- compares what was read with a pattern byte\n"
       " -s, -- start offset for pattern verification (only with -P)\n"
       " -l, -- length for pattern verification (only with -P)\n"
       " -v, -- dumps what was read\n -q, -- says nothing about what was read\n"
       " -C, -- says it for machines: bytes,ops,time,bytes/sec,ops/sec\n"
       " -p, -- does nothing, as in qemu-io\n"},
      {"readv", "rv", &IoShell::readv, 2, kAny, "CqvP:", true, 2, kAny,
       "[-Cqv] [-P pattern] off len [len..]", "reads a number of bytes at a specified offset",
       " As read does, into a buffer for each length.\n"},
      {"reopen", "", &IoShell::reopen, 0, kAny, "rwc:o:", true, 0, 0,
       "[(-r|-w)] [-c cache] [-o options]", "reopens an image with new options",
       " -r, -- read-only\n -w, -- read-write\n -c, -- another cache mode\n -o, -- other options, "
       "as those of open\n"},
      {"resume", "", &IoShell::resume, 1, 1, "", true, 1, 1, "tag",
       "resumes the request tagged as tag"},
      {"sigraise", "", &IoShell::raise_signal, 1, 1, "", false, 1, 1, "signal", "raises a signal",
       " Sends the signal of this number to this process.\n"},
      {"sleep", "", &IoShell::sleep_command, 1, 1, "", false, 1, 1, "",
       "waits for the given value in milliseconds"},
      {"truncate", "t", &IoShell::truncate, 1, 3, "m:", true, 1, 1, "[-m prealloc_mode] off",
       "truncates the current file at the given offset"},
      {"wait_break", "", &IoShell::wait_break, 1, 1, "", true, 1, 1, "tag",
       "waits for the suspension of a request"},
      {"write", "w", &IoShell::write, 2, kAny, "bCcfnqpuzP:s:", true, 2, 2,
       "[-bcCfnquz] [-P pattern | -s source_file] off len",
       "writes a number of bytes at a specified offset",
       " -b, -- to the state of a machine, which lies behind the disk\n"
       " -P, -- the byte to fill with, 0xcd without it\n"
       " -s, -- the file to fill from, again and again as long as it is too short\n"
       " -z, -- zeroes without writing data where the image can\n -u, -- with -z, may unmap\n"
       " -n, -- with -z, fails where the image would have to write data\n"
       " -c, -- compressed\n -f, -- on stable storage when it is done\n"
       " -q, -- says nothing about what was written\n"
       " -C, -- says it for machines: bytes,ops,time,bytes/sec,ops/sec\n"
       " -p, -- does nothing, as in qemu-io\n"},
      {"writev", "wv", &IoShell::writev, 2, kAny, "CfqP:", true, 2, kAny,
       "[-Cfq] [-P pattern] off len [len..]", "writes a number of bytes at a specified offset",
       " As write does, from a buffer for each length.\n"},
  };
  return list;
}

const IoShell::Command* IoShell::find(const std::string& name) {
  for (const Command& command : commands())
    if (command.name == name || (!name.empty() && command.short_name == name)) return &command;
  return nullptr;
}

namespace {

std::string expected_words(size_t least, size_t most) {
  if (most == kAny) return fmt::format("at least {} arguments", least);
  if (least == most) return fmt::format("{} arguments", least);
  return fmt::format("between {} and {} arguments", least, most);
}

}  // namespace

bool IoShell::execute(const std::string& line) {
  const std::vector<std::string> words = split_words(line);
  if (words.empty()) return true;
  const Command* const command = find(words.front());
  if (command == nullptr) {
    object(fmt::format("command \"{}\" not found", words.front()));
    return false;
  }
  try {
    return run(*command, words);
  } catch (const Interrupted&) {
    throw;
  } catch (const IoError& error) {
    say(printable(error.what()) + "\n");
  } catch (const std::exception& error) {
    complain(describe(error));
  }
  return false;
}

bool IoShell::run(const Command& command, const std::vector<std::string>& words) {
  if (command.needs_image && !image_) {
    object("no file open, try 'help open'");
    return false;
  }
  if (command.writes() && image_->disk().limits().read_only) {
    complain("Block node is read-only");
    return false;
  }
  const size_t count = words.size() - 1;
  if (count < command.least || count > command.most) {
    object(fmt::format("bad argument count {} to {}, expected {}", count, words.front(),
                       expected_words(command.least, command.most)));
    return false;
  }
  IoWords parsed;
  try {
    parsed = parse_words(command.name, std::span(words).subspan(1), command.options);
  } catch (const IoError& error) {
    object(error.what());
    say(command.usage());
    return false;
  }
  if (parsed.rest.size() < command.rest_least || parsed.rest.size() > command.rest_most) {
    say(command.usage());
    return false;
  }
  return (this->*command.run)(parsed);
}

bool IoShell::help(const IoWords& words) {
  if (!words.rest.empty()) {
    const Command* const command = find(words.rest.front());
    if (command == nullptr) {
      object(fmt::format("command {} not found", words.rest.front()));
      return true;
    }
    say(command->usage() + (command->details.empty() ? "" : "\n" + command->details + "\n"));
    return true;
  }
  for (const Command& command : commands()) say(command.usage());
  say("\nUse 'help commandname' for extended help.\n");
  return true;
}

bool IoShell::quit(const IoWords&) {
  quits_ = true;
  return true;
}

namespace {

// Parts of tables in the cache have one size here; one that cannot be is refused as in qemu-io.
void check_cache_entry(const ImageArguments& image, uint64_t cluster) {
  const ImageOptions options =
      parse_image_options(image.path_is_options ? image.path : image.options);
  const auto entry = options.find("l2-cache-entry-size");
  if (entry == options.end()) return;
  const uint64_t size = parse_size(entry->first, entry->second);
  if (size < 512 || size > cluster || (size & (size - 1)) != 0)
    throw ConfigError(fmt::format(
        "L2 cache entry size must be a power of two between 512 and the cluster size ({})",
        cluster));
}

// As qemu-io says which image it was that cannot be opened.
template <class Function>
void with_name(const ImageArguments& image, Function open) {
  try {
    open();
  } catch (const std::exception& error) {
    if (dialect() != Dialect::qemu_io) throw;
    const bool named = !image.path_is_options && !image.path.empty();
    throw ConfigError(fmt::format("can't open{}{}: {}", named ? " device " : "",
                                  named ? image.path : "", describe(error)));
  }
}

}  // namespace

void IoShell::open() {
  with_name(how_.image, [this] { open_named(); });
}

void IoShell::open_named() {
  blk::Spec spec = image_spec(how_.image);
  spec.read_only = spec.read_only || how_.read_only;
  spec.snapshot = how_.snapshot;
  auto image = std::make_unique<Image>(session_, spec);
  if (auto* const with = image->find<blk::WithClusters>())
    check_cache_entry(how_.image, with->cluster_size());
  image_ = std::move(image);
}

namespace {

bool is_key(const std::string& key, const std::string& name) {
  return key == name || key.ends_with("." + name);
}

// What cannot change while the image stays the same one: `before` says how it was opened, where
// that is known.
void check_kept(const ImageOptions& before, const ImageOptions& options) {
  for (const auto& [key, value] : options) {
    const char* const name = is_key(key, "driver")      ? "driver"
                             : is_key(key, "node-name") ? "node-name"
                                                        : nullptr;
    if (name == nullptr) continue;
    const auto old = before.find(key);
    if (old == before.end() || old->second != value)
      throw ConfigError(fmt::format("Cannot change the option '{}'", name));
  }
}

void check_reopen_words(const IoWords& words, const ImageOptions& options) {
  if ((words.has('r') || words.has('w')) && options.contains("read-only"))
    throw ConfigError("Cannot set both -r/-w and 'read-only'");
  const bool caches = options.contains("cache.direct") || options.contains("cache.no-flush") ||
                      options.contains("cache.writeback");
  if (words.has('c') && caches) throw ConfigError("Cannot set both -c and the cache options");
}

// `drivers`: what the image and those below it are.
void apply_new_options(const IoWords& words, ImageOptions drivers, ImageArguments& image) {
  std::string& all = image.path_is_options ? image.path : image.options;
  ImageOptions options = parse_image_options(words.options.at('o'));
  check_reopen_words(words, options);
  ImageOptions before = parse_image_options(all);
  before.merge(drivers);
  check_kept(before, options);
  std::erase_if(options, [](const auto& option) {
    return is_key(option.first, "driver") || is_key(option.first, "node-name");
  });
  if (!options.empty()) all += (all.empty() ? "" : ",") + image_options_text(options);
}

IoImage what_to_open(const IoWords& words) {
  IoImage how;
  ImageArguments& image = how.image;
  if (!words.rest.empty()) image.path = words.rest.front();
  how.read_only = words.has('r');
  how.snapshot = words.has('s');
  image.force_share = words.has('U');
  if (words.has('n')) image.cache = "none";
  if (words.has('t')) image.cache = words.options.at('t');
  if (words.has('k')) image.aio = "native";
  if (words.has('i')) image.aio = words.options.at('i');
  if (words.has('d')) how.discard = words.options.at('d');
  if (words.has('f')) image.format = words.options.at('f');
  if (words.has('o')) image.options = words.options.at('o');
  return how;
}

}  // namespace

bool IoShell::open_image(const IoWords& words) {
  if (image_) {
    object("file open already, try 'help close'");
    return false;
  }
  if (words.rest.empty() && !words.has('o')) throw IoError("open: which file?");
  how_ = what_to_open(words);
  open();
  return true;
}

ImageOptions IoShell::drivers() const {
  blk::FormatNode& image = image_->node();
  ImageOptions drivers{{"driver", std::string(image.format())}, {"file.driver", "file"}};
  auto* const with = image_->find<blk::WithBacking>();
  if (with != nullptr && with->backing() != nullptr)
    drivers["backing.driver"] = image.facts().backing_format;
  return drivers;
}

bool IoShell::reopen(const IoWords& words) {
  IoImage how = how_;
  if (words.has('r') && words.has('w')) throw ConfigError("Only one -r/-w option may be given");
  if (words.has('o')) apply_new_options(words, drivers(), how.image);
  if (words.has('r') || words.has('w')) how.read_only = words.has('r');
  if (words.has('c')) how.image.cache = words.options.at('c');
  (void)image_spec(how.image);  // throws for what is not known
  if (how.snapshot) throw IoError("reopen: what was written under -s would be lost");
  if (!close()) return false;
  how_ = std::move(how);
  open();
  return true;
}

blk::Debugger& IoShell::debugger() {
  blk::Debugger* const debugger = blk::debugger(image_->disk());
  if (debugger == nullptr) throw ConfigError("the image does not lie on blkdebug");
  return *debugger;
}

bool IoShell::set_break(const IoWords& words) {
  const std::string& tag = words.rest[1];
  debugger().stop_at(parse_debug_event(words.rest[0]), tag, [tag] {
    say(fmt::format("blkdebug: Suspended request '{}'\n", printable(tag)));
  });
  return true;
}

bool IoShell::wait_break(const IoWords& words) {
  const std::string& tag = words.rest.front();
  constexpr std::chrono::milliseconds kLook{10}, kLongest{5000};
  for (auto waited = kLook; !debugger().is_stopped(tag); waited += kLook) {
    session_.stop_if_interrupted();
    if (waited > kLongest) {
      say(fmt::format("no request stopped as '{}' within {} seconds\n", printable(tag),
                      kLongest / std::chrono::seconds(1)));
      return false;
    }
    session_.run(sleep(kLook));
  }
  return true;
}

bool IoShell::resume(const IoWords& words) {
  const std::string& tag = words.rest.front();
  if (!debugger().is_stopped(tag)) {
    say("Could not resume request: No such file or directory\n");
    return false;
  }
  say(fmt::format("blkdebug: Resuming request '{}'\n", printable(tag)));
  debugger().go_on(tag);
  return true;
}

bool IoShell::close() {
  if (!image_) return true;
  session_.run(settle());
  const std::unique_ptr<Image> image = std::move(image_);
  try {
    image->close();
    return true;
  } catch (const std::exception& error) {
    if (!image->disk().changed()) return true;  // nothing can be lost
    complain(describe(error));
    return false;
  }
}

bool IoShell::close_image(const IoWords&) {
  return close();
}

bool IoShell::finish() {
  return close();
}

IoShell::~IoShell() {
  session_.run(settle());
}

bool IoShell::raise_signal(const IoWords& words) {
  std::fflush(stdout);
  const auto number =
      parse_number("sigraise", words.rest.front(), 1, static_cast<uint64_t>(SIGRTMAX));
  const auto signal = static_cast<int>(number);
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  ::signal(signal, SIG_DFL);  // some are blocked, and those that end a job are handled
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  ::raise(signal);
  return true;
}

bool IoShell::abort(const IoWords&) {
  std::fflush(stdout);
  std::abort();
}

bool IoShell::info(const IoWords&) {
  if (is_null(image_spec(how_.image))) {  // a protocol, as qemu-io tells one
    say("format name: null-co\nformat name: null-co\n");
    return true;
  }
  const blk::ImageFacts facts = image_->node().facts();
  auto* const with = image_->find<blk::WithState>();
  const auto size = [](uint64_t bytes) { return io_size(static_cast<double>(bytes)); };
  say(fmt::format("format name: {}\ncluster size: {}\nvm state offset: {}\n",
                  image_->node().format(), size(facts.cluster_size),
                  size(with == nullptr ? 0 : with->state_offset())));
  say(details_text(facts));
  return true;
}

bool IoShell::length(const IoWords&) {
  say(io_size(static_cast<double>(image_->size())) + "\n");
  return true;
}

blk::Extent IoShell::allocated_run(uint64_t offset, uint64_t length) {
  blk::Extent run{.length = 0};
  while (run.length < length) {
    const blk::Extent next =
        session_.run(image_->disk().extent(offset + run.length, length - run.length));
    if (next.length == 0 || (run.length > 0 && next.allocated != run.allocated)) break;
    run.allocated = next.allocated;
    run.length += next.length;
  }
  return run;
}

bool IoShell::map(const IoWords&) {
  for (uint64_t at = 0; at < image_->size();) {
    session_.stop_if_interrupted();
    const blk::Extent run = allocated_run(at, image_->size() - at);
    if (run.length == 0) break;
    say(fmt::format("{} ({:#x}) bytes {} at offset {} ({:#x})\n",
                    io_size(static_cast<double>(run.length)), run.length,
                    run.allocated ? "    allocated" : "not allocated",
                    io_size(static_cast<double>(at)), at));
    at += run.length;
  }
  return true;
}

bool IoShell::alloc(const IoWords& words) {
  const uint64_t offset = io_number(words.rest[0]);
  uint64_t count = words.rest.size() > 1 ? io_number(words.rest[1]) : kSector;
  const uint64_t size = image_->size();
  count = offset < size ? std::min(count, size - offset) : 0;
  uint64_t sum = 0;
  for (uint64_t done = 0; done < count;) {
    const blk::Extent run = allocated_run(offset + done, count - done);
    if (run.length == 0) break;
    if (run.allocated) sum += run.length;
    done += run.length;
  }
  say(fmt::format("{}/{} bytes allocated at offset {}\n", sum, count,
                  io_size(static_cast<double>(offset))));
  return true;
}

bool IoShell::sleep_command(const IoWords& words) {
  uint64_t milliseconds = 0;
  const std::string& text = words.rest.front();
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos)
    throw IoError(text + " is not a valid number");
  milliseconds = std::stoull(text);
  session_.run(sleep(std::chrono::milliseconds(milliseconds)));
  return true;
}

Task<void> IoShell::sleep(std::chrono::milliseconds time) {
  co_await session_.loop().sleep(time);
}

}  // namespace vireo::cli
