/* One ARP question to the gateway: proves that the tap, its address and its namespace are there. */
#include "guest.h"

enum { DEVICE = 1, RX = 0, TX = 1, VIRTIO_HEADER = 12, BUFFERS = 12, BUFFER = 8192 };

static struct queue rx_queue, tx_queue;
/* Firecracker wants room for a whole 64 KiB packet before it delivers any. */
static u8 rx[BUFFERS][BUFFER] __attribute__((aligned(64)));
static u8 tx[64] __attribute__((aligned(64)));

static const u8 own_ip[4] = {192, 168, 241, 2}, gateway_ip[4] = {192, 168, 241, 1};

static u32 write_request(const u8 mac[6])
{
    static const u8 fixed[] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1}; /* ARP, Ethernet, IPv4, 6, 4, request */
    u8 *p = tx;
    memset(tx, 0, sizeof tx);
    p += VIRTIO_HEADER;
    memset(p, 0xff, 6);
    memcpy(p + 6, mac, 6);
    memcpy(p + 12, fixed, sizeof fixed);
    memcpy(p + 22, mac, 6);
    memcpy(p + 28, own_ip, 4);
    memcpy(p + 38, gateway_ip, 4);
    return VIRTIO_HEADER + 42;
}

static int is_answer(const u8 *frame)
{
    return frame[12] == 8 && frame[13] == 6 && frame[21] == 2 && frame[31] == gateway_ip[3];
}

int net_ask_gateway(const char *cmdline, u8 mac[6])
{
    u64 base = virtio_find(cmdline, DEVICE, 0);
    if (!base || !virtio_negotiate(base))
        return 0;
    u32 low = virtio_config(base, 0), high = virtio_config(base, 4);
    u8 own[6];
    memcpy(own, &low, 4);
    memcpy(own + 4, &high, 2);
    virtio_queue(base, RX, &rx_queue);
    virtio_queue(base, TX, &tx_queue);
    virtio_go(base);
    for (u16 i = 0; i < BUFFERS; i++)
        queue_give(base, RX, &rx_queue, i, rx[i], BUFFER, 1);
    queue_give(base, TX, &tx_queue, 0, tx, write_request(own), 0);
    for (u64 end = ticks() + 4000000000UL; ticks() < end; pause_cpu()) {
        u32 slot, len;
        if (!queue_take(&rx_queue, &slot, &len))
            continue;
        const u8 *frame = rx[slot] + VIRTIO_HEADER;
        if (is_answer(frame)) {
            memcpy(mac, frame + 22, 6);
            return 1;
        }
        queue_give(base, RX, &rx_queue, (u16)slot, rx[slot], BUFFER, 1);
    }
    return 0;
}
