/* Flint's wire protocol (crates/wire), spoken by a guest that pretends to run what it is told to.
 *
 * Work it knows: a runner (listens, starts a job, logs, ends it), and the commands
 *   exit N      ends with N                     hold        runs until `stop`
 *   net         asks the gateway's MAC by ARP   touch MIB   writes to that much memory, then holds
 *   disks       reads the first sector of each disk, writes what it read from the first into the second
 *   mmds        asks the metadata service for /job, without a token and with one
 *   dial PORT   connects to that port of the host and says a line
 *   knock N     calls ports 1 to N of other guests and of the host, and counts who answers
 *   flood N     N log lines, as the host takes them  fault, halt, reset: ends the machine so, without a word */
#include "guest.h"

enum { PORT = 1024, PROTOCOL = 1, LINE_MAX = 64 * 1024, KEPT = 64 };

static const char *command_line;
static int busy_for_ever; /* a runner that does not end its job by itself */
static int greeted, configured, working, leaving;
static u64 flood_next, flood_end;

/* What was said and not yet acknowledged, oldest first; said again after a new hello. */
static struct {
    struct {
        u64 seq;
        struct text line;
    } said[KEPT];
    u32 count, sent;
    u64 next_seq;
} kept = {.next_seq = 1};

static char line[LINE_MAX];
static u32 line_len;
static int line_too_long;

static void forget(u32 n)
{
    for (u32 i = n; i < kept.count; i++)
        kept.said[i - n] = kept.said[i];
    kept.count -= n;
    kept.sent = kept.sent > n ? kept.sent - n : 0;
}

static struct text *begin(const char *say)
{
    if (kept.count == KEPT)
        forget(1);
    struct text *t = &kept.said[kept.count].line;
    kept.said[kept.count].seq = kept.next_seq;
    t->len = 0;
    add(t, "{\"seq\":");
    add_number(t, kept.next_seq++);
    add(t, ",\"say\":\"");
    add(t, say);
    add(t, "\"");
    return t;
}

static void end(struct text *t)
{
    add(t, "}\n");
    kept.count++;
}

static void say(const char *what) { end(begin(what)); }

static struct text *begin_log(const char *stream)
{
    struct text *t = begin("log");
    add(t, ",\"stream\":\"");
    add(t, stream);
    add(t, "\",\"text\":\"");
    return t;
}

static void end_log(struct text *t)
{
    add(t, "\"");
    end(t);
}

static void log_line(const char *stream, const char *text)
{
    struct text *t = begin_log(stream);
    add(t, text);
    end_log(t);
}

/* As many lines as fit go in one packet. */
static void flush(void)
{
    static char packet[VSOCK_MAX];
    while (greeted && kept.sent < kept.count) {
        u32 lines = kept.sent, len = 0;
        for (; lines < kept.count && len + kept.said[lines].line.len <= VSOCK_MAX; lines++) {
            memcpy(packet + len, kept.said[lines].line.bytes, kept.said[lines].line.len);
            len += kept.said[lines].line.len;
        }
        if (!vsock_send(packet, len))
            return;
        kept.sent = lines;
    }
}

static void exited(u64 code)
{
    struct text *t = begin("exited");
    add(t, ",\"code\":");
    add_number(t, code);
    end(t);
    say("bye");
    working = 0;
    leaving = 1;
}

static void on_hello(struct slice message)
{
    static char nonce[256];
    struct slice value;
    struct text hello = {0};
    u32 len = json_get(message, "nonce", &value) ? json_text(value, nonce, sizeof nonce) : 0;
    add(&hello, "{\"seq\":0,\"say\":\"hello\",\"protocol\":");
    add_number(&hello, PROTOCOL);
    add(&hello, ",\"nonce\":\"");
    add_bytes(&hello, nonce, len);
    add(&hello, "\",\"agent\":\"test-guest\",\"boot_id\":\"");
    static u64 boot;
    boot = boot ? boot : ticks();
    add_hex(&hello, boot, 16);
    add(&hello, "\",\"kernel\":\"none\",\"configured\":");
    add(&hello, configured ? "true}\n" : "false}\n");
    greeted = vsock_send(hello.bytes, hello.len);
    kept.sent = 0;
}

