/*
 * key_file.c - see key_file.h
 */
#include "fed/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"

enum {
    FILE_BYTES = 1024,  // more than any such file
    BOX_BYTES = crypto_secretbox_MACBYTES + FED_KEY_BYTES,
    PASSES = 3,             // RFC 9106's second recommended choice
    MEMORY = 64 << 20,      // bytes
    MAX_PASSES = 16,        // of a file that is read
    MAX_MEMORY = 1 << 30
};

static const char under[] = ", under a passphrase";

typedef struct {
    unsigned long long passes, memory;
    uint8_t salt[crypto_pwhash_SALTBYTES];
    uint8_t nonce[crypto_secretbox_NONCEBYTES];
    uint8_t box[BOX_BYTES];
} locked;

/* The key that the passphrase gives; sodium_malloc'd, or NULL when the memory is not there. */
static uint8_t *derive(const locked *l, const fed_passphrase *pass)
{
    uint8_t *key = sodium_malloc(crypto_secretbox_KEYBYTES);
    FL_REQUIRE(key != NULL);
    size_t n;
    const char *text = fed_passphrase_text(pass, &n);
    if (crypto_pwhash(key, crypto_secretbox_KEYBYTES, text, n, l->salt, l->passes,
                      (size_t)l->memory, crypto_pwhash_ALG_ARGON2ID13) != 0) {
        sodium_free(key);
        return NULL;
    }
    return key;
}

static fl_status no_memory(const char *path, const locked *l, fl_err *err)
{
    return fl_fail(err, FL_ELIMIT, "%s: no %llu MiB of memory for the passphrase's key", path,
                   l->memory >> 20);
}

// ------------------------------------------------------------------- writing

static fl_status put_locked(char *text, size_t *n, const char *path, const char *title,
                            const uint8_t secret[static FED_KEY_BYTES], const fed_passphrase *pass,
                            fl_err *err)
{
    locked l = {.passes = PASSES, .memory = MEMORY};
    char salt[2 * sizeof l.salt + 1], nonce[2 * sizeof l.nonce + 1], box[2 * sizeof l.box + 1];
    randombytes_buf(l.salt, sizeof l.salt);
    randombytes_buf(l.nonce, sizeof l.nonce);
    uint8_t *key = derive(&l, pass);
    if (key == NULL) {
        return no_memory(path, &l, err);
    }
    crypto_secretbox_easy(l.box, secret, FED_KEY_BYTES, l.nonce, key);
    sodium_free(key);
    fl_hex(salt, l.salt, sizeof l.salt);
    fl_hex(nonce, l.nonce, sizeof l.nonce);
    fl_hex(box, l.box, sizeof l.box);
    *n = (size_t)snprintf(text, FILE_BYTES, "%s%s\nargon2id %llu %llu %s\n%s %s\n", title, under,
                          l.passes, l.memory, salt, nonce, box);
    return FL_OK;
}

fl_status fed_key_file_write(const char *path, const char *title,
                             const uint8_t secret[static FED_KEY_BYTES],
                             const fed_passphrase *pass, fl_err *err)
{
    char *text = sodium_malloc(FILE_BYTES);
    FL_REQUIRE(text != NULL);
    fl_status st = FL_OK;
    size_t n = 0;
    if (pass != NULL) {
        st = put_locked(text, &n, path, title, secret, pass, err);
    } else {
        char hex[2 * FED_KEY_BYTES + 1];
        fl_hex(hex, secret, FED_KEY_BYTES);
        n = (size_t)snprintf(text, FILE_BYTES, "%s\n%s\n", title, hex);
        sodium_memzero(hex, sizeof hex);
    }
    if (st == FL_OK) {
        st = fl_file_write(path, text, n, 0600, err);
    }
    sodium_free(text);
    return st;
}

// ------------------------------------------------------------------- reading

