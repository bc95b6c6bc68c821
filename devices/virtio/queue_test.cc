#include "devices/virtio/queue.h"

#include <limits>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/testing/guest_driver.h"

namespace vireo::dev {
namespace {

constexpr uint64_t kAll = kFeatureVersion1 | kFeatureIndirect | kFeatureEventIdx;

// A queue over guest memory, without a transport.
struct QueueFixture {
  explicit QueueFixture(uint16_t size = 8, uint64_t features = kAll, QueueState state = {})
      : guest(machine.memory, heap, size) {
    queue = Queue::create({machine.memory, machine.loop, kick.get(), [this] { ++interrupts; },
                           [this](std::string_view why) { malformed.emplace_back(why); }},
                          guest.layout(), features, state);
  }

  void kick_device() {
    signal_eventfd(kick.get());
    machine.settle();
  }
  std::string pop_error() {
    CHECK_FALSE(queue->pop());
    return malformed.empty() ? "" : malformed.front();
  }

  FakeMachine machine;
  GuestHeap heap{0x10000};
  GuestQueue guest;
  UniqueFd kick = make_eventfd();
  int interrupts = 0;
  std::vector<std::string> malformed;
  std::unique_ptr<Queue> queue;
};

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string read_all_of(Chain& chain) {
  std::vector<std::byte> bytes(chain.readable().remaining());
  chain.readable().read(bytes);
  return text_of(bytes);
}

// Answers everything with "nothing written", counting.
Task<void> drain(Queue& queue, int& served, bool& ended) {
  do {
    while (auto chain = queue.pop()) {
      queue.push(std::move(*chain), 0);
      ++served;
    }
    queue.notify();
  } while (co_await queue.kicked());
  ended = true;
}

}  // namespace

TEST_CASE("a chain is read and written across its buffers") {
  QueueFixture f;
  const auto hello = f.guest.readable("hello ");
  const auto world = f.guest.readable("world");
  const auto first = f.guest.writable(3);
  const auto second = f.guest.writable(4);
  f.guest.submit({hello, world, first, second});

  auto chain = f.queue->pop();
  REQUIRE(chain);
  CHECK(chain->readable().remaining() == 11);
  CHECK(chain->writable().remaining() == 7);
  CHECK(read_all_of(*chain) == "hello world");
  CHECK_FALSE(chain->readable().read<le32>());
  CHECK(chain->writable().write(bytes_of_text("ABCDE")) == 5);
  CHECK(chain->writable().write(bytes_of_text("FGHI")) == 2);
  f.queue->push(std::move(*chain), 7);

  const auto used = f.guest.take_used();
  REQUIRE(used);
  CHECK(used->id == 0);
  CHECK(used->length == 7);
  CHECK(text_of(f.guest.contents(first)) == "ABC");
  CHECK(text_of(f.guest.contents(second)) == "DEFG");
}

TEST_CASE("a cursor hands out its buffers in parts") {
  QueueFixture f;
  f.guest.submit({f.guest.readable("0123"), f.guest.readable("4567")});
  auto chain = f.queue->pop();
  REQUIRE(chain);
  const auto head = chain->readable().take(1);
  REQUIRE(head.size() == 1);
  const auto middle = chain->readable().take(5);
  REQUIRE(middle.size() == 2);
  CHECK(middle[0].iov_len == 3);
  CHECK(middle[1].iov_len == 2);
  CHECK(chain->readable().take(0).empty());
  CHECK(read_all_of(*chain) == "67");
}

TEST_CASE("an indirect table is a chain") {
  QueueFixture f;
  f.guest.submit_indirect({f.guest.readable("ping"), f.guest.writable(8)});
  auto chain = f.queue->pop();
  REQUIRE(chain);
  CHECK(read_all_of(*chain) == "ping");
  CHECK(chain->writable().remaining() == 8);
}

TEST_CASE("an indirect table may follow direct buffers, and its write flag means nothing") {
  QueueFixture f;
  const auto first = f.guest.readable("a");
  const auto second = f.guest.readable("b");
  const uint64_t table = f.heap.allocate(16);
  f.guest.set_entry(table, 0, {second.address, second.length, 0, 0});
  f.guest.set_descriptor(0, first.address, first.length, kDescriptorNext, 1);
  f.guest.set_descriptor(1, table, 16, kDescriptorIndirect | kDescriptorWrite);
  f.guest.make_available(0);
  auto chain = f.queue->pop();
  REQUIRE(chain);
  CHECK(read_all_of(*chain) == "ab");
}

TEST_CASE("requests go back in any order") {
  QueueFixture f;
  for (int i = 0; i < 3; ++i) f.guest.submit({f.guest.writable(16)});
  auto a = f.queue->pop();
  auto b = f.queue->pop();
  auto c = f.queue->pop();
  REQUIRE(c);
  CHECK_FALSE(f.queue->pop());
  CHECK(f.queue->in_flight() == 3);
  f.queue->push(std::move(*c), 3);
  f.queue->push(std::move(*a), 1);
  f.queue->push(std::move(*b), 2);
  CHECK(f.queue->in_flight() == 0);
  CHECK(f.guest.used_index() == 3);
  CHECK(f.guest.used_entry(0).id == 2);
  CHECK(f.guest.used_entry(1).id == 0);
  CHECK(f.guest.used_entry(2).length == 2);
}

TEST_CASE("a chain that is dropped goes back by itself") {
  QueueFixture f;
  const uint16_t head = f.guest.submit({f.guest.writable(16)});
  {
    auto chain = f.queue->pop();
    REQUIRE(chain);
    Chain moved(std::move(*chain));
  }
  CHECK(f.queue->in_flight() == 0);
  const auto used = f.guest.take_used();
  REQUIRE(used);
  CHECK(used->id == head);
  CHECK(used->length == 0);
  CHECK_FALSE(f.guest.take_used());
  CHECK(f.interrupts == 1);
}

TEST_CASE("a request that was put back comes again") {
  QueueFixture f;
  f.guest.submit({f.guest.writable(16)});
  const uint16_t second = f.guest.submit({f.guest.readable("again")});
  f.queue->push(std::move(*f.queue->pop()), 0);
  f.queue->put_back(std::move(*f.queue->pop()));
  CHECK(f.queue->in_flight() == 0);
  CHECK(f.queue->state() == QueueState{1, 1});
  CHECK(f.guest.used_index() == 1);
  auto chain = f.queue->pop();
  REQUIRE(chain);
  CHECK(chain->head() == second);
  CHECK(read_all_of(*chain) == "again");
}

TEST_CASE("several requests are put back in reverse") {
  QueueFixture f;
  f.guest.submit({f.guest.readable("first")});
  f.guest.submit({f.guest.readable("second")});
  auto first = f.queue->pop();
  auto second = f.queue->pop();
  REQUIRE((first && second));
  f.queue->put_back(std::move(*second));
  f.queue->put_back(std::move(*first));
  CHECK(f.queue->state() == QueueState{});
  auto again = f.queue->pop();
  REQUIRE(again);
  CHECK(read_all_of(*again) == "first");
}

TEST_CASE("a queue that was lent goes on where the other came to") {
  QueueFixture f;
  f.guest.submit({f.guest.readable("theirs")});
  const Queue::Lent lent = f.queue->lend();
  CHECK(lent.state == QueueState{});
  CHECK(lent.kick == f.kick.get());
  CHECK(lent.ring.available_index() == 1);
  lent.interrupt();
  CHECK(f.interrupts == 1);
  f.queue->take_back({1, 1});
  CHECK(f.queue->state() == QueueState{1, 1});
  CHECK_FALSE(f.queue->pop());
  f.guest.submit({f.guest.readable("ours")});
  auto chain = f.queue->pop();
  REQUIRE(chain);
  CHECK(read_all_of(*chain) == "ours");
}

TEST_CASE("the indices wrap around") {
  const QueueState start{65534, 65534};
  QueueFixture f(4, kAll, start);
  f.guest.set_used_event(65533);
  for (uint16_t i = 0; i < 4; ++i) {
    const uint64_t at = f.heap.allocate(1);
    f.guest.set_descriptor(i, at, 1, kDescriptorWrite);
    REQUIRE(f.machine.memory.write(
        f.guest.layout().available + 4 + 2ULL * ((start.next_available + i) % 4U), le16(i)));
  }
  f.guest.set_available_index(static_cast<uint16_t>(start.next_available + 4));
  for (uint16_t i = 0; i < 4; ++i) {
    auto chain = f.queue->pop();
    REQUIRE(chain);
    CHECK(chain->head() == i);
    f.queue->push(std::move(*chain), 0);
  }
  CHECK_FALSE(f.queue->pop());
  CHECK(f.malformed.empty());
  CHECK(f.queue->state() == QueueState{2, 2});
  CHECK(f.guest.used_index() == 2);
}

// --- what a hostile driver does ---

TEST_CASE("a head beyond the table breaks the queue") {
  QueueFixture f;
  f.guest.make_available(8);
  CHECK(f.pop_error() == "an available head is beyond the descriptor table");
  f.guest.submit({f.guest.writable(1)});
  CHECK_FALSE(f.queue->pop());
  CHECK(f.malformed.size() == 1);
}

TEST_CASE("the available index may not jump") {
  QueueFixture f;
  f.guest.set_available_index(9);
  CHECK(f.pop_error() == "the available index jumped");
}

TEST_CASE("the available index may not run backwards") {
  QueueFixture f(8, kAll, {5, 5});
  f.guest.set_available_index(4);
  CHECK(f.pop_error() == "the available index jumped");
}

TEST_CASE("a head in flight may not be made available again") {
  QueueFixture f;
  const uint16_t head = f.guest.submit({f.guest.writable(16)});
  auto chain = f.queue->pop();
  REQUIRE(chain);
  f.guest.make_available(head);
  CHECK(f.pop_error() == "a head was made available again before it was used");
  // What is under way still goes back.
  f.queue->push(std::move(*chain), 16);
  CHECK(f.guest.used_index() == 1);
}

TEST_CASE("a head that came back may be used again") {
  QueueFixture f;
  const uint16_t head = f.guest.submit({f.guest.writable(16)});
  { auto chain = f.queue->pop(); }
  f.guest.make_available(head);
  CHECK(f.queue->pop());
  CHECK(f.malformed.empty());
}

TEST_CASE("malformed chains break the queue") {
  QueueFixture f;
  const uint64_t ram = f.machine.memory.size();
  const uint64_t buffer = f.heap.allocate(64);
  const uint64_t table = f.heap.allocate(16 * 4);

  SECTION("a successor beyond the table") {
    f.guest.set_descriptor(0, buffer, 1, kDescriptorNext, 8);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "a descriptor index is beyond its table");
  }
  SECTION("a loop of one") {
    f.guest.set_descriptor(0, buffer, 1, kDescriptorNext, 0);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "a descriptor chain has a loop");
  }
  SECTION("a loop of two") {
    f.guest.set_descriptor(0, buffer, 1, kDescriptorNext, 1);
    f.guest.set_descriptor(1, buffer, 1, kDescriptorNext, 0);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "a descriptor chain has a loop");
  }
  SECTION("readable after writable") {
    f.guest.set_descriptor(0, buffer, 1, kDescriptorNext | kDescriptorWrite, 1);
    f.guest.set_descriptor(1, buffer, 1, 0);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "a readable buffer follows a writable one");
  }
  SECTION("an empty buffer") {
    f.guest.set_descriptor(0, buffer, 0, 0);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "a buffer is empty");
  }
  SECTION("one byte past RAM") {
    f.guest.set_descriptor(0, ram - 8, 9, 0);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "a buffer is not in RAM");
  }
  SECTION("an address that overflows") {
    f.guest.set_descriptor(0, std::numeric_limits<uint64_t>::max() - 3, 8, kDescriptorWrite);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "a buffer is not in RAM");
  }
  SECTION("an indirect table of an odd length") {
    f.guest.set_descriptor(0, table, 17, kDescriptorIndirect);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "an indirect table has an odd length");
  }
  SECTION("an empty indirect table") {
    f.guest.set_descriptor(0, table, 0, kDescriptorIndirect);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "an indirect table has an odd length");
  }
  SECTION("an indirect table past RAM") {
    f.guest.set_descriptor(0, ram - 16, 32, kDescriptorIndirect);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "an indirect table is not in RAM");
  }
  SECTION("an indirect descriptor with a successor") {
    f.guest.set_descriptor(0, table, 16, kDescriptorIndirect | kDescriptorNext, 1);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "an indirect descriptor has a successor");
  }
  SECTION("an indirect table in an indirect table") {
    f.guest.set_entry(table, 0, {table, 16, kDescriptorIndirect, 0});
    f.guest.set_descriptor(0, table, 16, kDescriptorIndirect);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "an indirect descriptor is not allowed");
  }
  SECTION("a successor beyond an indirect table") {
    f.guest.set_entry(table, 0, {buffer, 1, kDescriptorNext, 1});
    f.guest.set_descriptor(0, table, 16, kDescriptorIndirect);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "a descriptor index is beyond its table");
  }
  SECTION("a loop in an indirect table") {
    f.guest.set_entry(table, 0, {buffer, 1, kDescriptorNext, 1});
    f.guest.set_entry(table, 1, {buffer, 1, kDescriptorNext, 0});
    f.guest.set_descriptor(0, table, 32, kDescriptorIndirect);
    f.guest.make_available(0);
    CHECK(f.pop_error() == "a descriptor chain has a loop");
  }
  CHECK(f.queue->in_flight() == 0);
  CHECK(f.guest.used_index() == 0);
}

