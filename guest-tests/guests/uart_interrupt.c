// The serial port by interrupts through the I/O APIC: input arrives without polling, and output is
// sent when the port says that it is ready. What is typed comes back in capitals, until '.'.
#include "../lib/apic.h"

#define VECTOR 0x50
#define PIN 4
#define IER (COM1 + 1)
#define IER_RECEIVE 1
#define IER_TRANSMIT 2
#define IIR (COM1 + 2)
#define FCR (COM1 + 2)
#define FCR_FIFOS 7
#define MCR (COM1 + 4)
#define MCR_DTR_RTS_OUT2 0xb

static char queue[256];
static uint8_t head, tail;  // 8 bits: they wrap with the queue
static volatile uint32_t receive_interrupts, transmit_interrupts;
static volatile bool finished;

static void receive(void) {
  while (in8(COM1 + 5) & 1) {
    char c = (char)in8(COM1);
    if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    queue[head++] = c;
  }
}

static void transmit(void) {
  if (tail == head) return out8(IER, IER_RECEIVE);
  const char c = queue[tail++];
  if (c == '.') finished = true;
  out8(COM1, (uint8_t)c);
}

static void serve(struct frame* frame) {
  (void)frame;
  uint8_t cause;
  while (((cause = in8(IIR) & 0xf) & 1) == 0) {
    if (cause == 2) {
      ++transmit_interrupts;
      transmit();
    } else {
      ++receive_interrupts;
      receive();
      out8(IER, IER_RECEIVE | IER_TRANSMIT);
    }
  }
  apic_eoi();
}

void guest_main(void) {
  put("type:");
  pics_off();
  apic_enable();
  set_handler(VECTOR, serve);
  io_apic_route(PIN, VECTOR, (uint8_t)apic_id());
  out8(FCR, FCR_FIFOS);
  out8(MCR, MCR_DTR_RTS_OUT2);
  out8(IER, IER_RECEIVE);
  while (!finished) {
    interrupts_on_and_halt();
    interrupts_off();
  }
  CHECK(receive_interrupts > 0);
  CHECK(transmit_interrupts > 0);
}
