/* The processor, the ports, the serial console, and texts. */
#include "guest.h"

void port_write(u16 port, u8 value) { __asm__ volatile("outb %0,%1" ::"a"(value), "Nd"(port)); }

u8 port_read(u16 port)
{
    u8 value;
    __asm__ volatile("inb %1,%0" : "=a"(value) : "Nd"(port));
    return value;
}

u64 ticks(void)
{
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

void pause_cpu(void) { __asm__ volatile("pause" ::: "memory"); }

/* The devices' windows lie at 3 GiB, beyond what the VMM mapped. */
static u64 level4[512] __attribute__((aligned(4096)));
static u64 level3[512] __attribute__((aligned(4096)));
static u64 level2[4][512] __attribute__((aligned(4096)));

void map_low_4g(void)
{
    enum { PRESENT_WRITABLE = 3, LARGE = 0x80 };
    for (u64 gib = 0; gib < 4; gib++) {
        for (u64 i = 0; i < 512; i++)
            level2[gib][i] = (gib << 30 | i << 21) | PRESENT_WRITABLE | LARGE;
        level3[gib] = (u64)level2[gib] | PRESENT_WRITABLE;
    }
    level4[0] = (u64)level3 | PRESENT_WRITABLE;
    __asm__ volatile("movq %0,%%cr3" ::"r"((u64)level4) : "memory");
}

enum { SERIAL = 0x3f8, KEYBOARD_DATA = 0x60, KEYBOARD = 0x64 };

void reset(void)
{
    port_write(KEYBOARD, 0xfe);
    halt();
}

void halt(void)
{
    for (;;)
        __asm__ volatile("hlt");
}

int ctrl_alt_del_seen(void)
{
    static u8 before, last;
    while (port_read(KEYBOARD) & 1) {
        before = last;
        last = port_read(KEYBOARD_DATA);
        if (before == 0xe0 && last == 0x71) /* Delete, the last of the three */
            return 1;
    }
    return 0;
}

void print_bytes(const char *text, u32 len)
{
    while (len--)
        port_write(SERIAL, (u8)*text++);
}

void print(const char *text) { print_bytes(text, length(text)); }

void print_number(u64 number)
{
    struct text t = {0};
    add_number(&t, number);
    print_bytes(t.bytes, t.len);
}

void *memcpy(void *to, const void *from, u64 len)
{
    u8 *a = to;
    const u8 *b = from;
    while (len--)
        *a++ = *b++;
    return to;
}

void *memset(void *to, int byte, u64 len)
{
    u8 *a = to;
    while (len--)
        *a++ = (u8)byte;
    return to;
}

u32 length(const char *text)
{
    u32 n = 0;
    while (text[n])
        n++;
    return n;
}

int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

const char *find(const char *text, const char *what)
{
    for (; *text; text++) {
        const char *a = text, *b = what;
        while (*b && *a == *b)
            a++, b++;
        if (!*b)
            return a;
    }
    return 0;
}

static void add_byte(struct text *t, char c)
{
    if (t->len < sizeof t->bytes)
        t->bytes[t->len++] = c;
}

void add(struct text *t, const char *s)
{
    while (*s)
        add_byte(t, *s++);
}

void add_bytes(struct text *t, const char *s, u32 len)
{
    for (; len--; s++) {
        if (*s == '"' || *s == '\\')
            add_byte(t, '\\');
        add_byte(t, (u8)*s < ' ' ? ' ' : *s);
    }
}

void add_number(struct text *t, u64 number)
{
    char digits[20];
    u32 n = 0;
    do
        digits[n++] = (char)('0' + number % 10);
    while (number /= 10);
    while (n)
        add_byte(t, digits[--n]);
}

void add_hex(struct text *t, u64 number, int digits)
{
    while (digits--)
        add_byte(t, "0123456789abcdef"[number >> (4 * digits) & 15]);
}
