// A program for UEFI that counts its boots in a variable of the firmware, says so on the first serial port, and then
// counts seconds (UEFI 2.10, 8.2: GetVariable, SetVariable; 7.5: Stall).
typedef unsigned long long u64;
typedef unsigned int u32;

// Tables of the firmware: a head of 24 bytes, and functions, by their place among them.
typedef u64(__attribute__((ms_abi)) * function)();
static function of(const char *table, int nth) { return ((function *)(table + 24))[nth]; }
enum { GET_VARIABLE = 6, SET_VARIABLE = 8 };
enum { STALL = 28 };

static void out(unsigned char byte) {
  unsigned char ready;
  do __asm__ volatile("inb %1, %0" : "=a"(ready) : "Nd"((unsigned short)0x3fd));
  while (!(ready & 0x20));
  __asm__ volatile("outb %0, %1" : : "a"(byte), "Nd"((unsigned short)0x3f8));
}

static void say(const char *words, u64 number) {
  char digits[21];
  int count = 0;
  while (*words) out((unsigned char)*words++);
  do digits[count++] = (char)('0' + number % 10);
  while (number /= 10);
  while (count) out((unsigned char)digits[--count]);
  out('\r');
  out('\n');
}

u64 __attribute__((ms_abi)) efi_main(void *image, const char *system) {
  (void)image;
  // Behind the head: vendor, its revision, six about consoles, the tables of services.
  const char *runtime = *(const char **)(system + 88), *boot = *(const char **)(system + 96);
  unsigned short name[] = {'O', 'v', 'm', 'B', 'o', 'o', 't', 's', 0};
  struct {
    u32 a;
    unsigned short b, c;
    unsigned char d[8];
  } vendor = {0x6f766d73, 0, 0x4000, {0x80, 0, 0, 0, 0, 0, 0, 1}};
  u32 boots = 0;
  u64 size = sizeof boots;
  if (of(runtime, GET_VARIABLE)(name, &vendor, (u32 *)0, &size, &boots)) boots = 0;
  boots++;
  // Kept without power, for programs that start the system.
  u64 failed = of(runtime, SET_VARIABLE)(name, &vendor, (u64)3, (u64)sizeof boots, &boots);
  say(failed ? "UEFI REFUSED " : "UEFI BOOT ", failed ? failed & 0xff : boots);
  for (u64 tick = 0;; tick++) {
    say("TICK ", tick);
    of(boot, STALL)((u64)1000000);
  }
}
