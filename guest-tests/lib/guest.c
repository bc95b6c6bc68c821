#include "guest.h"

#define MULTIBOOT_MAGIC 0x2badb002
#define MULTIBOOT_CMDLINE (1u << 2)
#define MULTIBOOT_MEMORY_MAP (1u << 6)
#define MULTIBOOT_FRAMEBUFFER (1u << 12)

struct multiboot_info {  // multiboot specification 0.6.96, 3.3
  uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
  uint32_t syms[4], mmap_length, mmap_addr;
  uint32_t drives[2], config_table, loader_name, apm_table, vbe[4];
  uint64_t framebuffer;
  uint32_t framebuffer_pitch, framebuffer_width, framebuffer_height;
  uint8_t framebuffer_bits, framebuffer_type;
} __attribute__((packed));
struct multiboot_range {
  uint32_t size;
  uint64_t start, length;
  uint32_t type;
} __attribute__((packed));

static const struct multiboot_info* loader;
uint64_t random_state = 1;

// --- words to the host ---

#define LSR (COM1 + 5)
#define LSR_DATA 0x01
#define LSR_EMPTY 0x20

void put_char(char c) {
  while ((in8(LSR) & LSR_EMPTY) == 0) relax();
  out8(COM1, (uint8_t)c);
}

void put(const char* text) {
  while (*text) put_char(*text++);
}

void put_hex(uint64_t value) {
  int shift = 60;
  while (shift > 0 && (value >> shift) == 0) shift -= 4;
  put("0x");
  for (; shift >= 0; shift -= 4) put_char("0123456789abcdef"[(value >> shift) & 15]);
}

void put_number(uint64_t value) {
  if (value >> 32) return put_hex(value);  // no 64-bit division in 32-bit guests
  char digits[10];
  int n = 0;
  uint32_t rest = (uint32_t)value;
  do {
    digits[n++] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest);
  while (n) put_char(digits[--n]);
}

char get_char(void) {
  while ((in8(LSR) & LSR_DATA) == 0) relax();
  return (char)in8(COM1);
}

// --- the end ---

void halt_forever(void) {
  while (true) __asm__ volatile("cli; hlt");
}

void leave(uint8_t value) {
  out8(DEBUG_EXIT, value);
  halt_forever();
}

void pass(void) {
  leave(0);
}

void fail(const char* file, int line, const char* what, uint64_t value) {
  put("FAIL ");
  put(file);
  put(":");
  put_number((uint64_t)line);
  put(": ");
  put(what);
  put(" found ");
  put_hex(value);
  put("\n");
  leave(1);
}

// --- what the loader said ---

static const char* next_word(const char* word) {
  while (*word && *word != ' ') ++word;
  while (*word == ' ') ++word;
  return word;
}

// The text behind NAME= of a command line's word, "" for the bare word NAME, or nothing. The first
// word is the name of this program.
static const char* find_argument(const char* name) {
  if (!(loader->flags & MULTIBOOT_CMDLINE)) return 0;
  const size_t length = strlen(name);
  const char* word = (const char*)(uintptr_t)loader->cmdline;
  while (*(word = next_word(word))) {
    if (memcmp(word, name, length) != 0) continue;
    if (word[length] == '=') return word + length + 1;
    if (word[length] == ' ' || word[length] == 0) return "";
  }
  return 0;
}

bool has_argument(const char* name) {
  return find_argument(name) != 0;
}

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return 16;
}

uint64_t argument(const char* name, uint64_t otherwise) {
  const char* text = find_argument(name);
  if (!text || !*text) return otherwise;
  int base = 10;
  if (text[0] == '0' && text[1] == 'x') {
    base = 16;
    text += 2;
  }
  uint64_t value = 0;
  for (; digit(*text) < base; ++text) value = value * (uint64_t)base + (uint64_t)digit(*text);
  return value;
}

bool argument_is(const char* name, const char* value) {
  const char* text = find_argument(name);
  const size_t length = strlen(value);
  return text && memcmp(text, value, length) == 0 && (text[length] == 0 || text[length] == ' ');
}

