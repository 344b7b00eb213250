/* A virtio-vsock device that listens on one port and keeps one stream; section 5.10 of the virtio 1.2 specification. */
#include "guest.h"

enum { REQUEST = 1, RESPONSE = 2, RST = 3, SHUTDOWN = 4, RW = 5, CREDIT_UPDATE = 6, CREDIT_REQUEST = 7 };
enum { DEVICE = 19, HOST = 2, STREAM = 1, ROOM = 64 * 1024 };
enum { RX, TX, EVENT };

struct header {
    u64 src_cid, dst_cid;
    u32 src_port, dst_port, len;
    u16 type, op;
    u32 flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

static u64 base, cid;
static u32 listening;
static struct queue queues[3];
static u8 rx[8][4096 + sizeof(struct header)] __attribute__((aligned(64)));
static u8 tx[QUEUE_SIZE][sizeof(struct header) + VSOCK_MAX] __attribute__((aligned(64)));
static u8 events[4][16] __attribute__((aligned(64)));

/* The one connection. Counters are the specification's free-running credit counters. */
static struct {
    int open;
    u32 port, received, told, sent, peer_room, peer_taken;
} peer;

/* The one call to the host: it says a line and hangs up. */
static struct {
    u32 port;
    void (*told)(int taken);
} dial;

/* Many calls, of which only the answers are counted: to every port of the host, or to those of another guest. */
static struct {
    u32 next, last, open, refused, taken;
    void (*told)(u32 refused, u32 taken);
} knocks;

static void transmit_to(u64 whom, u32 from, u32 to, u16 op, const char *bytes, u32 len)
{
    static u32 next, in_flight;
    u32 slot = next++ % QUEUE_SIZE, done;
    /* Completions come in order; waiting for each would cost a turn of the VMM's thread, and a spinning processor
     * keeps that from running. */
    while (queue_take(&queues[TX], &done, &done))
        in_flight--;
    while (in_flight == QUEUE_SIZE) {
        in_flight -= (u32)queue_take(&queues[TX], &done, &done);
        pause_cpu();
    }
    in_flight++;
    struct header *h = (struct header *)tx[slot];
    *h = (struct header){.src_cid = cid, .dst_cid = whom, .src_port = from, .dst_port = to, .len = len, .type = STREAM,
                         .op = op, .flags = op == SHUTDOWN ? 3 : 0, .buf_alloc = ROOM, .fwd_cnt = from == listening ? peer.received : 0};
    memcpy(tx[slot] + sizeof *h, bytes, len);
    peer.told = peer.received;
    queue_give(base, TX, &queues[TX], (u16)slot, tx[slot], (u32)sizeof *h + len, 0);
}

static void transmit(u32 from, u32 to, u16 op, const char *bytes, u32 len)
{
    transmit_to(HOST, from, to, op, bytes, len);
}

int vsock_start(const char *cmdline, u32 port)
{
    base = virtio_find(cmdline, DEVICE, 0);
    if (!base || !virtio_negotiate(base))
        return 0;
    cid = virtio_config(base, 0) | (u64)virtio_config(base, 4) << 32;
    listening = port;
    for (u32 i = RX; i <= EVENT; i++)
        virtio_queue(base, i, &queues[i]);
    virtio_go(base);
    for (u16 i = 0; i < 8; i++)
        queue_give(base, RX, &queues[RX], i, rx[i], sizeof rx[i], 1);
    for (u16 i = 0; i < 4; i++)
        queue_give(base, EVENT, &queues[EVENT], i, events[i], sizeof events[i], 1);
    return 1;
}

int vsock_connected(void) { return peer.open; }

int vsock_send(const char *bytes, u32 len)
{
    if (!peer.open || peer.peer_room - (peer.sent - peer.peer_taken) < len)
        return 0;
    transmit(listening, peer.port, RW, bytes, len);
    peer.sent += len;
    return 1;
}

static void accept(const struct header *h)
{
    if (h->dst_port != listening || h->type != STREAM) {
        transmit(h->dst_port, h->src_port, RST, "", 0);
        return;
    }
    if (peer.open) /* the host opens a new one only when it gave the old one up */
        transmit(listening, peer.port, RST, "", 0);
    memset(&peer, 0, sizeof peer);
    peer.open = 1;
    peer.port = h->src_port;
    peer.peer_room = h->buf_alloc;
    peer.peer_taken = h->fwd_cnt;
    transmit(listening, peer.port, RESPONSE, "", 0);
}

enum { DIAL_FROM = 5000 };

void vsock_dial(u32 port, void (*told)(int taken))
{
    dial.port = port;
    dial.told = told;
    transmit(DIAL_FROM, port, REQUEST, "", 0);
}

static void on_dial(const struct header *h)
{
    static const char words[] = "hello from the guest\n";
    if (!dial.told || h->src_port != dial.port || (h->op != RESPONSE && h->op != RST))
        return;
    if (h->op == RESPONSE) {
        transmit(DIAL_FROM, dial.port, RW, words, sizeof words - 1);
        transmit(DIAL_FROM, dial.port, SHUTDOWN, "", 0);
    }
    dial.told(h->op == RESPONSE);
    dial.told = 0;
}

enum { KNOCK_FROM = 6000, KNOCKS = 8 };

static u32 knock_from(u32 port) { return KNOCK_FROM + port % KNOCKS; }

void vsock_knock(u32 ports, void (*told)(u32 refused, u32 taken))
{
    for (u64 whom = HOST + 1; whom < HOST + 4; whom++)
        for (u32 port = 1; whom != cid && port <= ports; port++)
            transmit_to(whom, knock_from(port), port, REQUEST, "", 0);
    memset(&knocks, 0, sizeof knocks);
    knocks.next = 1;
    knocks.last = ports;
    knocks.told = told;
}

/* A few at a time: the VMM keeps no more refusals than it has room for. */
static void knock_on(void)
{
    for (; knocks.next <= knocks.last && knocks.open < KNOCKS; knocks.next++, knocks.open++)
        transmit(knock_from(knocks.next), knocks.next, REQUEST, "", 0);
    if (knocks.told && !knocks.open) {
        knocks.told(knocks.refused, knocks.taken);
        knocks.told = 0;
    }
}

static void on_knock(const struct header *h)
{
    if (h->op != RESPONSE && h->op != RST)
        return;
    if (h->op == RESPONSE)
        transmit_to(h->src_cid, h->dst_port, h->src_port, RST, "", 0);
    /* Nobody but the host is waited for: whoever else answers has been reached. */
    if (h->src_cid == HOST)
        knocks.open -= knocks.open > 0;
    knocks.taken += h->op == RESPONSE || h->src_cid != HOST;
    knocks.refused += h->op == RST && h->src_cid == HOST;
}

static void receive(const struct header *h, void (*opened)(void), void (*got)(const char *, u32))
{
    if (h->op == REQUEST) {
        accept(h);
        if (peer.open && peer.port == h->src_port)
            opened();
        return;
    }
    if (h->dst_port == DIAL_FROM) {
        on_dial(h);
        return;
    }
    if (h->dst_port >= KNOCK_FROM && h->dst_port < KNOCK_FROM + KNOCKS) {
        on_knock(h);
        return;
    }
    if (!peer.open || h->src_port != peer.port || h->dst_port != listening)
        return;
    peer.peer_room = h->buf_alloc;
    peer.peer_taken = h->fwd_cnt;
    switch (h->op) {
    case RW:
        peer.received += h->len;
        got((const char *)(h + 1), h->len);
        if (peer.open && peer.received - peer.told > ROOM / 4)
            transmit(listening, peer.port, CREDIT_UPDATE, "", 0);
        break;
    case CREDIT_REQUEST:
        transmit(listening, peer.port, CREDIT_UPDATE, "", 0);
        break;
    case SHUTDOWN:
        transmit(listening, peer.port, RST, "", 0);
        peer.open = 0;
        break;
    case RST:
        peer.open = 0;
        break;
    }
}

void vsock_poll(void (*opened)(void), void (*got)(const char *bytes, u32 len))
{
    u32 slot, len;
    if (queue_take(&queues[EVENT], &slot, &len)) { /* transport reset: after a snapshot */
        print_generation();
        print("flint-guest: transport reset\n");
        cid = virtio_config(base, 0) | (u64)virtio_config(base, 4) << 32;
        peer.open = 0;
        queue_give(base, EVENT, &queues[EVENT], (u16)slot, events[slot], sizeof events[slot], 1);
    }
    while (queue_take(&queues[RX], &slot, &len)) {
        receive((const struct header *)rx[slot], opened, got);
        queue_give(base, RX, &queues[RX], (u16)slot, rx[slot], sizeof rx[slot], 1);
    }
    knock_on();
}
