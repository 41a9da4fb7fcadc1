/* Devices of virtio over MMIO (VIRTIO 1.x, 4.2), as Firecracker's machine has them, polled. */
#include "guest.h"
enum { FIRST = 0xc0001000, STEP = 0x1000, DEVICES = 24, MAGIC = 0x74726976, MODERN = 2 };
enum { KIND = 2, FEATURES_SELECT = 0x24, FEATURES = 0x20, QUEUE_SELECT = 0x30, QUEUE_SIZE = 0x38, QUEUE_READY = 0x44, NOTIFY = 0x50, STATUS = 0x70, TABLE = 0x80, AVAIL = 0x90, USED = 0xa0 };
enum { ACKNOWLEDGE = 1, ACKNOWLEDGE_DRIVER = 3, FEATURES_OK = 8, DRIVER_OK = 4 };

static void put(volatile u32 *device, u32 at, u32 value) { device[at / 4] = value; }
static void address(volatile u32 *device, u32 at, volatile void *value) { put(device, at, (u32)(u64)value); put(device, at + 4, (u64)value >> 32); }

volatile u32 *mmio_device(u32 kind, u32 features) {
    for (u32 i = 0; i < DEVICES; i++) {
        volatile u32 *device = (u32 *)(u64)(FIRST + i * STEP);
        if (device[0] != MAGIC || device[1] != MODERN || device[KIND] != kind) continue;
        put(device, STATUS, 0); put(device, STATUS, ACKNOWLEDGE); put(device, STATUS, ACKNOWLEDGE_DRIVER);   /* one step at a time */
        put(device, FEATURES_SELECT, 0); put(device, FEATURES, features);
        put(device, FEATURES_SELECT, 1); put(device, FEATURES, 1);   /* version 1 */
        put(device, STATUS, ACKNOWLEDGE_DRIVER | FEATURES_OK);
        return device;
    }
    return 0;
}

void mmio_queue(volatile u32 *device, u32 number, struct mmio_queue *queue) {
    put(device, QUEUE_SELECT, number); put(device, QUEUE_SIZE, MMIO_SIZE);
    address(device, TABLE, queue->table); address(device, AVAIL, queue->avail); address(device, USED, &queue->used);
    put(device, QUEUE_READY, 1);
}

void mmio_begin(volatile u32 *device) { put(device, STATUS, ACKNOWLEDGE_DRIVER | FEATURES_OK | DRIVER_OK); }

void mmio_give(volatile u32 *device, u32 number, struct mmio_queue *queue, u16 descriptor) {
    queue->avail[2 + queue->avail[1] % MMIO_SIZE] = descriptor; __asm__ volatile("" ::: "memory");
    queue->avail[1]++; __asm__ volatile("mfence" ::: "memory");
    put(device, NOTIFY, number);
}
