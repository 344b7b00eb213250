/* A client of the VMM's metadata service, which is reached by TCP over the network device: one small request at a time,
 * its answer in one or more segments. What the VMM sends comes in order, so nothing is sent twice here. */
#include "guest.h"

enum { ETHERNET = 14, IP = 20, TCP = 20, HEADERS = ETHERNET + IP + TCP, PORT = 80, PATIENCE = 4 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static const u8 service_ip[4] = {169, 254, 169, 254};
static u8 own_mac[6], service_mac[6];

static struct {
    u16 port;
    u32 sent, taken; /* the next sequence number of either side */
    int open, over;
    char *answer;
    u32 len, room;
} call = {.port = 40000};

static void put16(u8 *p, u32 value)
{
    p[0] = (u8)(value >> 8);
    p[1] = (u8)value;
}

static void put32(u8 *p, u32 value)
{
    put16(p, value >> 16);
    put16(p + 2, value);
}

static u32 get32(const u8 *p) { return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3]; }

static u32 sum(const u8 *p, u32 len, u32 so_far)
{
    for (u32 i = 0; i < len; i++)
        so_far += (u32)p[i] << (i % 2 ? 0 : 8);
    return so_far;
}

static u32 fold(u32 total)
{
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return ~total;
}

static void send(u8 flags, const char *bytes, u32 len)
{
    u8 frame[FRAME_MAX];
    u8 *ip = frame + ETHERNET, *tcp = ip + IP;
    memset(frame, 0, HEADERS);
    memcpy(frame, service_mac, 6);
    memcpy(frame + 6, own_mac, 6);
    put16(frame + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, IP + TCP + len);
    ip[8] = 64;
    ip[9] = 6;
    memcpy(ip + 12, own_ip, 4);
    memcpy(ip + 16, service_ip, 4);
    put16(ip + 10, fold(sum(ip, IP, 0)));
    put16(tcp, call.port);
    put16(tcp + 2, PORT);
    put32(tcp + 4, call.sent);
    put32(tcp + 8, call.taken);
    tcp[12] = TCP / 4 << 4;
    tcp[13] = flags;
    put16(tcp + 14, 8192);
    memcpy(tcp + TCP, bytes, len);
    put16(tcp + 16, fold(sum(tcp, TCP + len, sum(ip + 12, 8, 6 + TCP + len))));
    net_send(frame, HEADERS + len);
    call.sent += len + ((flags & (SYN | FIN)) != 0);
}

/* Whether the answer is whole: its head, and as many bytes as that says. */
static int whole(void)
{
    const char *body = find(call.answer, "\r\n\r\n"), *says = find(call.answer, "Content-Length: ");
    u32 promised = 0;
    for (; says && *says >= '0' && *says <= '9'; says++)
        promised = promised * 10 + (u32)(*says - '0');
    return body && call.len - (u32)(body - call.answer) >= promised;
}

static void segment(const u8 *frame, u32 len)
{
    const u8 *ip = frame + ETHERNET, *tcp = ip + IP;
    if (len < HEADERS || frame[12] != 8 || frame[13] != 0 || ip[9] != 6 || (u32)(tcp[2] << 8 | tcp[3]) != call.port)
        return;
    u32 head = (u32)(tcp[12] >> 4) * 4, bytes = (u32)(ip[2] << 8 | ip[3]) - IP - head;
    if (tcp[13] & RST) {
        call.over = 1;
    } else if ((tcp[13] & (SYN | ACK)) == (SYN | ACK) && !call.open) {
        call.taken = get32(tcp + 4) + 1;
        call.open = 1;
    } else if (bytes && get32(tcp + 4) == call.taken) {
        for (u32 i = 0; i < bytes && call.len + 1 < call.room; i++)
            call.answer[call.len++] = (char)tcp[head + i];
        call.answer[call.len] = 0;
        call.taken += bytes;
        send(ACK, "", 0);
        call.over = whole();
    }
}

static void wait_for(const int *fact)
{
    for (u64 end = ticks() + PATIENCE * 1000000000UL; !*fact && !call.over && net_receive(segment, end);)
        ;
}

int mmds_open(const char *cmdline) { return net_open(cmdline, own_mac) && net_ask(own_mac, service_ip, service_mac); }

int mmds_call(const char *request, char *answer, u32 room)
{
    call.port++;
    call.sent = 1000;
    call.taken = 0;
    call.open = call.over = 0;
    call.answer = answer;
    call.len = 0;
    call.room = room;
    answer[0] = 0;
    send(SYN, "", 0);
    wait_for(&call.open);
    if (!call.open)
        return 0;
    send(PSH | ACK, request, length(request));
    wait_for(&call.over);
    send(FIN | ACK, "", 0);
    return call.len > 0;
}
