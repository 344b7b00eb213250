/* The test guest's way in. A word `flint=<mode>` on the kernel command line, or else at the start of the initramfs,
 * says what it does:
 *   agent     speak Flint's protocol on vsock port 1024 (the default)
 *   busy      the same, but a runner's job does not end by itself
 *   reset     ask for a reset, as Linux's reboot does with reboot=k
 *   fault     triple fault
 *   poweroff  halt, as Linux's poweroff does: the VMM does not end
 *   cad       wait for Ctrl-Alt-Del, then reset */
#include "guest.h"

static const char *mode_in(const char *text, char *word, u32 max)
{
    const char *p = find(text, "flint=");
    u32 n = 0;
    for (; p && *p > ' ' && n + 1 < max; p++)
        word[n++] = *p;
    word[n] = 0;
    return n ? word : 0;
}

static const char *mode(const u8 *zero_page, const char *cmdline)
{
    static char word[32], head[64];
    u32 image = *(const u32 *)(zero_page + 0x218), size = *(const u32 *)(zero_page + 0x21c);
    if (mode_in(cmdline, word, sizeof word))
        return word;
    if (image && size) {
        memcpy(head, (const void *)(u64)image, size < sizeof head ? size : sizeof head - 1);
        if (mode_in(head, word, sizeof word))
            return word;
    }
    return "agent";
}

void guest_main(const u8 *zero_page)
{
    const char *cmdline = (const char *)(u64) * (const u32 *)(zero_page + 0x228);
    map_low_4g();
    const char *m = mode(zero_page, cmdline);
    print("flint-guest: mode ");
    print(m);
    print("\n");
    if (same(m, "reset"))
        reset();
    if (same(m, "fault"))
        triple_fault();
    if (same(m, "poweroff"))
        halt();
    if (same(m, "cad")) {
        while (!ctrl_alt_del_seen())
            pause_cpu();
        print("flint-guest: ctrl-alt-del\n");
        reset();
    }
    agent(cmdline, same(m, "busy"));
}
