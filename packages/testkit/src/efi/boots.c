// A program for UEFI that counts its boots in a variable of the firmware, says so on the first serial port, and then
// counts seconds, idle between them (UEFI 2.10, 8.2: GetVariable, SetVariable; 7.1: CreateEvent, SetTimer, WaitForEvent).
typedef unsigned long long u64;
typedef unsigned int u32;

// Tables of the firmware: a head of 24 bytes, and functions, by their place among them.
typedef u64(__attribute__((ms_abi)) * function)();
static function of(const char *table, int nth) { return ((function *)(table + 24))[nth]; }
enum { GET_VARIABLE = 6, SET_VARIABLE = 8 };
enum { CREATE_EVENT = 7, SET_TIMER = 8, WAIT_FOR_EVENT = 9, HANDLE_PROTOCOL = 16, LOCATE_DEVICE_PATH = 20 };

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

struct guid {
  u32 a;
  unsigned short b, c;
  unsigned char d[8];
};

// Protocols (UEFI 2.10, 9.1, 13.2), and the device path of Linux's initrd (LINUX_EFI_INITRD_MEDIA_GUID).
static struct guid loaded_image = {0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
static struct guid load_file2 = {0x4006c0c1, 0xfcb3, 0x403e, {0x99, 0x6d, 0x4a, 0x6c, 0x87, 0x24, 0xe0, 0x6d}};
static struct __attribute__((packed)) {
  unsigned char type, subtype, length[2];
  struct guid vendor;
  unsigned char end[4];
} initrd_path = {4, 3, {20, 0}, {0x5568e427, 0x68fc, 0x4f3d, {0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68}}, {0x7f, 0xff, 4, 0}};
static char initrd[65536];

// What the program was given: its load options, and an initrd by its size and first byte.
static void say_given(void *image, const char *boot) {
  const char *own = (const char *)0;
  if (of(boot, HANDLE_PROTOCOL)(image, &loaded_image, &own)) return;
  u32 size = *(const u32 *)(own + 48);
  const unsigned short *options = *(const unsigned short *const *)(own + 56);
  const char *words = "OPTIONS [";
  while (*words) out((unsigned char)*words++);
  for (u32 at = 0; at < size / 2 && options[at]; at++) out((unsigned char)options[at]);
  say("] ", size);
  void *path = &initrd_path, *device = (void *)0;
  const char *file = (const char *)0;
  u64 room = sizeof initrd;
  if (of(boot, LOCATE_DEVICE_PATH)(&load_file2, &path, &device)) return;
  if (of(boot, HANDLE_PROTOCOL)(device, &load_file2, &file)) return;
  if ((*(function *)file)(file, path, (u64)0, &room, initrd)) return;
  say("INITRD ", room);
  say("BEGINS ", (unsigned char)initrd[0]);
}

u64 __attribute__((ms_abi)) efi_main(void *image, const char *system) {
  // Behind the head: vendor, its revision, six about consoles, the tables of services.
  const char *runtime = *(const char **)(system + 88), *boot = *(const char **)(system + 96);
  unsigned short name[] = {'O', 'v', 'm', 'B', 'o', 'o', 't', 's', 0};
  struct guid vendor = {0x6f766d73, 0, 0x4000, {0x80, 0, 0, 0, 0, 0, 0, 1}};
  u32 boots = 0;
  u64 size = sizeof boots;
  if (of(runtime, GET_VARIABLE)(name, &vendor, (u32 *)0, &size, &boots)) boots = 0;
  boots++;
  // Kept without power, for programs that start the system.
  u64 failed = of(runtime, SET_VARIABLE)(name, &vendor, (u64)3, (u64)sizeof boots, &boots);
  say(failed ? "UEFI REFUSED " : "UEFI BOOT ", failed ? failed & 0xff : boots);
  say_given(image, boot);
  // A timer (EVT_TIMER), and its period in 100 ns.
  void *second = (void *)0;
  u64 nth = 0;
  of(boot, CREATE_EVENT)((u64)0x80000000, (u64)0, (void *)0, (void *)0, &second);
  of(boot, SET_TIMER)(second, (u64)1, (u64)10000000);
  for (u64 tick = 0;; tick++) {
    say("TICK ", tick);
    of(boot, WAIT_FOR_EVENT)((u64)1, &second, &nth);
  }
}
