/* The network device, one frame at a time, and one ARP question to the gateway: proves that the tap, its address and its
 * namespace are there. */
#include "guest.h"

enum { DEVICE = 1, RX = 0, TX = 1, VIRTIO_HEADER = 12, BUFFERS = 12, BUFFER = 8192 };

static struct queue rx_queue, tx_queue;
/* Firecracker wants room for a whole 64 KiB packet before it delivers any. */
static u8 rx[BUFFERS][BUFFER] __attribute__((aligned(64)));
static u8 tx[VIRTIO_HEADER + FRAME_MAX] __attribute__((aligned(64)));
static u64 base;

const u8 own_ip[4] = {192, 168, 241, 2};
static const u8 gateway_ip[4] = {192, 168, 241, 1};

int net_open(const char *cmdline, u8 own[6])
{
    base = virtio_find(cmdline, DEVICE, 0);
    if (!base || !virtio_negotiate(base))
        return 0;
    u32 low = virtio_config(base, 0), high = virtio_config(base, 4);
    memcpy(own, &low, 4);
    memcpy(own + 4, &high, 2);
    virtio_queue(base, RX, &rx_queue);
    virtio_queue(base, TX, &tx_queue);
    virtio_go(base);
    for (u16 i = 0; i < BUFFERS; i++)
        queue_give(base, RX, &rx_queue, i, rx[i], BUFFER, 1);
    return 1;
}

void net_send(const u8 *frame, u32 len)
{
    u32 slot, done;
    memset(tx, 0, VIRTIO_HEADER);
    memcpy(tx + VIRTIO_HEADER, frame, len);
    queue_give(base, TX, &tx_queue, 0, tx, VIRTIO_HEADER + len, 0);
    while (!queue_take(&tx_queue, &slot, &done))
        pause_cpu();
}

int net_receive(void (*got)(const u8 *frame, u32 len), u64 end)
{
    for (u32 slot, len; ticks() < end; pause_cpu()) {
        if (!queue_take(&rx_queue, &slot, &len))
            continue;
        got(rx[slot] + VIRTIO_HEADER, len - VIRTIO_HEADER);
        queue_give(base, RX, &rx_queue, (u16)slot, rx[slot], BUFFER, 1);
        return 1;
    }
    return 0;
}

static const u8 *wanted_ip;
static u8 *answered_mac;
static int answered;

static void look_for_answer(const u8 *frame, u32 len)
{
    if (len < 42 || frame[12] != 8 || frame[13] != 6 || frame[21] != 2)
        return;
    for (int i = 0; i < 4; i++)
        if (frame[28 + i] != wanted_ip[i])
            return;
    memcpy(answered_mac, frame + 22, 6);
    answered = 1;
}

int net_ask(const u8 own[6], const u8 ip[4], u8 mac[6])
{
    static const u8 fixed[] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1}; /* ARP, Ethernet, IPv4, 6, 4, request */
    u8 frame[42];
    memset(frame, 0, sizeof frame);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, own, 6);
    memcpy(frame + 12, fixed, sizeof fixed);
    memcpy(frame + 22, own, 6);
    memcpy(frame + 28, own_ip, 4);
    memcpy(frame + 38, ip, 4);
    wanted_ip = ip;
    answered_mac = mac;
    answered = 0;
    net_send(frame, sizeof frame);
    for (u64 end = ticks() + 4000000000UL; !answered && net_receive(look_for_answer, end);)
        ;
    return answered;
}

int net_ask_gateway(const char *cmdline, u8 mac[6])
{
    u8 own[6];
    return net_open(cmdline, own) && net_ask(own, gateway_ip, mac);
}