static void on_configure(struct slice message)
{
    static char name[128], address[64];
    struct slice value, field;
    name[0] = address[0] = 0;
    if (json_get(message, "hostname", &value))
        json_text(value, name, sizeof name);
    if (json_get(message, "network", &value) && json_get(value, "address", &field))
        json_text(field, address, sizeof address);
    struct text *t = begin_log("agent");
    add(t, "configured ");
    add_bytes(t, name, length(name));
    add(t, " ");
    add_bytes(t, address, length(address));
    end_log(t);
    t = begin("ready");
    add(t, ",\"kernel_ms\":0,\"agent_ms\":0");
    end(t);
    configured = 1;
}

/* FNV-1a: shows that the secret arrived whole, and shows nothing of it. */
static u64 fingerprint(const char *bytes, u32 len)
{
    u64 hash = 0xcbf29ce484222325;
    while (len--)
        hash = (hash ^ (u8)*bytes++) * 0x100000001b3;
    return hash;
}

static void run_runner(struct slice message)
{
    static char secret[LINE_MAX];
    struct slice value;
    u32 len = json_get(message, "jit_config", &value) ? json_text(value, secret, sizeof secret) : 0;
    struct text *t = begin_log("agent");
    add(t, "secret of ");
    add_number(t, len);
    add(t, " bytes, fingerprint ");
    add_hex(t, fingerprint(secret, len), 16);
    end_log(t);
    memset(secret, 0, len);
    say("listening");
    say("job_started");
    log_line("out", "hello from the job");
    if (busy_for_ever)
        return;
    say("job_done");
    exited(0);
}

static u64 number_of(const char *text)
{
    u64 n = 0;
    while (*text >= '0' && *text <= '9')
        n = n * 10 + (u64)(*text++ - '0');
    return n;
}

static void ask_gateway(void)
{
    u8 mac[6];
    if (!net_ask_gateway(command_line, mac)) {
        log_line("err", "the gateway does not answer");
        exited(1);
        return;
    }
    struct text *t = begin_log("out");
    add(t, "gateway ");
    for (int i = 0; i < 6; i++) {
        add(t, i ? ":" : "");
        add_hex(t, mac[i], 2);
    }
    end_log(t);
    exited(0);
}

/* The text at the start of a disk, for the log. */
static u32 text_in(const char sector[SECTOR])
{
    u32 n = 0;
    while (n < 64 && sector[n] >= ' ' && sector[n] < 127)
        n++;
    return n;
}

static void use_disks(void)
{
    static char sector[SECTOR], first[SECTOR];
    for (u32 i = 0; disk_read(command_line, i, 0, sector); i++) {
        struct text *t = begin_log("out");
        add(t, "disk ");
        add_number(t, i);
        add(t, ": ");
        add_bytes(t, sector, text_in(sector));
        end_log(t);
        if (i == 0)
            memcpy(first, sector, SECTOR);
    }
    log_line("out", disk_write(command_line, 0, 0, first) ? "disk 0 is writable" : "disk 0 is read only");
    log_line("out", disk_write(command_line, 1, 0, first) ? "disk 1 is writable" : "disk 1 is read only");
    exited(0);
}

static void touch(u64 mib)
{
    volatile u8 *memory = (volatile u8 *)(32UL << 20);
    for (u64 at = 0; at < mib << 20; at += 4096)
        memory[at] = 1;
    log_line("out", "touched");
}

/* One line more whenever the host has made room. */
static void flood_on(void)
{
    while (flood_next < flood_end && kept.count < KEPT / 2) {
        struct text *t = begin_log("out");
        add(t, "line ");
        add_number(t, flood_next++);
        end_log(t);
        if (flood_next == flood_end)
            exited(0);
    }
}

static void log_call(const char *what, const char *request)
{
    static char answer[2048];
    if (!mmds_call(request, answer, sizeof answer))
        answer[0] = 0;
    const char *body = find(answer, "\r\n\r\n");
    struct text *t = begin_log("out");
    add(t, what);
    add_bytes(t, answer, length(answer) < 12 ? length(answer) : 12); /* HTTP/1.1 200 */
    add(t, " ");
    add_bytes(t, body ? body : "", body ? length(body) : 0);
    end_log(t);
}

static void ask_mmds(void)
{
    static char token[64], request[256];
    static const char ask[] = "GET /job HTTP/1.1\r\nAccept: application/json\r\n";
    if (!mmds_open(command_line)) {
        log_line("err", "nobody answers at the service's address");
        exited(1);
        return;
    }
    log_call("without a token: ", "GET /job HTTP/1.1\r\n\r\n");
    static char answer[1024];
    mmds_call("PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 60\r\n\r\n", answer, sizeof answer);
    const char *body = find(answer, "\r\n\r\n");
    u32 len = body ? length(body) : 0;
    memcpy(token, body, len < sizeof token ? len : 0);
    u32 at = length(ask);
    memcpy(request, ask, at);
    memcpy(request + at, "X-metadata-token: ", 18);
    memcpy(request + at + 18, token, length(token));
    memcpy(request + at + 18 + length(token), "\r\n\r\n", 5);
    log_call("with a token: ", request);
    exited(0);
}

