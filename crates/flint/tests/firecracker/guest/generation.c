/* The generation id: 16 bytes that the VMM writes anew for each clone. Where they lie is said in the ACPI tables. */
#include "guest.h"

/* What the VMM keeps below the BIOS's area: its tables, and the id itself. */
enum { TABLES = 0x9fc00, TABLES_END = 0x100000 };

static const u8 *find_bytes(const u8 *from, const char *what)
{
    u32 len = length(what);
    for (; from && from + len <= (const u8 *)(u64)TABLES_END; from++) {
        u32 n = 0;
        while (n < len && from[n] == (u8)what[n])
            n++;
        if (n == len)
            return from + len;
    }
    return 0;
}

/* An AML integer: zero, one, or a prefix with 1, 2 or 4 bytes. */
static const u8 *integer(const u8 *at, u64 *value)
{
    u32 bytes = *at == 0x0c ? 4 : *at == 0x0b ? 2 : *at == 0x0a ? 1 : 0;
    *value = bytes ? 0 : *at;
    for (u32 n = 0; n < bytes; n++)
        *value |= (u64)at[1 + n] << (8 * n);
    return at + 1 + bytes;
}

/* Name (ADDR, Package (2) { low, high }), behind the device's own name. */
static const u64 *generation(void)
{
    const u8 *at = find_bytes(find_bytes((const u8 *)(u64)TABLES, "VM_Gen_Counter"), "ADDR");
    u64 low, high;
    if (!at || at[0] != 0x12)
        return 0;
    at = integer(at + 3, &low); /* the package's mark, its length, its count */
    integer(at, &high);
    return (const u64 *)(high << 32 | low);
}

void print_generation(void)
{
    const u64 *id = generation();
    struct text t = {0};
    add(&t, "flint-guest: generation ");
    if (id) {
        add_hex(&t, id[1], 16);
        add_hex(&t, id[0], 16);
    }
    add(&t, "\n");
    print_bytes(t.bytes, t.len);
}