TEST_CASE("indirect descriptors are refused unless negotiated") {
  QueueFixture f(8, kFeatureVersion1);
  f.guest.submit_indirect({f.guest.writable(1)});
  CHECK(f.pop_error() == "an indirect descriptor is not allowed");
}

TEST_CASE("chains are bounded in buffers and in bytes") {
  QueueFixture f;
  const uint64_t buffer = f.heap.allocate(1);
  const auto submit_many = [&](size_t count, uint64_t address, uint32_t length) {
    f.guest.submit_indirect(std::vector<GuestBuffer>(count, GuestBuffer{address, length, true}));
  };
  SECTION("as many buffers as are allowed") {
    submit_many(kMaxChainBuffers, buffer, 1);
    CHECK(f.queue->pop());
  }
  SECTION("one more") {
    submit_many(kMaxChainBuffers + 1, buffer, 1);
    CHECK(f.pop_error() == "a descriptor chain has too many buffers");
  }
  SECTION("4 GiB") {
    submit_many(1024, 0, static_cast<uint32_t>(FakeMachine::kMemory));
    CHECK(f.pop_error() == "a descriptor chain is too long");
  }
}

TEST_CASE("a queue must lie aligned in RAM and have a possible size") {
  FakeMachine machine;
  GuestHeap heap(0x10000);
  const QueueLayout good = GuestQueue(machine.memory, heap, 8).layout();
  const auto maps = [&](QueueLayout layout) {
    return SplitRing::map(machine.memory, layout).has_value();
  };
  const auto with = [&](auto field, uint64_t value) {
    QueueLayout layout = good;
    layout.*field = static_cast<std::remove_reference_t<decltype(layout.*field)>>(value);
    return layout;
  };
  const uint64_t end = machine.memory.size();
  CHECK(maps(good));
  CHECK_FALSE(maps(with(&QueueLayout::size, 0)));
  CHECK_FALSE(maps(with(&QueueLayout::size, 6)));
  CHECK_FALSE(maps(with(&QueueLayout::size, 65535)));
  CHECK_FALSE(maps(with(&QueueLayout::descriptors, good.descriptors + 8)));
  CHECK_FALSE(maps(with(&QueueLayout::available, good.available + 1)));
  CHECK_FALSE(maps(with(&QueueLayout::used, good.used + 2)));
  CHECK(maps(with(&QueueLayout::descriptors, end - 16 * 8)));
  CHECK_FALSE(maps(with(&QueueLayout::descriptors, end - 16 * 7)));
  CHECK_FALSE(maps(with(&QueueLayout::available, end - 20)));  // the event word counts
  CHECK_FALSE(maps(with(&QueueLayout::used, end - 68)));
  CHECK_FALSE(maps(with(&QueueLayout::used, ~uint64_t{0} - 3)));
}

