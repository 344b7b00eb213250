/* A virtio-blk device, one request at a time; section 5.2 of the virtio 1.2 specification. */
#include "guest.h"

enum { DEVICE = 2, DISKS = 4, IN = 0, OUT = 1, DONE = 0, NONE = 255 };

/* Firecracker does not let a block device be reset: each is set up once. */
static struct {
    u64 base;
    struct queue queue;
} disks[DISKS];
static struct {
    u32 type, reserved;
    u64 sector;
} head;
static u8 status;

static int set_up(const char *cmdline, u32 nth)
{
    if (nth >= DISKS || disks[nth].base)
        return nth < DISKS;
    u64 base = virtio_find(cmdline, DEVICE, nth);
    if (!base || !virtio_negotiate(base))
        return 0;
    virtio_queue(base, 0, &disks[nth].queue);
    virtio_go(base);
    disks[nth].base = base;
    return 1;
}

static int request(const char *cmdline, u32 nth, u32 type, u64 sector, char *bytes)
{
    if (!set_up(cmdline, nth))
        return 0;
    head.type = type;
    head.sector = sector;
    status = NONE;
    struct piece pieces[] = {{&head, sizeof head, 0}, {bytes, SECTOR, type == IN}, {&status, 1, 1}};
    queue_give_chain(disks[nth].base, 0, &disks[nth].queue, pieces, 3);
    u32 slot, len;
    while (!queue_take(&disks[nth].queue, &slot, &len))
        pause_cpu();
    return *(volatile u8 *)&status == DONE;
}

int disk_read(const char *cmdline, u32 nth, u64 sector, char bytes[SECTOR])
{
    return request(cmdline, nth, IN, sector, bytes);
}

int disk_write(const char *cmdline, u32 nth, u64 sector, char bytes[SECTOR])
{
    return request(cmdline, nth, OUT, sector, bytes);
}
