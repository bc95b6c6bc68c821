// What the guests of these tests are written with: port and memory-mapped I/O, the serial port,
// checks, interrupts. A guest defines guest_main(); it ends the machine with pass(), or with what
// a failed CHECK says, through the debug-exit port.
//
// Guests also run where every instruction is emulated, dearly: keep loops short. The instructions
// used here are those that KVM's emulator knows (no fences: a locked operation does).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COM1 0x3f8
#define DEBUG_EXIT 0xf4

void guest_main(void);

// --- ports ---

static inline uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
static inline uint16_t in16(uint16_t port) {
  uint16_t value;
  __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
static inline uint32_t in32(uint16_t port) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
static inline void out8(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static inline void out16(uint16_t port, uint16_t value) {
  __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static inline void out32(uint16_t port, uint32_t value) {
  __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

// --- memory-mapped registers ---

static inline uint8_t read8(uintptr_t address) {
  uint8_t value;
  __asm__ volatile("movb %1, %0" : "=q"(value) : "m"(*(volatile uint8_t*)address) : "memory");
  return value;
}
static inline uint16_t read16(uintptr_t address) {
  uint16_t value;
  __asm__ volatile("movw %1, %0" : "=r"(value) : "m"(*(volatile uint16_t*)address) : "memory");
  return value;
}
static inline uint32_t read32(uintptr_t address) {
  uint32_t value;
  __asm__ volatile("movl %1, %0" : "=r"(value) : "m"(*(volatile uint32_t*)address) : "memory");
  return value;
}
static inline void write8(uintptr_t address, uint8_t value) {
  __asm__ volatile("movb %1, %0" : "=m"(*(volatile uint8_t*)address) : "q"(value) : "memory");
}
static inline void write16(uintptr_t address, uint16_t value) {
  __asm__ volatile("movw %1, %0" : "=m"(*(volatile uint16_t*)address) : "r"(value) : "memory");
}
static inline void write32(uintptr_t address, uint32_t value) {
  __asm__ volatile("movl %1, %0" : "=m"(*(volatile uint32_t*)address) : "r"(value) : "memory");
}
#ifdef __x86_64__
static inline uint64_t read64(uintptr_t address) {
  uint64_t value;
  __asm__ volatile("movq %1, %0" : "=r"(value) : "m"(*(volatile uint64_t*)address) : "memory");
  return value;
}
static inline void write64(uintptr_t address, uint64_t value) {
  __asm__ volatile("movq %1, %0" : "=m"(*(volatile uint64_t*)address) : "r"(value) : "memory");
}
#endif

// --- the processor ---

struct cpuid {
  uint32_t eax, ebx, ecx, edx;
};
static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf) {
  struct cpuid r;
  __asm__ volatile("cpuid"
                   : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                   : "a"(leaf), "c"(subleaf));
  return r;
}
static inline uint64_t read_msr(uint32_t index) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
  return (uint64_t)high << 32 | low;
}
static inline void write_msr(uint32_t index, uint64_t value) {
  __asm__ volatile("wrmsr"
                   :
                   : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                   : "memory");
}
static inline uint64_t read_tsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return (uint64_t)high << 32 | low;
}
static inline void interrupts_on(void) {
  __asm__ volatile("sti" : : : "memory");
}
static inline void interrupts_off(void) {
  __asm__ volatile("cli" : : : "memory");
}
// Sleeps until an interrupt comes; none is lost between the two instructions.
static inline void interrupts_on_and_halt(void) {
  __asm__ volatile("sti; hlt" : : : "memory");
}
static inline void relax(void) {
  __asm__ volatile("pause" : : : "memory");
}
_Noreturn void halt_forever(void);

// --- words to the host ---

void put_char(char c);
void put(const char* text);
void put_number(uint64_t value);
void put_hex(uint64_t value);
char get_char(void);  // waits for one from the serial port

// --- the end ---

_Noreturn void leave(uint8_t value);  // through the debug-exit port
_Noreturn void pass(void);            // leave(0)
_Noreturn void fail(const char* file, int line, const char* what, uint64_t value);

#define CHECK(condition)                                       \
  do {                                                         \
    if (!(condition)) fail(__FILE__, __LINE__, #condition, 0); \
  } while (0)
// Tells the value that was found when it is not the expected one.
#define CHECK_EQUAL(found, expected)                                  \
  do {                                                                \
    const uint64_t found_value = (uint64_t)(found);                   \
    if (found_value != (uint64_t)(expected))                          \
      fail(__FILE__, __LINE__, #found " == " #expected, found_value); \
  } while (0)

// --- what the loader said ---

bool has_argument(const char* name);  // the word `name` or `name=...` of the command line
uint64_t argument(const char* name, uint64_t otherwise);  // name=NUMBER, decimal or 0x...
bool argument_is(const char* name, const char* value);    // name=VALUE

struct memory_range {
  uint64_t start, length;
  uint32_t type;  // 1: RAM
};
// The loader's memory map; gives the number of ranges.
size_t memory_map(struct memory_range* into, size_t limit);

struct framebuffer {  // 32 bits a pixel, 0x00RRGGBB
  uintptr_t address;
  uint32_t pitch, width, height;
};
bool find_framebuffer(struct framebuffer* into);  // false: there is none

// --- interrupts and exceptions ---

struct frame {
#ifdef __x86_64__
  uint64_t r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, bx, dx, cx, ax;
  uint64_t vector, error, ip, cs, flags, sp, ss;
#else
  uint32_t di, si, bp, unused_sp, bx, dx, cx, ax;
  uint32_t vector, error, ip, cs, flags;
#endif
};
typedef void (*handler)(struct frame*);
// Without a handler an exception fails the guest, telling where.
void set_handler(uint8_t vector, handler function);

// --- memory ---

void* memcpy(void* to, const void* from, size_t length);
void* memset(void* to, int value, size_t length);
int memcmp(const void* a, const void* b, size_t length);
size_t strlen(const char* text);
#ifdef __x86_64__
// Maps the GiB number `index` (from 4 on, a few of them) one to one.
void map_gib(uint64_t index);
#endif

// Pseudo-random numbers from a seed (a linear congruential generator, the upper half of its state).
extern uint64_t random_state;
static inline uint32_t random32(void) {
  random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
  return (uint32_t)(random_state >> 32);
}
