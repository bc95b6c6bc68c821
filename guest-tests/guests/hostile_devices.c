// Drives every virtio device at once, with requests that make sense and some that do not, and never
// waits: while a device works it is notified, reset, and given its queues again elsewhere. count=N
// steps (0: for ever), from seed=S; a dot on the serial port for each 4096 of them. Requests lie in
// memory of their own, so that what a device writes late does not hit the program.
#include "../lib/virtio.h"

#define MAX_DEVICES 12
#define QUEUES 3
#define SLOTS (QUEUE_SIZE / 2)  // two descriptors a request, at least
#define BUFFERS 0x2000000ull
#define BUFFER_SIZE 0x4000u

enum more_ids { VIRTIO_ID_NET = 1, VIRTIO_ID_9P = 9 };

struct device {
  uintptr_t at;
  uint32_t id;
  bool running;
  uint32_t home;  // which of two places its queues have now
};
static struct device devices[MAX_DEVICES];
static uint32_t device_count;
static struct queue queues[MAX_DEVICES][2][QUEUES];

static bool one_in(uint32_t n) {
  return random32() % n == 0;
}

static struct queue* queue_of(uint32_t device, uint32_t index) {
  return &queues[device][devices[device].home][index];
}
static uint8_t* buffer_of(uint32_t device, uint32_t index, uint32_t slot) {
  return (uint8_t*)(uintptr_t)(BUFFERS + ((device * QUEUES + index) * SLOTS + slot) * BUFFER_SIZE);
}

// --- 9p (9P2000.L): each message by its fields ---

// f: fid; s: name; w: names; 1, 2, 4, 8: a number of so many bytes; v: a version; d: data.
static const struct {
  uint8_t type;
  const char* fields;
} messages[] = {
    {8, "f"},     {12, "f4"},      {14, "fs444"},      {16, "fss4"}, {18, "fs4444"}, {20, "ffs"},
    {22, "f"},    {24, "f8"},      {26, "f444488888"}, {30, "ffs"},  {32, "fs84"},   {40, "f84"},
    {50, "f4"},   {52, "f14884s"}, {54, "f1884s"},     {70, "ffs"},  {72, "fs44"},   {74, "fsfs"},
    {76, "fs4"},  {100, "4v"},     {104, "ff0044"},    {108, "2"},   {110, "ffw"},   {110, "ffw"},
    {116, "f84"}, {118, "f8d"},    {120, "f"},         {122, "f"},
};
static const char* const names[] = {"a", "b", "dir", "..", ".", "", "/", "a/b", "link"};

static uint8_t* put_bytes(uint8_t* to, uint64_t value, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; ++i) *to++ = (uint8_t)(value >> (8 * i));
  return to;
}
static uint8_t* put_string(uint8_t* to, const char* text) {
  uint32_t length = 0;
  while (text[length]) ++length;
  to = put_bytes(to, length, 2);
  memcpy(to, text, length);
  return to + length;
}
static const char* random_name(void) {
  return names[random32() % (sizeof names / sizeof *names)];
}

static uint64_t random_number(void) {
  if (one_in(16)) return (uint64_t)random32() << 32 | random32();
  return one_in(2) ? random32() % 8 : random32() % 0x2000;
}

static uint8_t* put_field(uint8_t* to, char field) {
  switch (field) {
    case 'f':
      return put_bytes(to, one_in(64) ? random32() : random32() % 6, 4);
    case 's':
      return put_string(to, random_name());
    case '0':
      return put_string(to, "");
    case 'v':
      return put_string(to, one_in(8) ? "9P2000" : "9P2000.L");
    case 'w': {
      const uint32_t count = random32() % 3;
      to = put_bytes(to, count, 2);
      for (uint32_t i = 0; i < count; ++i) to = put_string(to, random_name());
      return to;
    }
    case 'd': {
      const uint32_t length = random32() % 600;
      return put_bytes(to, length, 4) + length;
    }
    default:
      return put_bytes(to, random_number(), (uint32_t)(field - '0'));
  }
}

// Gives its length.
static uint32_t make_message(uint8_t* message) {
  const uint32_t which = random32() % (sizeof messages / sizeof *messages);
  // Most sessions do not begin anew.
  const uint8_t type = messages[which].type == 100 && !one_in(8) ? 104 : messages[which].type;
  const char* fields = type == messages[which].type ? messages[which].fields : "ff0044";
  uint8_t* to = put_bytes(message + 4, type, 1);
  to = put_bytes(to, type == 100 ? 0xffff : random32() % 6, 2);
  for (; *fields; ++fields) to = put_field(to, *fields);
  const uint32_t length = (uint32_t)(to - message);
  put_bytes(message, one_in(32) ? random32() % 2000 : length, 4);
  return one_in(32) ? random32() % length : length;
}

// --- requests ---

static void describe(struct queue* queue, uint32_t slot, const uint8_t* out, uint32_t out_length,
                     uint8_t* in, uint32_t in_length) {
  const uint16_t first = (uint16_t)(2 * slot), second = (uint16_t)(first + 1);
  queue->descriptors[first] =
      (struct descriptor){(uintptr_t)out, out_length, DESCRIPTOR_NEXT, second};
  queue->descriptors[second] = (struct descriptor){(uintptr_t)in, in_length, DESCRIPTOR_WRITE, 0};
  if (out_length == 0)
    queue->descriptors[first] = (struct descriptor){(uintptr_t)in, in_length, DESCRIPTOR_WRITE, 0};
  if (in_length == 0) queue->descriptors[first].flags = 0;
  if (!one_in(32)) return;
  struct descriptor* const broken = &queue->descriptors[one_in(2) ? first : second];
  if (one_in(2)) broken->flags = (uint16_t)(random32() % 8);
  if (one_in(2)) broken->length = one_in(2) ? random32() : 0;
  if (one_in(2)) broken->next = (uint16_t)random32();
}

