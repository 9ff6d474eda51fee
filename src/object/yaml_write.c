/* Tree to YAML: block style as kubectl prints it, lists not indented below their name. */
#include "object/yaml.h"
#include "object/json_scan.h"
#include "object/yaml_scalar.h"

enum style { STYLE_PLAIN, STYLE_SINGLE, STYLE_DOUBLE, STYLE_LITERAL };

static void write_value(struct buf *to, const struct value *v, unsigned indent, bool after_name);

static void new_line(struct buf *to, unsigned indent)
{
    if (to->n)
        buf_add_char(to, '\n');
    buf_add_repeat(to, ' ', indent);
}

/* Only characters that every YAML parser prints as they are; *ret_lines: there are line breaks. */
static bool is_printable(struct str s, bool *ret_lines)
{
    const char *end = s.p + s.n;
    *ret_lines = false;
    for (const char *p = s.p; p < end;) {
        unsigned char c = (unsigned char)*p;
        size_t length = json_utf8_length(p, end);
        if (c == '\n')
            *ret_lines = true;
        else if (length == 0 || c < 0x20 || c == 0x7f)
            return false;
        /* C1 controls, line separators, byte order mark, U+FFFE, U+FFFF */
        if ((c == 0xc2 && (unsigned char)p[1] < 0xa0) ||
            (c == 0xe2 && (unsigned char)p[1] == 0x80 && ((unsigned char)p[2] & 0xfe) == 0xa8) ||
            (c == 0xef && ((unsigned char)p[1] == 0xbb || (unsigned char)p[1] == 0xbf)))
            return false;
        p += length;
    }
    return true;
}

static bool fits_literal(struct str s)
{
    if (*s.p == ' ' || *s.p == '\n' || *s.p == '\t')
        return false;
    for (size_t i = 0; i + 1 < s.n; i++)
        if (s.p[i] == ' ' && s.p[i + 1] == '\n')
            return false;
    return s.p[s.n - 1] != ' ';
}

static bool fits_plain(struct str s)
{
    if (strchr("-?:,[]{}#&*!|>'\"%@` ", *s.p)) {
        bool dash = (*s.p == '-' || *s.p == '?' || *s.p == ':') && s.n > 1 && s.p[1] != ' ' && !strchr(",[]{}", s.p[1]);
        if (!dash)
            return false;
    }
    if (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == ':' || str_starts(s, STR("---")) || str_starts(s, STR("...")))
        return false;
    return !str_contains(s, STR(": ")) && !str_contains(s, STR(" #"));
}

static enum style style_of(struct str s, bool as_name)
{
    bool lines;
    if (s.n == 0 || !is_printable(s, &lines))
        return STYLE_DOUBLE;
    if (lines)
        return !as_name && fits_literal(s) ? STYLE_LITERAL : STYLE_DOUBLE;
    if (yaml_is_ambiguous(s))
        return STYLE_DOUBLE;
    return fits_plain(s) ? STYLE_PLAIN : STYLE_SINGLE;
}

static void write_double(struct buf *to, struct str s)
{
    const char *p = s.p, *end = s.p + s.n;
    buf_add_char(to, '"');
    while (p < end) {
        size_t length = json_utf8_length(p, end);
        bool lines, printable = length > 0 && is_printable((struct str){ p, length }, &lines) && *p != '\n';
        if (*p == '"' || *p == '\\') {
            buf_addf(to, "\\%c", *p);
        } else if (printable) {
            buf_add_bytes(to, p, length);
        } else if (*p == '\n') {
            buf_add_text(to, "\\n");
        } else if (*p == '\t') {
            buf_add_text(to, "\\t");
        } else if (length == 0) {
            buf_add_text(to, "\\uFFFD");
        } else if (length == 1) {
            buf_addf(to, "\\x%02X", (unsigned char)*p);
        } else if (length == 2) {
            buf_addf(to, "\\u%04X", ((unsigned char)p[0] & 0x1fu) << 6 | ((unsigned char)p[1] & 0x3fu));
        } else {
            buf_addf(to, "\\u%04X",
                     ((unsigned char)p[0] & 0xfu) << 12 | ((unsigned char)p[1] & 0x3fu) << 6 |
                         ((unsigned char)p[2] & 0x3fu));
        }
        p += MAX(length, 1);
    }
    buf_add_char(to, '"');
}