// --- notifications ---

TEST_CASE("without EVENT_IDX the driver's flag decides on interrupts") {
  QueueFixture f(8, kFeatureVersion1);
  f.guest.submit({f.guest.writable(1)});
  f.guest.submit({f.guest.writable(1)});
  f.guest.set_used_event(1000);  // means nothing here
  f.queue->push(std::move(*f.queue->pop()), 0);
  f.queue->notify();
  CHECK(f.interrupts == 1);
  f.queue->notify();  // nothing new
  CHECK(f.interrupts == 1);
  f.guest.set_no_interrupt(true);
  f.queue->push(std::move(*f.queue->pop()), 0);
  f.queue->notify();
  CHECK(f.interrupts == 1);
}

TEST_CASE("with EVENT_IDX an interrupt comes when the used index passes the event") {
  QueueFixture f;
  f.guest.set_no_interrupt(true);  // means nothing here
  f.guest.set_used_event(1);
  for (int i = 0; i < 3; ++i) f.guest.submit({f.guest.writable(1)});
  f.queue->push(std::move(*f.queue->pop()), 0);
  f.queue->notify();
  CHECK(f.interrupts == 0);
  f.queue->push(std::move(*f.queue->pop()), 0);
  f.queue->notify();
  CHECK(f.interrupts == 1);
  f.queue->push(std::move(*f.queue->pop()), 0);
  f.queue->notify();
  CHECK(f.interrupts == 1);
}