// The data of a write comes behind its header, that of a read before its status.
static void make_blk(struct queue* queue, uint32_t slot, uint8_t* buffer) {
  static const uint32_t types[] = {0, 0, 1, 1, 4, 8, 11, 13};
  struct blk_header* const header = (struct blk_header*)buffer;
  header->type = one_in(32) ? random32() : types[random32() % 8];
  header->sector = one_in(16) ? random_number() : random32() % 120;
  const uint32_t data = random32() % 9 * SECTOR;
  const bool writes = header->type == 1 || header->type >= 11;
  describe(queue, slot, buffer, 16 + (writes ? data : 0), buffer + 0x2000, 1 + (writes ? 0 : data));
}

static void make_request(uint32_t device, uint32_t index, uint32_t slot) {
  struct queue* const queue = queue_of(device, index);
  uint8_t* const buffer = buffer_of(device, index, slot);
  const uint32_t half = BUFFER_SIZE / 2;
  switch (devices[device].id) {
    case VIRTIO_ID_BLOCK:
      return make_blk(queue, slot, buffer);
    case VIRTIO_ID_9P: {
      const uint32_t length = make_message(buffer);
      return describe(queue, slot, buffer, length, buffer + half,
                      one_in(16) ? random32() % 32 : half);
    }
    case VIRTIO_ID_NET:
    case VIRTIO_ID_CONSOLE:
      // Even queues receive. A frame that is sent is a header of zeros and an Ethernet broadcast.
      if (index % 2 == 0) return describe(queue, slot, buffer, 0, buffer, 2048);
      memset(buffer, one_in(8) ? (int)random32() : 0, 12);
      memset(buffer + 12, 0xff, 6);
      return describe(queue, slot, buffer, 12 + random32() % 1600, buffer, 0);
    default:
      return describe(queue, slot, buffer, 0, buffer, random32() % half);
  }
}

static void submit(uint32_t device, uint32_t index) {
  struct queue* const queue = queue_of(device, index);
  for (uint32_t count = 1 + random32() % SLOTS; count > 0; --count) {
    const uint32_t slot = random32() % SLOTS;  // perhaps one that is under way
    make_request(device, index, slot);
    queue->available.ring[queue->available.index % QUEUE_SIZE] =
        one_in(64) ? (uint16_t)random32() : (uint16_t)(2 * slot);
    __asm__ volatile("" : : : "memory");  // x86 keeps the order of stores
    queue->available.index = (uint16_t)(queue->available.index + 1);
  }
  if (one_in(128)) queue->available.index = (uint16_t)random32();
  queue->available.used_event = (uint16_t)random32();
  write32(devices[device].at + VIRTIO_QUEUE_NOTIFY, index);
}

// --- the life of a device ---

static void start(uint32_t device) {
  struct device* const d = &devices[device];
  const uint64_t features = virtio_features(d->at);
  const uint64_t some = one_in(4) ? (uint64_t)random32() << 32 | random32() : ~0ull;
  d->home ^= 1;
  d->running = virtio_negotiate(d->at, (features & some) | VIRTIO_F_VERSION_1);
  for (uint32_t index = 0; index < QUEUES && d->running; ++index) {
    write32(d->at + VIRTIO_QUEUE_SELECT, index);
    if (read32(d->at + VIRTIO_QUEUE_SIZE_MAX) < QUEUE_SIZE) break;
    memset(queue_of(device, index), 0, sizeof(struct queue));
    virtio_place_queue(d->at, index, queue_of(device, index));
  }
  write32(d->at + VIRTIO_STATUS,
          VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

static void disturb(uint32_t device) {
  const uintptr_t at = devices[device].at;
  switch (random32() % 6) {
    case 0:
      write32(at + VIRTIO_QUEUE_NOTIFY, random32() % 8);
      break;
    case 1:
      write32(at + VIRTIO_STATUS, random32() % 256);
      break;
    case 2:
      write32(at + VIRTIO_INTERRUPT_ACK, random32());
      break;
    case 3:
      write8(at + VIRTIO_CONFIG + random32() % 64, (uint8_t)random32());
      break;
    case 4:
      write32(at + VIRTIO_STATUS, 0);
      break;  // and its work goes on
    default:
      write32(at + random32() % 0x48 * 4, random32());
      break;
  }
  devices[device].running = false;
}

static void step(uint32_t device) {
  if (!devices[device].running || (read32(devices[device].at + VIRTIO_STATUS) & VIRTIO_NEEDS_RESET))
    start(device);
  if (one_in(40))
    disturb(device);
  else
    submit(device, random32() % QUEUES);
}

void guest_main(void) {
  for (uintptr_t at = VIRTIO_FIRST; device_count < MAX_DEVICES && read32(at) == VIRTIO_MAGIC;
       at += VIRTIO_STRIDE)
    devices[device_count++] = (struct device){.at = at, .id = read32(at + VIRTIO_DEVICE_ID)};
  CHECK(device_count > 0);
  const uint64_t count = argument("count", 0);
  for (uint64_t i = 1; count == 0 || i <= count; ++i) {
    step(random32() % device_count);
    if (i % 4096 == 0) put_char('.');
  }
}
