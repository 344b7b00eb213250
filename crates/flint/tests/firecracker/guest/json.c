/* Reads one JSON object that is known to be well formed: the host wrote it. */
#include "guest.h"

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++;
    return p;
}

static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p < end ? p + 1 : end;
}

static const char *skip_value(const char *p, const char *end)
{
    u32 depth = 0;
    while (p < end) {
        char c = *p;
        if (c == '"') {
            p = skip_string(p, end);
        } else {
            if (depth == 0 && (c == ',' || c == '}' || c == ']'))
                return p;
            if (c == '{' || c == '[')
                depth++;
            if (c == '}' || c == ']')
                depth--;
            p++;
        }
    }
    return p;
}

static int is_key(const char *p, const char *end, const char *key)
{
    for (p++; p < end && *key && *p == *key; p++)
        key++;
    return p < end && !*key && *p == '"';
}

int json_get(struct slice object, const char *key, struct slice *value)
{
    const char *p = skip_space(object.at, object.end);
    if (p == object.end || *p != '{')
        return 0;
    for (p = skip_space(p + 1, object.end); p < object.end && *p == '"';) {
        int found = is_key(p, object.end, key);
        p = skip_space(skip_string(p, object.end), object.end);
        value->at = skip_space(p + 1, object.end); /* behind the colon */
        value->end = skip_value(value->at, object.end);
        if (found)
            return 1;
        p = value->end;
        if (p < object.end && *p == ',')
            p = skip_space(p + 1, object.end);
    }
    return 0;
}

int json_item(struct slice array, u32 index, struct slice *value)
{
    const char *p = skip_space(array.at, array.end);
    if (p == array.end || *p != '[')
        return 0;
    for (p = skip_space(p + 1, array.end); p < array.end && *p != ']';) {
        value->at = p;
        value->end = skip_value(p, array.end);
        if (index-- == 0)
            return 1;
        p = value->end;
        if (p < array.end && *p == ',')
            p = skip_space(p + 1, array.end);
    }
    return 0;
}

static char hex_pair(const char *p)
{
    int value = 0;
    for (int i = 0; i < 2; i++) {
        char c = p[i];
        value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return (char)value;
}

u32 json_text(struct slice value, char *out, u32 max)
{
    u32 n = 0;
    const char *p = value.at;
    if (p < value.end && *p == '"')
        for (p++; p < value.end && *p != '"' && n + 1 < max; p++) {
            char c = *p;
            if (c == '\\') {
                c = *++p;
                if (c == 'u') { /* only control characters are written so */
                    c = hex_pair(p + 3);
                    p += 4;
                } else {
                    c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
                }
            }
            out[n++] = c;
        }
    out[n] = 0;
    return n;
}

u64 json_number(struct slice value)
{
    u64 n = 0;
    for (const char *p = value.at; p < value.end && *p >= '0' && *p <= '9'; p++)
        n = n * 10 + (u64)(*p - '0');
    return n;
}
