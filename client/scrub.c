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
    while (*text != '\0') {
        size_t length = strcspn(text, ends);
        add_word(&clean, text, length);
        text += length;
        if (*text != '\0') {
            fl_buf_add(&clean, text, 1);
            text++;
        }
    }
    blank_controls(&clean);
    size_t used = whole_utf8(clean.data, clean.n, n - 1);
    if (used > 0) {
        memcpy(out, clean.data, used);
    }
    out[used] = '\0';
    fl_buf_clear(&clean);
}
