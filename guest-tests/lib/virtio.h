// A driver's side of virtio-mmio with split queues (virtio 1.2, 2.7 and 4.2).
#pragma once

#include "guest.h"

#define VIRTIO_FIRST 0xd0000000
#define VIRTIO_STRIDE 0x1000
#define VIRTIO_SLOTS 32
#define VIRTIO_MAGIC 0x74726976

enum virtio_register {
  VIRTIO_MAGIC_VALUE = 0x00,
  VIRTIO_VERSION = 0x04,
  VIRTIO_DEVICE_ID = 0x08,
  VIRTIO_DEVICE_FEATURES = 0x10,
  VIRTIO_DEVICE_FEATURES_SELECT = 0x14,
  VIRTIO_DRIVER_FEATURES = 0x20,
  VIRTIO_DRIVER_FEATURES_SELECT = 0x24,
  VIRTIO_QUEUE_SELECT = 0x30,
  VIRTIO_QUEUE_SIZE_MAX = 0x34,
  VIRTIO_QUEUE_SIZE = 0x38,
  VIRTIO_QUEUE_READY = 0x44,
  VIRTIO_QUEUE_NOTIFY = 0x50,
  VIRTIO_INTERRUPT_STATUS = 0x60,
  VIRTIO_INTERRUPT_ACK = 0x64,
  VIRTIO_STATUS = 0x70,
  VIRTIO_QUEUE_DESCRIPTORS = 0x80,
  VIRTIO_QUEUE_AVAILABLE = 0x90,
  VIRTIO_QUEUE_USED = 0xa0,
  VIRTIO_CONFIG = 0x100,
};
enum virtio_status {
  VIRTIO_ACKNOWLEDGE = 1,
  VIRTIO_DRIVER = 2,
  VIRTIO_DRIVER_OK = 4,
  VIRTIO_FEATURES_OK = 8,
  VIRTIO_NEEDS_RESET = 64,
};
enum virtio_id { VIRTIO_ID_BLOCK = 2, VIRTIO_ID_CONSOLE = 3, VIRTIO_ID_RNG = 4 };
#define VIRTIO_F_VERSION_1 (1ull << 32)

#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2
#define DESCRIPTOR_INDIRECT 4

#define QUEUE_SIZE 8  // the smallest that a device here may have at most
struct descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags, next;
};
struct queue {
  struct descriptor descriptors[QUEUE_SIZE] __attribute__((aligned(16)));
  struct {
    uint16_t flags;
    volatile uint16_t index;
    uint16_t ring[QUEUE_SIZE];
    uint16_t used_event;
  } available __attribute__((aligned(4)));
  struct {
    uint16_t flags;
    volatile uint16_t index;
    struct {
      uint32_t head, written;
    } ring[QUEUE_SIZE];
    uint16_t available_event;
  } used __attribute__((aligned(4)));
};

// The address of the nth device of that kind, 0 when there is none.
static inline uintptr_t find_virtio(enum virtio_id id, uint32_t nth) {
  for (uintptr_t at = VIRTIO_FIRST; at < VIRTIO_FIRST + VIRTIO_SLOTS * VIRTIO_STRIDE;
       at += VIRTIO_STRIDE) {
    if (read32(at) != VIRTIO_MAGIC || read32(at + VIRTIO_DEVICE_ID) != id) continue;
    if (nth-- == 0) return at;
  }
  return 0;
}

static inline uint64_t virtio_features(uintptr_t at) {
  write32(at + VIRTIO_DEVICE_FEATURES_SELECT, 1);
  const uint64_t high = read32(at + VIRTIO_DEVICE_FEATURES);
  write32(at + VIRTIO_DEVICE_FEATURES_SELECT, 0);
  return high << 32 | read32(at + VIRTIO_DEVICE_FEATURES);
}

