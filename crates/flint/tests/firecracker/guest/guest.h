/* What the parts of the test guest share. The guest runs one vCPU, polls, and never takes an interrupt. */
#ifndef GUEST_H
#define GUEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* ---- machine.c: the processor, the ports, the console ---- */
void port_write(u16 port, u8 value);
u8 port_read(u16 port);
u64 ticks(void); /* the time stamp counter; at least a billion each second on any host this runs on */
void pause_cpu(void);
void map_low_4g(void);
__attribute__((noreturn)) void reset(void); /* through the i8042, as Linux does with reboot=k */
__attribute__((noreturn)) void halt(void);  /* what Linux's poweroff comes to without power management */
__attribute__((noreturn)) void triple_fault(void);
int ctrl_alt_del_seen(void);
void print(const char *text);
void print_bytes(const char *text, u32 len);
void print_number(u64 number);

void *memcpy(void *to, const void *from, u64 len);
void *memset(void *to, int byte, u64 len);
u32 length(const char *text);
int same(const char *a, const char *b);
const char *find(const char *text, const char *what); /* behind the first `what`, or 0 */

/* A text that is being put together; what does not fit is left out. */
struct text {
    u32 len;
    char bytes[1024];
};
void add(struct text *t, const char *s);
void add_bytes(struct text *t, const char *s, u32 len); /* escaped for JSON */
void add_number(struct text *t, u64 number);
void add_hex(struct text *t, u64 number, int digits);

/* ---- json.c: just enough to read one flat object ---- */
struct slice {
    const char *at, *end;
};
int json_get(struct slice object, const char *key, struct slice *value);
int json_item(struct slice array, u32 index, struct slice *value);
u32 json_text(struct slice value, char *out, u32 max); /* decoded, with a zero behind; returns its length */
u64 json_number(struct slice value);

/* ---- virtio.c: virtio-mmio devices named on the command line, split queues, polled ---- */
#define QUEUE_SIZE 16
struct queue {
    struct {
        u64 address;
        u32 len;
        u16 flags, next;
    } descriptors[QUEUE_SIZE];
    struct {
        u16 flags, index, ring[QUEUE_SIZE], event;
    } available;
    u16 gap; /* the used ring is aligned to 4 */
    struct {
        u16 flags, index;
        struct {
            u32 id, len;
        } ring[QUEUE_SIZE];
        u16 event;
    } used __attribute__((aligned(4)));
    u16 seen;
} __attribute__((aligned(64)));
u64 virtio_find(const char *cmdline, u32 device, u32 nth);
int virtio_negotiate(u64 base);
void virtio_queue(u64 base, u32 number, struct queue *q);
void virtio_go(u64 base);
u32 virtio_config(u64 base, u32 offset);
void queue_give(u64 base, u32 number, struct queue *q, u16 slot, void *buffer, u32 len, int device_writes);
struct piece {
    void *at;
    u32 len;
    int device_writes;
};
void queue_give_chain(u64 base, u32 number, struct queue *q, const struct piece *pieces, u16 count);
int queue_take(struct queue *q, u32 *slot, u32 *len);

/* ---- generation.c ---- */
void print_generation(void); /* the id of this clone, in hex */

/* ---- vsock.c: one port, one connection at a time ---- */
enum { VSOCK_MAX = 8192 }; /* bytes in one packet */
int vsock_start(const char *cmdline, u32 port);
void vsock_poll(void (*opened)(void), void (*got)(const char *bytes, u32 len));
int vsock_connected(void);
int vsock_send(const char *bytes, u32 len); /* 0: no connection or no credit now */
void vsock_dial(u32 port, void (*told)(int taken)); /* to the host, while it is polled; a second connection beside the one */

/* Calls ports 1 to `ports` of the next three guests and then of the host, while it is polled; `told` counts the answers. */
void vsock_knock(u32 ports, void (*told)(u32 refused, u32 taken));

/* ---- net.c ---- */
enum { FRAME_MAX = 1514 };
extern const u8 own_ip[4];
int net_open(const char *cmdline, u8 own[6]); /* 0: no device */
void net_send(const u8 *frame, u32 len);
int net_receive(void (*got)(const u8 *frame, u32 len), u64 end); /* one frame; 0: none before `end` on the counter */
int net_ask(const u8 own[6], const u8 ip[4], u8 mac[6]);         /* one ARP request; 0: nobody answered */
int net_ask_gateway(const char *cmdline, u8 mac[6]);             /* opens, and asks the gateway */

/* ---- mmds.c: the VMM's metadata service ---- */
int mmds_open(const char *cmdline); /* 0: nobody answers at its address */
int mmds_call(const char *request, char *answer, u32 room); /* 0: no answer; else with a zero behind */

/* ---- blk.c: whole sectors of the nth disk ---- */
enum { SECTOR = 512 };
int disk_read(const char *cmdline, u32 nth, u64 sector, char bytes[SECTOR]);
int disk_write(const char *cmdline, u32 nth, u64 sector, char bytes[SECTOR]);

/* ---- agent.c: Flint's wire protocol ---- */
__attribute__((noreturn)) void agent(const char *cmdline, int stay_busy);

#endif
