// The value written to the debug-exit port is the machine's end.
#include "../lib/guest.h"

void guest_main(void) { leave((uint8_t)argument("value", 0)); }
