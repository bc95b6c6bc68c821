// RAM is where the loader says and keeps what is written, page for page; between 3 and 4 GiB there is
// none. step=BYTES: how far apart the pages looked at are.
#include "../lib/guest.h"

#define PAGE 4096
#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define RAM 1
#define MAX_RANGES 32
#define SAFE_START 0x1000000ull  // behind this program and all that the loader has written

static uint64_t total;

static uint64_t first_page(const struct memory_range* range) {
  const uint64_t start = range->start < SAFE_START ? SAFE_START : range->start;
  return (start + PAGE - 1) / PAGE * PAGE;
}

// Each page gets its own address, and the ends of it: then all are looked at again.
static void fill(const struct memory_range* range, uint64_t step) {
  const uint64_t end = range->start + range->length;
  for (uint64_t page = first_page(range); page + PAGE <= end; page += step) {
    if (page >= 4 * GIB && page % GIB == 0) map_gib(page / GIB);
    CHECK_EQUAL(read64(page), 0);
    write64(page, page);
    write64(page + PAGE - 8, ~page);
  }
  write64(end - 8, end);
}

static void check(const struct memory_range* range, uint64_t step) {
  const uint64_t end = range->start + range->length;
  CHECK_EQUAL(read64(end - 8), end);
  for (uint64_t page = first_page(range); page + PAGE < end; page += step) {
    CHECK_EQUAL(read64(page), page);
    CHECK_EQUAL(read64(page + PAGE - 8), ~page);
  }
}

static void check_hole(void) {
  static const uint64_t places[] = {3 * GIB, 3 * GIB + PAGE, 0xcfffff00, 0xf0000000, 0xfffff000};
  for (size_t i = 0; i < sizeof places / sizeof places[0]; ++i) {
    write64(places[i], 0);
    CHECK_EQUAL(read64(places[i]), ~0ull);
  }
}

void guest_main(void) {
  const uint64_t step = argument("step", PAGE);
  struct memory_range ranges[MAX_RANGES];
  const size_t count = memory_map(ranges, MAX_RANGES);
  for (size_t i = 0; i < count; ++i) {
    if (ranges[i].type != RAM) continue;
    const uint64_t end = ranges[i].start + ranges[i].length;
    CHECK(end <= 3 * GIB || ranges[i].start >= 4 * GIB);
    total += ranges[i].length;
    if (end > SAFE_START) fill(&ranges[i], step);
  }
  for (size_t i = 0; i < count; ++i)
    if (ranges[i].type == RAM && ranges[i].start + ranges[i].length > SAFE_START)
      check(&ranges[i], step);
  check_hole();
  // All but what is reserved below 1 MiB.
  const uint64_t expected = argument("memory", 0);
  CHECK(total <= expected && total >= expected - MIB / 2);
}