// From reset to FEATURES_OK; false when the device does not take the features.
static inline bool virtio_negotiate(uintptr_t at, uint64_t features) {
  write32(at + VIRTIO_STATUS, 0);
  write32(at + VIRTIO_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
  write32(at + VIRTIO_DRIVER_FEATURES_SELECT, 0);
  write32(at + VIRTIO_DRIVER_FEATURES, (uint32_t)features);
  write32(at + VIRTIO_DRIVER_FEATURES_SELECT, 1);
  write32(at + VIRTIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
  write32(at + VIRTIO_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
  return read32(at + VIRTIO_STATUS) & VIRTIO_FEATURES_OK;
}

static inline void virtio_write_address(uintptr_t at, enum virtio_register reg, uint64_t address) {
  write32(at + reg, (uint32_t)address);
  write32(at + reg + 4, (uint32_t)(address >> 32));
}

static inline void virtio_place_queue(uintptr_t at, uint32_t index, const struct queue* queue) {
  write32(at + VIRTIO_QUEUE_SELECT, index);
  CHECK(read32(at + VIRTIO_QUEUE_SIZE_MAX) >= QUEUE_SIZE);
  write32(at + VIRTIO_QUEUE_SIZE, QUEUE_SIZE);
  virtio_write_address(at, VIRTIO_QUEUE_DESCRIPTORS, (uintptr_t)queue->descriptors);
  virtio_write_address(at, VIRTIO_QUEUE_AVAILABLE, (uintptr_t)&queue->available);
  virtio_write_address(at, VIRTIO_QUEUE_USED, (uintptr_t)&queue->used);
  write32(at + VIRTIO_QUEUE_READY, 1);
}

// The whole of it, for a device of which one queue is used.
static inline void virtio_start(uintptr_t at, uint64_t features, uint32_t index,
                                const struct queue* queue) {
  CHECK_EQUAL(read32(at + VIRTIO_VERSION), 2);
  CHECK(virtio_negotiate(at, features | VIRTIO_F_VERSION_1));
  virtio_place_queue(at, index, queue);
  write32(at + VIRTIO_STATUS,
          VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

// Makes the chain that starts at `head` available and tells the device.
static inline void queue_submit(uintptr_t at, uint32_t index, struct queue* queue, uint16_t head) {
  queue->available.ring[queue->available.index % QUEUE_SIZE] = head;
  __asm__ volatile("" : : : "memory");  // x86 keeps the order of stores
  queue->available.index = (uint16_t)(queue->available.index + 1);
  __asm__ volatile("lock orl $0, (%%rsp)" : : : "memory");
  write32(at + VIRTIO_QUEUE_NOTIFY, index);
}

// Waits until the device has used all that was made available.
static inline void queue_wait(const struct queue* queue) {
  while (queue->used.index != queue->available.index) relax();
}

// --- block devices (5.2) ---

enum blk_type { BLK_IN = 0, BLK_OUT = 1, BLK_FLUSH = 4, BLK_GET_ID = 8 };
#define BLK_F_FLUSH (1ull << 9)
#define BLK_OK 0
#define SECTOR 512

struct blk_header {
  uint32_t type, reserved;
  uint64_t sector;
};

// One request, awaited; gives its status. `data` is written to by BLK_IN and BLK_GET_ID.
static inline uint8_t blk_request(uintptr_t at, struct queue* queue, enum blk_type type,
                                  uint64_t sector, void* data, uint32_t length) {
  static struct blk_header header;
  static volatile uint8_t status;
  header = (struct blk_header){.type = type, .sector = sector};
  status = 0xee;
  const uint16_t data_flags = type == BLK_OUT ? 0 : DESCRIPTOR_WRITE;
  queue->descriptors[0] =
      (struct descriptor){(uintptr_t)&header, sizeof header, DESCRIPTOR_NEXT, length ? 1 : 2};
  queue->descriptors[1] =
      (struct descriptor){(uintptr_t)data, length, (uint16_t)(data_flags | DESCRIPTOR_NEXT), 2};
  queue->descriptors[2] = (struct descriptor){(uintptr_t)&status, 1, DESCRIPTOR_WRITE, 0};
  queue_submit(at, 0, queue, 0);
  queue_wait(queue);
  return status;
}