static void on_dialled(int taken)
{
    log_line("out", taken ? "the host took the call" : "the host refused the call");
    exited(taken ? 0 : 1);
}

static void on_knocked(u32 refused, u32 taken)
{
    struct text *t = begin_log("out");
    add_number(t, refused);
    add(t, " refused, ");
    add_number(t, taken);
    add(t, " taken");
    end_log(t);
    exited(0);
}

static void run_command(struct slice argv)
{
    static char word[64], number[64];
    struct slice value;
    word[0] = number[0] = 0;
    if (json_item(argv, 0, &value))
        json_text(value, word, sizeof word);
    if (json_item(argv, 1, &value))
        json_text(value, number, sizeof number);
    if (same(word, "exit"))
        exited(number_of(number));
    else if (same(word, "net"))
        ask_gateway();
    else if (same(word, "disks"))
        use_disks();
    else if (same(word, "touch"))
        touch(number_of(number));
    else if (same(word, "mmds"))
        ask_mmds();
    else if (same(word, "dial"))
        vsock_dial((u32)number_of(number), on_dialled);
    else if (same(word, "knock"))
        vsock_knock((u32)number_of(number), on_knocked);
    else if (same(word, "flood"))
        flood_end = number_of(number);
    else if (same(word, "fault"))
        triple_fault();
    else if (same(word, "halt"))
        halt();
    else if (same(word, "reset"))
        reset();
    else if (!same(word, "hold"))
        exited(127);
}

static void on_work(struct slice message)
{
    static char kind[32];
    struct slice value;
    kind[0] = 0;
    if (json_get(message, "kind", &value))
        json_text(value, kind, sizeof kind);
    working = 1;
    if (same(kind, "runner"))
        run_runner(message);
    else if (same(kind, "command") && json_get(message, "argv", &value))
        run_command(value);
    else
        exited(127);
}

static void on_ack(struct slice message)
{
    struct slice value;
    u64 seq = json_get(message, "seq", &value) ? json_number(value) : 0;
    u32 n = 0;
    while (n < kept.count && kept.said[n].seq <= seq)
        n++;
    forget(n);
}

static void on_line(void)
{
    static char what[32];
    struct slice message = {line, line + line_len}, value;
    if (!json_get(message, "say", &value))
        return;
    json_text(value, what, sizeof what);
    if (same(what, "hello"))
        on_hello(message);
    if (!greeted)
        return;
    if (same(what, "configure") && !configured)
        on_configure(message);
    else if (same(what, "work") && !working && !leaving)
        on_work(message);
    else if (same(what, "ack"))
        on_ack(message);
    else if (same(what, "stop") && !leaving)
        exited(143); /* as if SIGTERM had ended it */
}

static void on_opened(void)
{
    greeted = 0;
    line_len = 0;
    line_too_long = 0;
    kept.sent = 0;
}

static void on_bytes(const char *bytes, u32 len)
{
    for (; len--; bytes++) {
        if (*bytes == '\n') {
            if (!line_too_long)
                on_line();
            memset(line, 0, line_len); /* it may have held the secret */
            line_len = 0;
            line_too_long = 0;
        } else if (line_len < LINE_MAX) {
            line[line_len++] = *bytes;
        } else {
            line_too_long = 1;
        }
    }
}

void agent(const char *cmdline, int stay_busy)
{
    command_line = cmdline;
    busy_for_ever = stay_busy;
    if (!vsock_start(cmdline, PORT)) {
        print("flint-guest: no vsock device\n");
        reset();
    }
    print("flint-guest: listening\n");
    u64 deadline = 0;
    for (u32 round = 0;; round++) {
        vsock_poll(on_opened, on_bytes);
        flood_on();
        flush();
        if (leaving && !deadline)
            deadline = ticks() + 10000000000UL;
        if (leaving && (kept.count == 0 || ticks() > deadline)) {
            print("flint-guest: bye\n");
            reset();
        }
        if (round % 65536 == 0 && ctrl_alt_del_seen()) { /* each look costs an exit to the VMM */
            print("flint-guest: ctrl-alt-del\n");
            reset();
        }
        pause_cpu();
    }
}