/* Reads at most size - 1 bytes and ends them with a NUL. */
static fl_status read_private(char *text, size_t size, const char *path, fl_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fl_fail_errno(err, errno, path);
    }
    fl_status st = FL_OK;
    struct stat info;
    size_t n = 0;
    if (fstat(fd, &info) != 0) {
        st = fl_fail_errno(err, errno, path);
        goto done;
    }
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        st = fl_fail(err, FL_EDENIED,
                     "%s: other users may read this key (mode %03o): run "
                     "chmod 600 on it, and make new keys if somebody might "
                     "have",
                     path, (unsigned)(info.st_mode & 0777));
        goto done;
    }
    for (;;) {
        ssize_t got = read(fd, text + n, size - 1 - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            st = fl_fail_errno(err, errno, path);
            goto done;
        }
        if (got == 0) {
            break;
        }
        n += (size_t)got;
    }
    text[n] = '\0';
done:
    close(fd);
    return st;
}

/* The next line, ended by a NUL instead of its end; NULL when there is none. */
static char *next_line(char **at)
{
    char *line = *at, *stop = strchr(line, '\n');
    if (stop == NULL) {
        return NULL;
    }
    *stop = '\0';
    *at = stop + 1;
    return line;
}

/* "argon2id T M SALT", "NONCE BOX" and nothing behind it. */
static bool take_locked(locked *out, char *rest)
{
    char *how = next_line(&rest), *what = how != NULL ? next_line(&rest) : NULL;
    int at = 0;
    char *box = what != NULL ? strchr(what, ' ') : NULL;
    if (box == NULL || *rest != '\0' ||
        sscanf(how, "argon2id %2llu %10llu %n", &out->passes, &out->memory, &at) != 2 || at == 0) {
        return false;
    }
    *box++ = '\0';
    return out->passes >= crypto_pwhash_OPSLIMIT_MIN && out->passes <= MAX_PASSES &&
           out->memory >= crypto_pwhash_MEMLIMIT_MIN && out->memory <= MAX_MEMORY &&
           fl_unhex(out->salt, sizeof out->salt, how + at, NULL) == FL_OK &&
           fl_unhex(out->nonce, sizeof out->nonce, what, NULL) == FL_OK &&
           fl_unhex(out->box, sizeof out->box, box, NULL) == FL_OK;
}

static fl_status unlock(uint8_t secret[static FED_KEY_BYTES], const locked *l, const char *path,
                        fed_passphrase **pass, fl_err *err)
{
    fl_status st;
    if (*pass == NULL && (st = fed_passphrase_ask(pass, path, err)) != FL_OK) {
        return st;
    }
    uint8_t *key = derive(l, *pass);
    if (key == NULL) {
        return no_memory(path, l, err);
    }
    bool right = crypto_secretbox_open_easy(secret, l->box, sizeof l->box, l->nonce, key) == 0;
    sodium_free(key);
    return right ? FL_OK : fl_fail(err, FL_EDENIED, "%s: the passphrase is not the key's", path);
}

fl_status fed_key_file_read(uint8_t secret[static FED_KEY_BYTES], const char *path,
                            const char *title, fed_passphrase **pass, fl_err *err)
{
    char *text = sodium_malloc(FILE_BYTES), *rest = text;
    FL_REQUIRE(text != NULL);
    fl_status st = read_private(text, FILE_BYTES, path, err);
    if (st != FL_OK) {
        sodium_free(text);
        return st;
    }
    locked l;
    size_t n_title = strlen(title);
    char *first = next_line(&rest);
    bool is_titled = first != NULL && strncmp(first, title, n_title) == 0;
    if (is_titled && strcmp(first + n_title, under) == 0 && take_locked(&l, rest)) {
        st = unlock(secret, &l, path, pass, err);
    } else {
        char *digits = is_titled && first[n_title] == '\0' ? next_line(&rest) : NULL;
        if (digits == NULL || *rest != '\0' ||
            fl_unhex(secret, FED_KEY_BYTES, digits, NULL) != FL_OK) {
            st = fl_fail(err, FL_EFORMAT,
                         "%s: expected two lines, \"%s\" and %d hexadecimal digits, or such a key "
                         "under a passphrase",
                         path, title, 2 * FED_KEY_BYTES);
        }
    }
    sodium_free(text);
    return st;
}