size_t memory_map(struct memory_range* into, size_t limit) {
  CHECK(loader->flags & MULTIBOOT_MEMORY_MAP);
  uint32_t at = loader->mmap_addr;
  const uint32_t end = at + loader->mmap_length;
  size_t count = 0;
  while (at < end && count < limit) {
    const struct multiboot_range* range = (const struct multiboot_range*)(uintptr_t)at;
    into[count++] = (struct memory_range){range->start, range->length, range->type};
    at += range->size + sizeof range->size;
  }
  return count;
}

bool find_framebuffer(struct framebuffer* into) {
  if (!(loader->flags & MULTIBOOT_FRAMEBUFFER)) return false;
  CHECK_EQUAL(loader->framebuffer_bits, 32);
  CHECK_EQUAL(loader->framebuffer_type, 1);
  *into = (struct framebuffer){(uintptr_t)loader->framebuffer, loader->framebuffer_pitch,
                               loader->framebuffer_width, loader->framebuffer_height};
  return true;
}

// --- interrupts and exceptions ---

#ifdef __x86_64__
#define CODE_SELECTOR 0x18
struct gate {
  uint16_t low, selector, flags, middle;
  uint32_t high, reserved;
};
#else
#define CODE_SELECTOR 0x08
struct gate {
  uint16_t low, selector, flags, high;
};
#endif
#define INTERRUPT_GATE 0x8e00
#define VECTOR_STUB_SIZE 16

extern const char vector_stubs[];
static struct gate idt[256] __attribute__((aligned(16)));
static handler handlers[256];
struct {
  uint16_t limit;
  uintptr_t base;
} __attribute__((packed)) idt_pointer = {sizeof idt - 1, (uintptr_t)idt};

static void unexpected(struct frame* frame) {
  put("EXCEPTION ");
  put_number(frame->vector);
  put(" at ");
  put_hex(frame->ip);
  put(" error ");
  put_hex(frame->error);
  put("\n");
  leave(2);
}

void dispatch(struct frame* frame) {
  handlers[frame->vector](frame);
}

void set_handler(uint8_t vector, handler function) {
  const uintptr_t stub = (uintptr_t)vector_stubs + (uintptr_t)vector * VECTOR_STUB_SIZE;
  handlers[vector] = function;
  struct gate gate = {.low = (uint16_t)stub, .selector = CODE_SELECTOR, .flags = INTERRUPT_GATE};
#ifdef __x86_64__
  gate.middle = (uint16_t)(stub >> 16);
  gate.high = (uint32_t)(stub >> 32);
#else
  gate.high = (uint16_t)(stub >> 16);
#endif
  idt[vector] = gate;
}

// --- memory ---

void* memcpy(void* to, const void* from, size_t length) {
  void* at = to;
  __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(length) : : "memory");
  return to;
}

void* memset(void* to, int value, size_t length) {
  void* at = to;
  __asm__ volatile("rep stosb" : "+D"(at), "+c"(length) : "a"(value) : "memory");
  return to;
}

int memcmp(const void* a, const void* b, size_t length) {
  const uint8_t* left = a;
  const uint8_t* right = b;
  for (; length; --length, ++left, ++right)
    if (*left != *right) return *left < *right ? -1 : 1;
  return 0;
}

size_t strlen(const char* text) {
  size_t length = 0;
  while (text[length]) ++length;
  return length;
}

#ifdef __x86_64__
extern uint64_t pdpt[512];

void map_gib(uint64_t index) {
  static uint64_t directories[16][512] __attribute__((aligned(4096)));
  static size_t used;
  CHECK(index >= 4 && index < 512 && used < 16);
  uint64_t* directory = directories[used++];
  for (uint64_t i = 0; i < 512; ++i) directory[i] = (index << 30) | (i << 21) | 0x83;
  pdpt[index] = (uintptr_t)directory | 3;
}
#endif

void guest_start(uint32_t magic, const struct multiboot_info* info) {
  loader = info;
  for (int vector = 0; vector < 32; ++vector) set_handler((uint8_t)vector, unexpected);
  __asm__ volatile("lidt %0" : : "m"(idt_pointer));
  CHECK_EQUAL(magic, MULTIBOOT_MAGIC);
  random_state = argument("seed", 1);
  guest_main();
  pass();
}