TEST_CASE("a batch that jumps over the event makes one interrupt") {
  QueueFixture f;
  f.guest.set_used_event(1);
  for (int i = 0; i < 4; ++i) f.guest.submit({f.guest.writable(1)});
  while (auto chain = f.queue->pop()) f.queue->push(std::move(*chain), 0);
  f.queue->notify();
  CHECK(f.interrupts == 1);
}

TEST_CASE("a waiting queue asks for kicks and serves them") {
  const uint64_t features = GENERATE(kAll, kFeatureVersion1);
  QueueFixture f(8, features);
  const bool event_idx = features == kAll;
  int served = 0;
  bool ended = false;
  Scope tasks;
  tasks.spawn(drain(*f.queue, served, ended));
  CHECK(f.guest.used_flags() == 0);

  f.guest.submit({f.guest.writable(1)});
  f.machine.settle();
  CHECK(served == 0);  // not kicked
  f.kick_device();
  CHECK(served == 1);
  f.guest.submit({f.guest.writable(1)});
  f.guest.submit({f.guest.writable(1)});
  f.kick_device();
  CHECK(served == 3);
  if (event_idx) CHECK(f.guest.available_event() == 3);
  CHECK(f.guest.used_flags() == 0);
  f.kick_device();  // for nothing
  CHECK(served == 3);

  f.queue->stop();
  CHECK(ended);
  CHECK(tasks.running() == 0);
  f.guest.submit({f.guest.writable(1)});
  CHECK_FALSE(f.queue->pop());
  CHECK(f.queue->state() == QueueState{3, 3});
}

