/* serial=1: the second serial port. What comes in goes back, and each line is told on the console: SERIAL [line]. */
#include "guest.h"
enum { DATA = 0x2f8, LINE_CONTROL = DATA + 3, STATE = DATA + 5, ARRIVED = 1, FREE = 0x20 };
static int here, length;
static char words[128];

void serial(const char *cmd) {
    here = find(cmd, "serial=1") != 0;
    if (here) outb(DATA + 1, 0), outb(DATA + 2, 7), outb(LINE_CONTROL, 3);
    for (const char *s = "SERIAL-READY\n"; here && *s; s++) outb(DATA, *s);
}

void serial_look(void) {
    while (here && inb(STATE) & ARRIVED) {
        char c = inb(DATA);
        for (int i = 0; i < 100000 && !(inb(STATE) & FREE); i++);
        outb(DATA, c);
        if (c != '\n') { if (length < 126) words[length++] = c; continue; }
        words[length] = 0; length = 0;
        puts("SERIAL ["); puts(words); puts("]\r\n");
    }
}