static void write_single(struct buf *to, struct str s)
{
    buf_add_char(to, '\'');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\'')
            buf_add_char(to, '\'');
        buf_add_char(to, s.p[i]);
    }
    buf_add_char(to, '\'');
}

/* "|" keeps one line break at the end, "|-" none, "|+" all. */
static void write_literal(struct buf *to, struct str s, unsigned indent)
{
    bool ends = str_ends(s, STR("\n"));
    buf_add_text(to, !ends ? "|-" : str_ends(s, STR("\n\n")) ? "|+" : "|");
    struct str body = ends ? str_part(s, 0, s.n - 1) : s;
    for (;;) {
        struct str line;
        bool more = str_cut(&body, '\n', &line);
        if (line.n)
            new_line(to, indent);
        else
            buf_add_char(to, '\n');
        buf_add(to, line);
        if (!more)
            break;
    }
}

static void write_string(struct buf *to, struct str s, unsigned indent, bool as_name)
{
    switch (style_of(s, as_name)) {
    case STYLE_PLAIN:
        buf_add(to, s);
        break;
    case STYLE_SINGLE:
        write_single(to, s);
        break;
    case STYLE_DOUBLE:
        write_double(to, s);
        break;
    case STYLE_LITERAL:
        write_literal(to, s, indent);
        break;
    }
}

static void write_sequence(struct buf *to, const struct value *v, unsigned indent, bool fresh)
{
    for (uint32_t i = 0; i < v->items_count && !to->full; i++) {
        if (i || !fresh)
            new_line(to, indent);
        buf_add_text(to, "- ");
        write_value(to, v->items[i], indent + 2, false);
    }
}

static void write_mapping(struct buf *to, const struct value *v, unsigned indent, bool fresh)
{
    for (uint32_t i = 0; i < v->members_count && !to->full; i++) {
        const struct member *m = &v->members[i];
        if (i || !fresh)
            new_line(to, indent);
        if (m->name.n >
            128) /* a simple key must be short (YAML 1.2, 7.4.2: 1024 characters, escaped ones count more) */
            buf_add_text(to, "? ");
        write_string(to, m->name, indent + 2, true);
        if (m->name.n > 128)
            new_line(to, indent);
        buf_add_char(to, ':');
        write_value(to, m->value, indent, true);
    }
}

/*
 * `indent`: where the lines of a mapping in this place begin. After a name, containers begin on the next line: mappings two
 * further in, lists at the name's own indent. After "- " they begin on the same line.
 */
static void write_value(struct buf *to, const struct value *v, unsigned indent, bool after_name)
{
    enum value_type type = value_type(v);
    if (type == VALUE_ARRAY && v->items_count) {
        write_sequence(to, v, indent, !after_name);
        return;
    }
    if (type == VALUE_OBJECT && v->members_count) {
        write_mapping(to, v, after_name ? indent + 2 : indent, !after_name);
        return;
    }
    if (after_name)
        buf_add_char(to, ' ');
    if (type == VALUE_STRING)
        write_string(to, v->string, after_name ? indent + 2 : MAX(indent, 2), false);
    else
        value_write(to, v); /* null, bools, numbers, [] and {} are written as in JSON */
}

void yaml_write(struct buf *to, const struct value *v)
{
    AUTO_BUF struct buf text = BUF_MAX(to->max);
    write_value(&text, v, 0, false);
    buf_add_char(&text, '\n');
    if (text.full)
        buf_reserve(to, SIZE_MAX); /* marks it as full */
    else
        buf_add(to, buf_str(&text));
}