namespace {

Task<void> watch_flags(QueueFixture& f, std::vector<uint16_t>& flags) {
  while (co_await f.queue->kicked()) {
    flags.push_back(f.guest.used_flags());
    while (auto chain = f.queue->pop()) f.queue->push(std::move(*chain), 0);
  }
}

}  // namespace

TEST_CASE("while requests are served the driver need not kick") {
  QueueFixture f(8, kFeatureVersion1);
  std::vector<uint16_t> flags;
  Scope tasks;
  tasks.spawn(watch_flags(f, flags));
  f.guest.submit({f.guest.writable(1)});
  f.kick_device();
  CHECK(flags == std::vector<uint16_t>{kUsedNoNotify});
  CHECK(f.guest.used_flags() == 0);
  f.queue->stop();
}

TEST_CASE("a kick before the queue is waited for is not lost") {
  QueueFixture f;
  f.guest.submit({f.guest.writable(1)});
  f.kick_device();
  int served = 0;
  bool ended = false;
  Scope tasks;
  tasks.spawn(drain(*f.queue, served, ended));
  CHECK(served == 1);
  f.queue->stop();
}

namespace {

// A guest on another CPU that makes each request available again as soon as it came back.
Task<void> serve_busy_guest(QueueFixture& f, int& served, std::vector<int>& batches) {
  do {
    int batch = 0;
    while (auto chain = f.queue->pop()) {
      const uint16_t head = chain->head();
      f.queue->push(std::move(*chain), 0);
      ++batch;
      if (++served < 100) f.guest.make_available(head);
    }
    batches.push_back(batch);
  } while (co_await f.queue->kicked());
}

}  // namespace

