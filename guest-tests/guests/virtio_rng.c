// The entropy device fills buffers, with an interrupt, and never the same way twice.
#include "../lib/virtio.h"

#define SIZE 64

static struct queue queue;
static uint8_t first[SIZE], second[SIZE];

static void fill(uintptr_t at, uint8_t* buffer) {
  queue.descriptors[0] = (struct descriptor){(uintptr_t)buffer, SIZE, DESCRIPTOR_WRITE, 0};
  queue_submit(at, 0, &queue, 0);
  queue_wait(&queue);
  const uint32_t written = queue.used.ring[(queue.used.index - 1) % QUEUE_SIZE].written;
  CHECK(written >= 1 && written <= SIZE);
  while ((read32(at + VIRTIO_INTERRUPT_STATUS) & 1) == 0) relax();
  write32(at + VIRTIO_INTERRUPT_ACK, 1);  // which need not clear it: see devices/virtio/mmio.h
}

void guest_main(void) {
  const uintptr_t at = find_virtio(VIRTIO_ID_RNG, 0);
  CHECK(at);
  virtio_start(at, 0, 0, &queue);
  fill(at, first);
  fill(at, second);
  CHECK(memcmp(first, second, SIZE) != 0);
}
