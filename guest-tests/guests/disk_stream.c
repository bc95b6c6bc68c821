// Writes numbers to its disk without pause, one after the other over its sectors, and reads each back;
// says every tenth. Whatever is done to the machine meanwhile, none may be lost. sectors=N.
#include "../lib/virtio.h"

static struct queue queue;
static uint32_t buffer[SECTOR / 4];

void guest_main(void) {
  const uint64_t sectors = argument("sectors", 0);
  const uintptr_t disk = find_virtio(VIRTIO_ID_BLOCK, 0);
  CHECK(disk && sectors);
  virtio_start(disk, BLK_F_FLUSH, 0, &queue);
  for (uint32_t number = 1;; ++number) {
    buffer[0] = number;
    CHECK_EQUAL(blk_request(disk, &queue, BLK_OUT, number % sectors, buffer, SECTOR), BLK_OK);
    buffer[0] = 0;
    if (number >= sectors) {
      CHECK_EQUAL(blk_request(disk, &queue, BLK_IN, (number + 1) % sectors, buffer, SECTOR), BLK_OK);
      CHECK_EQUAL(buffer[0], number + 1 - sectors);
    }
    if (number % 10 != 0) continue;
    put_number(number);
    put("\n");
  }
}