TEST_CASE("a busy guest does not keep the loop to itself") {
  QueueFixture f(4);
  int served = 0;
  std::vector<int> batches;
  Scope tasks;
  for (int i = 0; i < 4; ++i) f.guest.submit({f.guest.writable(1)});
  tasks.spawn(serve_busy_guest(f, served, batches));
  CHECK(served == 4);  // the rest waits for the loop's next turns
  f.machine.settle();
  CHECK(served == 103);
  CHECK(*std::max_element(batches.begin(), batches.end()) == 4);
  f.queue->stop();
}

namespace {

Task<void> forget(Chain) {
  co_return;
}

Task<void> fail_with(Chain) {
  throw std::bad_alloc();
  co_return;
}

}  // namespace

TEST_CASE("what leaves a queue's task is told to the loop, and the request goes back") {
  QueueFixture f;
  std::vector<std::string> told;
  f.machine.loop.on_failure([&](const std::string& what) { told.push_back(what); });
  f.guest.submit({f.guest.writable(1)});
  QueueWork work;
  Queue& queue = *f.queue;
  work.start(std::move(f.queue));
  work.spawn(fail_with(std::move(*queue.pop())));
  CHECK(told == std::vector<std::string>{"std::bad_alloc"});
  CHECK(block_on(f.machine.loop, work.stop()) == QueueState{1, 1});
  CHECK(f.guest.used_index() == 1);
}

TEST_CASE("a task that forgets its chain has returned it when its scope is joined") {
  QueueFixture f;
  f.guest.submit({f.guest.writable(1)});
  QueueWork work;
  Queue& queue = *f.queue;
  work.start(std::move(f.queue));
  work.spawn(forget(std::move(*queue.pop())));
  const auto state = block_on(f.machine.loop, work.stop());
  CHECK(state == QueueState{1, 1});
  CHECK(f.guest.used_index() == 1);
  CHECK_FALSE(block_on(f.machine.loop, work.stop()));
}

}  // namespace vireo::dev
