// A disk keeps what is written to it, tells its size and serial number, and refuses what lies beyond
// its end. The second disk is read-only. sectors=N: the size of both.
#include "../lib/virtio.h"

#define LENGTH (8 * SECTOR)

static struct queue queue, read_only_queue;
static uint8_t buffer[LENGTH], back[LENGTH];

static uint64_t capacity(uintptr_t at) {
  return read32(at + VIRTIO_CONFIG) | (uint64_t)read32(at + VIRTIO_CONFIG + 4) << 32;
}

static void check_writing(uintptr_t at, uint64_t sectors) {
  for (uint32_t i = 0; i < LENGTH; ++i) buffer[i] = (uint8_t)(i * 7 + i / SECTOR);
  CHECK_EQUAL(blk_request(at, &queue, BLK_OUT, sectors - 8, buffer, LENGTH), BLK_OK);
  CHECK_EQUAL(blk_request(at, &queue, BLK_FLUSH, 0, 0, 0), BLK_OK);
  CHECK_EQUAL(blk_request(at, &queue, BLK_IN, sectors - 8, back, LENGTH), BLK_OK);
  CHECK(memcmp(buffer, back, LENGTH) == 0);
  CHECK(blk_request(at, &queue, BLK_OUT, sectors - 7, buffer, LENGTH) != BLK_OK);
  CHECK(blk_request(at, &queue, BLK_IN, ~0ull, back, SECTOR) != BLK_OK);
}

static void check_identity(uintptr_t at) {
  static char serial[20];
  CHECK_EQUAL(blk_request(at, &queue, BLK_GET_ID, 0, serial, sizeof serial), BLK_OK);
  CHECK(memcmp(serial, "disk0", 6) == 0);
}

static void check_read_only(uintptr_t at) {
  CHECK_EQUAL(blk_request(at, &read_only_queue, BLK_IN, 0, back, SECTOR), BLK_OK);
  CHECK_EQUAL(back[0], 'R');
  CHECK(blk_request(at, &read_only_queue, BLK_OUT, 0, buffer, SECTOR) != BLK_OK);
}

void guest_main(void) {
  const uint64_t sectors = argument("sectors", 0);
  const uintptr_t disk = find_virtio(VIRTIO_ID_BLOCK, 0);
  const uintptr_t read_only = find_virtio(VIRTIO_ID_BLOCK, 1);
  CHECK(disk && read_only);
  virtio_start(disk, BLK_F_FLUSH, 0, &queue);
  virtio_start(read_only, 0, 0, &read_only_queue);
  CHECK_EQUAL(capacity(disk), sectors);
  check_writing(disk, sectors);
  check_identity(disk);
  check_read_only(read_only);
}
