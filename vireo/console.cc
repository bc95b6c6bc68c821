#include "vireo/console.h"

#include <regex.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/core.h>

#include "devices/chardev/backend.h"
#include "vireo/console_backend.h"
#include "vmm/base/bytes.h"

namespace vireo {

namespace {

ExpectError failure(ExpectError::Reason reason, const std::string& wanted,
                    const std::string& transcript) {
  constexpr size_t kShown = 2000;
  const size_t from = transcript.size() > kShown ? transcript.size() - kShown : 0;
  const std::string what =
      fmt::format("'{}' did not appear before {}; the output ends with:\n{}", wanted,
                  reason == ExpectError::Reason::timeout ? "the deadline" : "the console ended",
                  transcript.substr(from));
  return ExpectError(reason, what, transcript);
}

// Finds the end of a match in `text`, knowing that none ends before `scanned`.
using Search = std::function<std::optional<size_t>(std::string_view text, size_t scanned)>;

std::optional<size_t> find_text(std::string_view text, size_t scanned, std::string_view wanted) {
  const size_t overlap = std::min(scanned, wanted.size());
  const size_t at = text.find(wanted, scanned - overlap);
  if (at == std::string_view::npos) return std::nullopt;
  return at + wanted.size();
}

class Regex {
 public:
  explicit Regex(const std::string& pattern) {
    const int error = ::regcomp(&compiled_, pattern.c_str(), REG_EXTENDED | REG_NEWLINE);
    if (error == 0) return;
    std::array<char, 128> text{};
    ::regerror(error, &compiled_, text.data(), text.size());
    throw ConfigError(fmt::format("'{}' is no regular expression: {}", pattern, text.data()));
  }
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;
  ~Regex() { ::regfree(&compiled_); }

  // Matches stay within a line, so that lines that were complete need no second look.
  std::optional<size_t> find(std::string_view text, size_t scanned) const {
    const size_t newline = scanned == 0 ? std::string_view::npos : text.rfind('\n', scanned - 1);
    const size_t from = newline == std::string_view::npos ? 0 : newline + 1;
    regmatch_t match{.rm_so = static_cast<regoff_t>(from),
                     .rm_eo = static_cast<regoff_t>(text.size())};
    if (::regexec(&compiled_, text.data(), 1, &match, REG_STARTEND) != 0) return std::nullopt;
    return static_cast<size_t>(match.rm_eo);
  }

 private:
  regex_t compiled_{};
};

}  // namespace

// What the embedder's threads and the loop share.
struct Console::Core {
  class Backend;

  mutable std::mutex mutex;
  std::condition_variable changed;
  // Guarded by mutex:
  std::string output;
  size_t dropped = 0;   // before output begins; positions count from the very first byte
  size_t consumed = 0;  // position
  std::string input;    // not yet with the guest
  bool ended = false;
  EventLoop* loop = nullptr;  // while the backend is open
  bool delivery_posted = false;
  // The loop's:
  dev::CharFrontend* frontend = nullptr;
  bool readable = false;

  void append(std::span<const std::byte> bytes);
  void post_delivery(const std::shared_ptr<Core>& self);
  void deliver(const std::shared_ptr<Core>& self);
  std::string expect(const std::string& wanted, Timeout timeout, const Search& search);
};

void Console::Core::append(std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex);
  for (const std::byte byte : bytes) output.push_back(static_cast<char>(byte));
  if (output.size() > kCapacity) {
    const size_t excess = output.size() - kCapacity / 2;  // in large steps: it costs a move of all
    output.erase(0, excess);
    dropped += excess;
    consumed = std::max(consumed, dropped);
  }
  changed.notify_all();
}

// With the mutex held.
void Console::Core::post_delivery(const std::shared_ptr<Core>& self) {
  if (loop == nullptr || input.empty() || delivery_posted) return;
  delivery_posted = true;
  loop->post([self] { self->deliver(self); });
}

void Console::Core::deliver(const std::shared_ptr<Core>& self) {
  std::string chunk;
  {
    const std::lock_guard lock(mutex);
    delivery_posted = false;
    if (loop == nullptr || !readable) return;
    chunk = input.substr(0, dev::CharFrontend::kMaxReceive);
    input.erase(0, chunk.size());
  }
  if (chunk.empty()) return;
  frontend->receive(bytes_of_text(chunk));
  const std::lock_guard lock(mutex);
  if (readable) post_delivery(self);
}

std::string Console::Core::expect(const std::string& wanted, Timeout timeout,
                                  const Search& search) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::unique_lock lock(mutex);
  size_t scanned = 0;  // position: no match ends before it
  bool late = false;
  for (;;) {
    const std::string_view unread = std::string_view(output).substr(consumed - dropped);
    if (const auto end = search(unread, std::max(scanned, consumed) - consumed)) {
      std::string taken(unread.substr(0, *end));
      consumed += *end;
      return taken;
    }
    scanned = dropped + output.size();
    if (ended) throw failure(ExpectError::Reason::ended, wanted, output);
    if (late) throw failure(ExpectError::Reason::timeout, wanted, output);
    const auto news = [&] { return ended || dropped + output.size() != scanned; };
    late = !changed.wait_until(lock, deadline, news);
  }
}

class Console::Core::Backend final : public dev::CharBackend {
 public:
  explicit Backend(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~Backend() override {
    const std::lock_guard lock(core_->mutex);
    core_->ended = true;
    core_->changed.notify_all();
  }

  void open(EventLoop& on, dev::CharFrontend& to) override {
    core_->frontend = &to;
    const std::lock_guard lock(core_->mutex);
    core_->loop = &on;
  }
  void close() override {
    core_->readable = false;
    core_->frontend = nullptr;
    const std::lock_guard lock(core_->mutex);
    core_->loop = nullptr;
  }
  size_t write(std::span<const std::byte> bytes) override {
    core_->append(bytes);
    return bytes.size();
  }
  void set_readable(bool on) override {
    core_->readable = on;
    if (!on) return;
    const std::lock_guard lock(core_->mutex);
    core_->post_delivery(core_);
  }

 private:
  std::shared_ptr<Core> core_;
};

Console::Console() : core_(std::make_shared<Core>()) {}
Console::~Console() = default;

std::unique_ptr<dev::CharBackend> backend_of(const Port& port) {
  Console::Core& core = *port.console_;
  const std::lock_guard lock(core.mutex);
  core.ended = false;
  return std::make_unique<Console::Core::Backend>(port.console_);
}

void Console::write(std::string_view text) {
  const std::lock_guard lock(core_->mutex);
  if (text.size() > kCapacity - core_->input.size())
    throw ConfigError("the guest does not read its console: too much input waits for it");
  core_->input += text;
  core_->post_delivery(core_);
}

std::string Console::expect(std::string_view text, Timeout timeout) {
  const std::string wanted(text);
  return core_->expect(wanted, timeout, [&wanted](std::string_view unread, size_t scanned) {
    return find_text(unread, scanned, wanted);
  });
}

std::string Console::expect_match(const std::string& regex, Timeout timeout) {
  const Regex compiled(regex);
  return core_->expect(regex, timeout, [&compiled](std::string_view unread, size_t scanned) {
    return compiled.find(unread, scanned);
  });
}

std::string Console::transcript() const {
  const std::lock_guard lock(core_->mutex);
  return core_->output;
}

void Console::end() {
  const std::lock_guard lock(core_->mutex);
  core_->ended = true;
  core_->changed.notify_all();
}

}  // namespace vireo
