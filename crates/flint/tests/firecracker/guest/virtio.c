/* virtio-mmio version 2 without interrupts; the registers are in section 4.2.2 of the virtio 1.2 specification. */
#include "guest.h"

enum {
    MAGIC = 0x00,
    DEVICE_ID = 0x08,
    DRIVER_FEATURES = 0x20,
    DRIVER_FEATURES_SELECT = 0x24,
    QUEUE_SELECT = 0x30,
    QUEUE_LENGTH = 0x38,
    QUEUE_READY = 0x44,
    QUEUE_NOTIFY = 0x50,
    STATUS = 0x70,
    QUEUE_DESCRIPTORS = 0x80,
    QUEUE_AVAILABLE = 0x90,
    QUEUE_USED = 0xa0,
    CONFIG = 0x100,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };

static u32 get(u64 address)
{
    u32 value;
    __asm__ volatile("movl (%1),%0" : "=r"(value) : "r"(address) : "memory");
    return value;
}

static void set(u64 address, u32 value) { __asm__ volatile("movl %0,(%1)" ::"r"(value), "r"(address) : "memory"); }

static void set_address(u64 address, void *value)
{
    set(address, (u32)(u64)value);
    set(address + 4, (u32)((u64)value >> 32));
}

/* The VMM appends `virtio_mmio.device=4K@0xc0001000:5` for each device. */
u64 virtio_find(const char *cmdline, u32 device, u32 nth)
{
    while ((cmdline = find(cmdline, "virtio_mmio.device="))) {
        const char *p = find(cmdline, "@0x");
        u64 base = 0;
        for (; p && ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f')); p++)
            base = base * 16 + (u64)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
        if (base && get(base + MAGIC) == 0x74726976 && get(base + DEVICE_ID) == device && nth-- == 0)
            return base;
    }
    return 0;
}

/* Takes VIRTIO_F_VERSION_1 (bit 32) and no other feature. */
int virtio_negotiate(u64 base)
{
    set(base + STATUS, 0);
    set(base + STATUS, ACKNOWLEDGE);
    set(base + STATUS, ACKNOWLEDGE | DRIVER);
    set(base + DRIVER_FEATURES_SELECT, 0);
    set(base + DRIVER_FEATURES, 0);
    set(base + DRIVER_FEATURES_SELECT, 1);
    set(base + DRIVER_FEATURES, 1);
    set(base + STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    return (get(base + STATUS) & FEATURES_OK) != 0;
}

void virtio_queue(u64 base, u32 number, struct queue *q)
{
    memset(q, 0, sizeof *q);
    q->available.flags = 1; /* no interrupts, please */
    set(base + QUEUE_SELECT, number);
    set(base + QUEUE_LENGTH, QUEUE_SIZE);
    set_address(base + QUEUE_DESCRIPTORS, q->descriptors);
    set_address(base + QUEUE_AVAILABLE, &q->available);
    set_address(base + QUEUE_USED, &q->used);
    set(base + QUEUE_READY, 1);
}

void virtio_go(u64 base) { set(base + STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK); }

u32 virtio_config(u64 base, u32 offset) { return get(base + CONFIG + offset); }

enum { NEXT = 1, WRITE = 2 }; /* flags of a descriptor */

static void offer(u64 base, u32 number, struct queue *q, u16 head)
{
    q->available.ring[q->available.index % QUEUE_SIZE] = head;
    __asm__ volatile("mfence" ::: "memory");
    q->available.index++;
    __asm__ volatile("mfence" ::: "memory");
    set(base + QUEUE_NOTIFY, number);
}

void queue_give_chain(u64 base, u32 number, struct queue *q, const struct piece *pieces, u16 count)
{
    for (u16 i = 0; i < count; i++) {
        q->descriptors[i].address = (u64)pieces[i].at;
        q->descriptors[i].len = pieces[i].len;
        q->descriptors[i].flags = (pieces[i].device_writes ? WRITE : 0) | (i + 1 < count ? NEXT : 0);
        q->descriptors[i].next = (u16)(i + 1);
    }
    offer(base, number, q, 0);
}

void queue_give(u64 base, u32 number, struct queue *q, u16 slot, void *buffer, u32 len, int device_writes)
{
    q->descriptors[slot].address = (u64)buffer;
    q->descriptors[slot].len = len;
    q->descriptors[slot].flags = device_writes ? WRITE : 0;
    offer(base, number, q, slot);
}

int queue_take(struct queue *q, u32 *slot, u32 *len)
{
    volatile u16 *index = &q->used.index;
    if (*index == q->seen)
        return 0;
    *slot = q->used.ring[q->seen % QUEUE_SIZE].id;
    *len = q->used.ring[q->seen % QUEUE_SIZE].len;
    q->seen++;
    return 1;
}
