/*
 * scrub.c - see scrub.h
 */
#include "client/scrub.h"

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"

static bool ends_with(const char *name, size_t n, const char *const *endings)
{
    for (; *endings != NULL; endings++) {
        size_t k = strlen(*endings);
        if (n > k && strncmp(name + n - k, *endings, k) == 0) {
            return true;
        }
    }
    return false;
}

/* Kinds of file whose names say nothing of a patient. */
static const char *const plain[] = {".yaml", ".yml",  ".csv",  ".tsv",         ".npz",
                                    ".data", ".json", ".onnx", ".safetensors", NULL};
/* Kinds of file that may be called after one. */
static const char *const images[] = {".png", ".jpg",  ".jpeg", ".dcm", ".nii", ".gz",
                                     ".tif", ".tiff", ".bmp",  ".npy", NULL};

/* word: n bytes without blanks, perhaps "DIR/NAME:LINE:". */
static void add_word(fl_buf *out, const char *word, size_t n)
{
    const char *name = word;
    for (size_t i = 0; i < n; i++) {
        if (word[i] == '/') {
            name = word + i + 1;
        }
    }
    bool has_dir = name != word;
    size_t rest = n - (size_t)(name - word);
    const char *colon = memchr(name, ':', rest);
    size_t length = colon == NULL ? rest : (size_t)(colon - name);
    if (ends_with(name, length, plain)) {
        fl_buf_add(out, name, rest);
    } else if (has_dir || ends_with(name, length, images)) {
        fl_buf_puts(out, "a file");
        fl_buf_add(out, name + length, rest - length);
    } else {
        fl_buf_add(out, word, n);
    }
}

/* Is "NAME:12:" or "row 12:" in it, and NAME no YAML: a sentence about a line of data, that is about
 * a patient? */
static bool names_a_row(const char *text)
{
    static const char *const settings[] = {".yaml", ".yml", ".json", NULL};
    for (const char *colon = strchr(text, ':'); colon != NULL; colon = strchr(colon + 1, ':')) {
        size_t digits = strspn(colon + 1, "0123456789");
        if (digits > 0 && colon[1 + digits] == ':' &&
            !ends_with(text, (size_t)(colon - text), settings)) {
            return true;
        }
    }
    for (const char *row = strstr(text, "row "); row != NULL; row = strstr(row + 1, "row ")) {
        size_t digits = strspn(row + 4, "0123456789");
        if (digits > 0 && row[4 + digits] == ':') {
            return true;
        }
    }
    return false;
}

/* Bytes of text that may leave: what was found in a patient's line stays here. */
static size_t length_without_finding(const char *text)
{
    const char *found = names_a_row(text) ? strstr(text, ", found ") : NULL;
    return found != NULL ? (size_t)(found - text) : strlen(text);
}

static void blank_controls(fl_buf *b)
{
    for (size_t i = 0; i < b->n; i++) {
        unsigned char c = (unsigned char)b->data[i];
        if (c < 0x20 || c == 0x7f) {
            b->data[i] = ' ';
        }
    }
}

/* Bytes of text, at most max, that end with a whole UTF-8 character. */
static size_t whole_utf8(const char *text, size_t n, size_t max)
{
    if (n <= max) {
        return n;
    }
    while (max > 0 && ((unsigned char)text[max] & 0xC0) == 0x80) {
        max--;
    }
    return max;
}

void scrub_text(char *out, size_t n, const char *text)
{
    static const char ends[] = " \t\n\r'\"(),;";
    fl_buf clean = FL_BUF_INIT;
    const char *end = text + length_without_finding(text);
    while (text < end) {
        size_t length = strcspn(text, ends);
        add_word(&clean, text, length);
        text += length;
        if (text < end) {
            fl_buf_add(&clean, text, 1);
            text++;
        }
    }
    if (*text != '\0') {
        fl_buf_puts(&clean, ", found another value (`client check-data` shows it)");
    }
    blank_controls(&clean);
    size_t used = whole_utf8(clean.data, clean.n, n - 1);
    if (used > 0) {
        memcpy(out, clean.data, used);
    }
    out[used] = '\0';
    fl_buf_clear(&clean);
}
