// A driver that keeps the order of things and gives nonsense: queues at wild addresses, descriptors
// that loop, overlap, lie about their lengths or point nowhere, indices that jump, registers rewritten
// under a running device. count=N rounds, from seed=S. What devices write goes to memory of its own,
// so that it comes to the end; with `suicidal` it goes anywhere.
#include "../lib/virtio.h"

#define BUFFERS 0x2000000ull  // 32 MiB, and as much behind it
#define BUFFERS_SIZE 0x1000000u
#define RAM_END argument("memory", 0x4000000)

static struct queue queue;
static struct descriptor table[16] __attribute__((aligned(16)));  // for indirect ones
static bool suicidal;

static bool one_in(uint32_t n) { return random32() % n == 0; }

static uint64_t wild_address(void) {
  switch (random32() % 8) {
    case 0: return 0xc0000000 + random32() % 0x40000000;  // no memory there
    case 1: return RAM_END - random32() % 64;
    case 2: return RAM_END;
    case 3: return ~0ull - random32() % 4096;
    case 4: return (uint64_t)random32() << 32 | random32();
    case 5: return 1ull << (random32() % 64 | 32);
    case 6: return suicidal ? random32() % RAM_END : BUFFERS + random32() % BUFFERS_SIZE;
    default: return BUFFERS + random32() % BUFFERS_SIZE;
  }
}

static uint64_t buffer_address(void) {
  return one_in(4) ? wild_address() : BUFFERS + random32() % BUFFERS_SIZE;
}

static uint32_t random_length(void) {
  switch (random32() % 8) {
    case 0: return 0;
    case 1: return random32();
    case 2: return ~0u - random32() % 16;
    case 3: return 16;
    case 4: return 1;
    default: return random32() % 8 * 512;
  }
}

static struct descriptor random_descriptor(uint16_t entries) {
  struct descriptor d;
  d.address = buffer_address();
  d.length = random_length();
  d.flags = one_in(8) ? (uint16_t)random32() : (uint16_t)(random32() % 4);
  d.next = one_in(8) ? (uint16_t)random32() : (uint16_t)(random32() % entries);
  if (one_in(8)) {
    d.flags = DESCRIPTOR_INDIRECT | (one_in(4) ? DESCRIPTOR_NEXT : 0);
    d.address = one_in(8) ? wild_address() : (uintptr_t)table;
    d.length = one_in(4) ? random32() : (uint32_t)(random32() % 17 * 16);
  }
  return d;
}

// Something that looks like a block request: header, data, status.
static void likely_chain(void) {
  struct blk_header* header = (struct blk_header*)(uintptr_t)BUFFERS;
  header->type = one_in(4) ? random32() : random32() % 16;
  header->reserved = one_in(8) ? random32() : 0;
  header->sector = one_in(2) ? random32() % 64 : (uint64_t)random32() << 32 | random32();
  queue.descriptors[0] = (struct descriptor){BUFFERS, 16, DESCRIPTOR_NEXT, 1};
  queue.descriptors[1] = random_descriptor(QUEUE_SIZE);
  queue.descriptors[1].flags |= DESCRIPTOR_NEXT;
  queue.descriptors[1].next = 2;
  queue.descriptors[2] = (struct descriptor){BUFFERS + 4096, one_in(4) ? random_length() : 1,
                                             DESCRIPTOR_WRITE, 0};
}

static void place_queue(uintptr_t at, uint32_t index) {
  write32(at + VIRTIO_QUEUE_SELECT, one_in(8) ? random32() : index);
  write32(at + VIRTIO_QUEUE_SIZE, one_in(4) ? random32() % 70000 : QUEUE_SIZE);
  virtio_write_address(at, VIRTIO_QUEUE_DESCRIPTORS,
                       one_in(8) ? wild_address() : (uintptr_t)queue.descriptors);
  virtio_write_address(at, VIRTIO_QUEUE_AVAILABLE,
                       one_in(8) ? wild_address() : (uintptr_t)&queue.available);
  virtio_write_address(at, VIRTIO_QUEUE_USED, one_in(8) ? wild_address() : (uintptr_t)&queue.used);
  write32(at + VIRTIO_QUEUE_READY, one_in(8) ? random32() : 1);
}

static void use_queue(uintptr_t at, uint32_t index) {
  for (uint16_t i = 0; i < QUEUE_SIZE; ++i) queue.descriptors[i] = random_descriptor(QUEUE_SIZE);
  for (uint16_t i = 0; i < 16; ++i) table[i] = random_descriptor(16);
  if (one_in(2)) likely_chain();
  const uint16_t start = queue.available.index;
  const uint16_t count = (uint16_t)(random32() % 8);
  for (uint16_t i = 0; i < count; ++i)
    queue.available.ring[(start + i) % QUEUE_SIZE] =
        one_in(8) ? (uint16_t)random32() : one_in(2) ? 0 : (uint16_t)(random32() % QUEUE_SIZE);
  queue.available.used_event = (uint16_t)random32();
  queue.available.flags = (uint16_t)(random32() % 4);
  queue.available.index = one_in(16) ? (uint16_t)random32() : (uint16_t)(start + count);
  write32(at + VIRTIO_QUEUE_NOTIFY, one_in(8) ? random32() : index);
}

static void disturb(uintptr_t at) {
  switch (random32() % 6) {
    case 0: place_queue(at, random32() % 2); break;
    case 1: write32(at + VIRTIO_STATUS, random32() % 256); break;
    case 2: write32(at + random32() % 0x48 * 4, random32()); break;
    case 3: write8(at + VIRTIO_CONFIG + random32() % 64, (uint8_t)random32()); break;
    case 4: read32(at + VIRTIO_CONFIG + random32() % 64); break;
    default: write32(at + VIRTIO_INTERRUPT_ACK, random32()); break;
  }
}

static void torment(uintptr_t at) {
  const uint64_t features = virtio_features(at);
  const uint64_t some = features & ((uint64_t)random32() << 32 | random32());
  virtio_negotiate(at, (one_in(2) ? features : some) | (one_in(16) ? 0 : VIRTIO_F_VERSION_1));
  queue.available.index = queue.used.index = 0;
  const uint32_t queues = 1 + random32() % 3;
  for (uint32_t index = 0; index < queues; ++index) place_queue(at, index);
  write32(at + VIRTIO_STATUS,
          VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
  for (int i = 0; i < 8; ++i) {
    use_queue(at, random32() % queues);
    if (one_in(3)) disturb(at);
  }
}

void guest_main(void) {
  suicidal = has_argument("suicidal");
  for (uint64_t i = argument("count", 10); i > 0; --i)
    for (uintptr_t at = VIRTIO_FIRST; read32(at) == VIRTIO_MAGIC; at += VIRTIO_STRIDE) torment(at);
}
