/*
 * identity.c - see identity.h
 *
 * sign.key holds the 32-byte seed of RFC 8032, from which the rest follows, so
 * that no file can pair one key's halves with another's (key_file.h).
 */
#include "fed/identity.h"

#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cfg.h"
#include "base/mem.h"
#include "base/sys.h"
#include "fed/key_file.h"

_Static_assert(FED_KEY_BYTES == crypto_box_SECRETKEYBYTES, "X25519");
_Static_assert(FED_KEY_BYTES == crypto_box_PUBLICKEYBYTES, "X25519");
_Static_assert(FED_KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert(FED_KEY_BYTES == crypto_sign_SEEDBYTES, "Ed25519");
_Static_assert(FED_SECRET_SIGN_BYTES == crypto_sign_SECRETKEYBYTES, "Ed25519");
_Static_assert(FED_SIGNATURE_BYTES == crypto_sign_BYTES, "Ed25519");

struct fed_identity {
    uint8_t curve_secret[FED_KEY_BYTES];
    uint8_t sign_seed[FED_KEY_BYTES];
    uint8_t sign_secret[FED_SECRET_SIGN_BYTES];  // libsodium's: seed and public key
    fed_public_key curve;
    fed_verify_key sign;
    bool can_sign;  // false for a one-time key
};

static const char curve_title[] = "consilium curve secret key 1";
static const char public_format[] = "consilium-public-keys-1";
static const char sign_title[] = "consilium signing secret key 1";

void fed_init(void)
{
    FL_REQUIRE(sodium_init() >= 0);
}

// --------------------------------------------------------------------- keys

static fed_identity *identity_alloc(void)
{
    fed_init();
    fed_identity *id = sodium_malloc(sizeof *id);
    FL_REQUIRE(id != NULL);
    memset(id, 0, sizeof *id);
    return id;
}

/* The public halves follow from the secrets. */
static void derive_curve(fed_identity *id)
{
    FL_REQUIRE(crypto_scalarmult_base(id->curve.bytes, id->curve_secret) == 0);
}

static void derive_sign(fed_identity *id)
{
    FL_REQUIRE(crypto_sign_seed_keypair(id->sign.bytes, id->sign_secret, id->sign_seed) == 0);
    id->can_sign = true;
}

fed_identity *fed_identity_new(void)
{
    fed_identity *id = identity_alloc();
    randombytes_buf(id->curve_secret, sizeof id->curve_secret);
    randombytes_buf(id->sign_seed, sizeof id->sign_seed);
    derive_curve(id);
    derive_sign(id);
    return id;
}

fed_identity *fed_identity_one_time(const uint8_t curve_secret[static FED_KEY_BYTES])
{
    fed_identity *id = identity_alloc();
    memcpy(id->curve_secret, curve_secret, sizeof id->curve_secret);
    derive_curve(id);
    return id;
}

void fed_identity_destroy(fed_identity **id)
{
    sodium_free(*id);  // wipes
    *id = NULL;
}

fed_public_key fed_identity_public(const fed_identity *id)
{
    return id->curve;
}

fed_verify_key fed_identity_verify(const fed_identity *id)
{
    return id->sign;
}

const uint8_t *fed_identity_curve_secret(const fed_identity *id)
{
    return id->curve_secret;
}

void fed_fingerprint(char out[static FED_FINGERPRINT_BYTES], const fed_public_key *curve,
                     const fed_verify_key *sign)
{
    enum { GROUPS = 8 };
    uint8_t both[2 * FED_KEY_BYTES];
    memcpy(both, curve->bytes, FED_KEY_BYTES);
    memcpy(both + FED_KEY_BYTES, sign->bytes, FED_KEY_BYTES);
    uint8_t digest[FL_DIGEST_BYTES];
    fl_blake2b_of(digest, "consilium finger", both, sizeof both);
    char hex[4 * GROUPS + 1];
    fl_hex(hex, digest, 2 * GROUPS);
    for (int i = 0; i < GROUPS; i++) {
        memcpy(out + 5 * i, hex + 4 * i, 4);
        out[5 * i + 4] = '-';
    }
    out[FED_FINGERPRINT_BYTES - 1] = '\0';  // in place of the last hyphen
}

// --------------------------------------------------------------- signatures

/* What Ed25519 signs: a digest of (length of label, label, bytes), so a
 * signature under one label is none under another. */
static void signed_digest(uint8_t out[static FL_DIGEST_BYTES], const char *label, const void *bytes,
                          size_t n)
{
    size_t n_label = strlen(label);
    FL_REQUIRE(n_label > 0 && n_label < 256);
    uint8_t length = (uint8_t)n_label;
    fl_blake2b h;
    fl_blake2b_init(&h, "consilium sign");
    fl_blake2b_add(&h, &length, 1);
    fl_blake2b_add(&h, label, n_label);
    fl_blake2b_add(&h, bytes, n);
    fl_blake2b_done(&h, out);
}

void fed_sign(fed_signature *out, const fed_identity *id, const char *label, const void *bytes,
              size_t n)
{
    FL_REQUIRE(id->can_sign);
    uint8_t digest[FL_DIGEST_BYTES];
    signed_digest(digest, label, bytes, n);
    crypto_sign_detached(out->bytes, NULL, digest, sizeof digest, id->sign_secret);
}

bool fed_verify(const fed_signature *s, const fed_verify_key *key, const char *label,
                const void *bytes, size_t n)
{
    uint8_t digest[FL_DIGEST_BYTES];
    signed_digest(digest, label, bytes, n);
    return crypto_sign_verify_detached(s->bytes, digest, sizeof digest, key->bytes) == 0;
}

// ---------------------------------------------------------------- key files

static fl_status write_key(const char *dir, const char *name, const char *title,
                           const uint8_t secret[static FED_KEY_BYTES], const fed_passphrase *pass,
                           fl_err *err)
{
    char *path = fl_path_join(dir, name);
    fl_status st = fed_key_file_write(path, title, secret, pass, err);
    free(path);
    return st;
}

static fl_status read_key(uint8_t secret[static FED_KEY_BYTES], const char *dir, const char *name,
                          const char *title, fed_passphrase **pass, fl_err *err)
{
    char *path = fl_path_join(dir, name), *next = fl_path_join(dir, "next");
    char *accepted = fl_path_join(next, "accepted"), *moving = fl_path_join(next, name);
    bool is_moving = fl_file_exists(accepted) && fl_file_exists(moving);
    fl_status st = fed_key_file_read(secret, is_moving ? moving : path, title, pass, err);
    if (is_moving && st == FL_ENOTFOUND) {  // moved meanwhile
        st = fed_key_file_read(secret, path, title, pass, err);
    }
    free(moving);
    free(accepted);
    free(next);
    free(path);
    return st;
}

/* For people, for handing to others, and for who needs no secret. */
static fl_status write_public(const fed_identity *id, const char *dir, fl_err *err)
{
    char curve[2 * FED_KEY_BYTES + 1];
    char sign[2 * FED_KEY_BYTES + 1];
    char fingerprint[FED_FINGERPRINT_BYTES];
    fl_hex(curve, id->curve.bytes, FED_KEY_BYTES);
    fl_hex(sign, id->sign.bytes, FED_KEY_BYTES);
    fed_fingerprint(fingerprint, &id->curve, &id->sign);
    fl_buf text = FL_BUF_INIT;
    fl_buf_printf(&text,
                  "format: %s\n"
                  "transport_key: \"%s\"\n"
                  "signing_key: \"%s\"\n"
                  "fingerprint: \"%s\"\n",
                  public_format, curve, sign, fingerprint);
    char *path = fl_path_join(dir, "public.yaml");
    fl_status st = fl_file_write(path, text.data, text.n, 0644, err);
    free(path);
    fl_buf_clear(&text);
    return st;
}

/* FL_ECONFLICT when dir/name is there. */
static fl_status must_be_absent(const char *dir, const char *name, fl_err *err)
{
    char *path = fl_path_join(dir, name);
    fl_status st = FL_OK;
    if (fl_file_exists(path)) {
        st = fl_fail(err, FL_ECONFLICT, "%s: there is a key already; it is not overwritten", path);
    }
    free(path);
    return st;
}

static void remove_file(const char *dir, const char *name)
{
    char *path = fl_path_join(dir, name);
    unlink(path);
    free(path);
}

fl_status fed_identity_write(const fed_identity *id, const char *dir, fl_err *err)
{
    FL_REQUIRE(id->can_sign);
    fl_status st;
    if ((st = must_be_absent(dir, "curve.key", err)) != FL_OK ||
        (st = must_be_absent(dir, "sign.key", err)) != FL_OK ||
        (st = fl_mkdirs(dir, 0700, err)) != FL_OK) {
        return st;
    }
    if ((st = write_public(id, dir, err)) != FL_OK ||
        (st = write_key(dir, "curve.key", curve_title, id->curve_secret, NULL, err)) != FL_OK ||
        (st = write_key(dir, "sign.key", sign_title, id->sign_seed, NULL, err)) != FL_OK) {
        // Half a pair would stand in the way of the next attempt.
        remove_file(dir, "sign.key");
        remove_file(dir, "curve.key");
        remove_file(dir, "public.yaml");
    }
    return st;
}

fl_status fed_identity_read(fed_identity **out, const char *dir, fl_err *err)
{
    fed_passphrase *pass = NULL;
    fl_status st = fed_identity_read_with(out, dir, &pass, err);
    fed_passphrase_destroy(&pass);
    return st;
}

fl_status fed_identity_read_with(fed_identity **out, const char *dir, fed_passphrase **pass,
                                 fl_err *err)
{
    *out = NULL;
    fed_identity *id = identity_alloc();
    fl_status st = read_key(id->curve_secret, dir, "curve.key", curve_title, pass, err);
    if (st == FL_OK) {
        st = read_key(id->sign_seed, dir, "sign.key", sign_title, pass, err);
    }
    if (st != FL_OK) {
        fed_passphrase_destroy(pass);
        fed_identity_destroy(&id);
        return st;
    }
    derive_curve(id);
    derive_sign(id);
    *out = id;
    return FL_OK;
}

static void take_key(uint8_t key[static FED_KEY_BYTES], fl_node root, const char *name)
{
    const char *hex = fl_cfg_text(root, name, FL_CFG_REQUIRED_TEXT, "64 hexadecimal digits");
    if (fl_cfg_ok(root.cfg) && fl_unhex(key, FED_KEY_BYTES, hex, NULL) != FL_OK) {
        fl_cfg_complain(fl_cfg_get(root, name, ""), "%s: expected %d hexadecimal digits", name,
                        2 * FED_KEY_BYTES);
    }
}

fl_status fed_identity_look(fed_public_key *curve, fed_verify_key *sign, const char *dir,
                            fl_err *err)
{
    static const char *const formats[] = {public_format, NULL};
    char *path = fl_path_join(dir, "public.yaml");
    fl_cfg *cfg = NULL;
    *curve = (fed_public_key){{0}};
    *sign = (fed_verify_key){{0}};
    fl_status st = fl_cfg_read(&cfg, path, err);
    if (st == FL_OK) {
        fl_node root = fl_cfg_root(cfg);
        fl_cfg_choice(root, "format", formats, -1, "what this file is");
        take_key(curve->bytes, root, "transport_key");
        take_key(sign->bytes, root, "signing_key");
        char fingerprint[FED_FINGERPRINT_BYTES];
        fed_fingerprint(fingerprint, curve, sign);
        const char *noted = fl_cfg_text(root, "fingerprint", FL_CFG_REQUIRED_TEXT, "of both");
        if (fl_cfg_ok(cfg) && strcmp(noted, fingerprint) != 0) {
            fl_cfg_complain(fl_cfg_get(root, "fingerprint", ""),
                            "fingerprint: that of these keys is %s", fingerprint);
        }
        st = fl_cfg_finish(cfg, err);
    }
    fl_cfg_destroy(&cfg);
    free(path);
    return st;
}

fl_status fed_identity_protect(const fed_identity *id, const char *dir, const fed_passphrase *pass,
                               fl_err *err)
{
    FL_REQUIRE(id->can_sign);
    fl_status st = write_key(dir, "curve.key", curve_title, id->curve_secret, pass, err);
    return st == FL_OK ? write_key(dir, "sign.key", sign_title, id->sign_seed, pass, err) : st;
}
