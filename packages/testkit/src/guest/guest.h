typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long u64;
static inline void outb(u16 p, u8 v) { __asm__ volatile("outb %0,%1" ::"a"(v), "Nd"(p)); }
static inline void outw(u16 p, u16 v) { __asm__ volatile("outw %0,%1" ::"a"(v), "Nd"(p)); }
static inline void outl(u16 p, u32 v) { __asm__ volatile("outl %0,%1" ::"a"(v), "Nd"(p)); }
static inline u8 inb(u16 p) { u8 v; __asm__ volatile("inb %1,%0" : "=a"(v) : "Nd"(p)); return v; }
static inline u16 inw(u16 p) { u16 v; __asm__ volatile("inw %1,%0" : "=a"(v) : "Nd"(p)); return v; }
static inline u32 inl(u16 p) { u32 v; __asm__ volatile("inl %1,%0" : "=a"(v) : "Nd"(p)); return v; }
void putc(char c);
void puts(const char *s);
void dec(u64 v);
const char *find(const char *s, const char *k);
u64 num(const char *s, u64 d);
/* Where the text `k` begins in `n` bytes at `p`, or 0. */
const u8 *memfind(const u8 *p, u64 n, const char *k);
/* The table of ACPI with that signature after the table `last`, or the first one; 0 if there is none. */
const u8 *acpi_table(u32 signature, const u8 *last);
/* What the command line asks of processors. */
void cpus(const char *cmd);
/* What the command line asks of the first disk. */
void disk(const char *cmd);
/* What the command line asks of the files of the host. */
void fw_cfg(const char *cmd);
/* With log=N: notes the tick on the disk, and checks what was noted before. */
void disk_log(u64 tick, int says);
/* What the command line asks of shared memory, and a look at it. */
void shared(const char *cmd);
void shared_look(void);
/* What the command line asks of the second serial port, and a look at it. */
void serial(const char *cmd);
void serial_look(void);
/* What the command line asks of a TPM. */
void tpm(const char *cmd);
/* What the command line asks of memory. */
void memory(const char *cmd);
/* With busy=N: writes to all of it, and checks what was written before. */
void memory_write(void);
/* With agent=N: what comes by the port of an agent goes to the second serial port, and back. */
void agent(const char *cmd);
void agent_look(void);
/* The same by vsock: whether there is such a device, and a look at it. */
int vsock_begin(void);
void vsock_look(void);
/* What the command line asks of the devices of network and entropy, and a look at the link. */
void nic(const char *cmd);
void nic_look(void);
/* What the command line asks of a network device without PCI, and a look at what came. */
void answer(const char *cmd);
void answer_look(void);
/* Puts the answer to a frame of TCP over IPv4 into `frame`, but for whose it is; its length, 0 for none. */
u32 tcp_answer(const u8 *got, u32 length, u8 *frame);
/* A queue of a virtio device over MMIO. */
enum { MMIO_SIZE = 64, MMIO_DEVICE_WRITES = 2 };
struct mmio_queue {
    struct { u64 address; u32 length; u16 flags, next; } table[MMIO_SIZE] __attribute__((aligned(4096)));
    volatile u16 avail[2 + MMIO_SIZE];
    struct __attribute__((aligned(8))) { volatile u16 flags, at; volatile struct { u32 id, length; } ring[MMIO_SIZE]; } used;
};
/* The registers of the first such device that is of that kind, told what it may do; 0 if there is none. */
volatile u32 *mmio_device(u32 kind, u32 features);
/* Has the device know its queue of that number, before it begins. */
void mmio_queue(volatile u32 *device, u32 number, struct mmio_queue *queue);
void mmio_begin(volatile u32 *device);
/* Has the device take a descriptor of its queue. */
void mmio_give(volatile u32 *device, u32 number, struct mmio_queue *queue, u16 descriptor);
