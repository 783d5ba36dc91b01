/*
 * invitation.c - the file that a hospital is handed
 *
 * See identity.h.  YAML, because people look into it before they trust it.
 * What a reader of the file learns besides the addresses is the one-time key:
 * with it one can enrol once, in the place of the site, until it expires.
 */
#include <ctype.h>
#include <sodium.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cfg.h"
#include "base/sys.h"
#include "fed/identity.h"

static const char format_name[] = "consilium-invitation-1";

void fed_invitation_clear(fed_invitation *inv)
{
    sodium_memzero(inv, sizeof *inv);
}

// ------------------------------------------------------------------ writing

static void put_hex(fl_buf *out, const char *key, const void *bytes, size_t n)
{
    char hex[2 * FED_SECRET_SIGN_BYTES + 1];
    FL_REQUIRE(2 * n < sizeof hex);
    fl_hex(hex, bytes, n);
    fl_buf_printf(out, "%s: \"%s\"\n", key, hex);
    sodium_memzero(hex, sizeof hex);
}

/* Quoted as YAML and JSON do. */
static void put_text(fl_buf *out, const char *key, const char *text)
{
    fl_buf_printf(out, "%s: \"", key);
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            fl_buf_puts(out, "\\");
        }
        fl_buf_add(out, p, 1);
    }
    fl_buf_puts(out, "\"\n");
}

fl_status fed_invitation_write(const fed_invitation *inv, const char *path, fl_err *err)
{
    char expires[32];
    fl_iso_time(expires, sizeof expires, inv->expires_ms);
    fl_buf text = FL_BUF_INIT;
    fl_buf_reserve(&text, 4096);  // so that growing leaves no copy of the secret
    fl_buf_puts(&text, "# An invitation for one hospital. Whoever has this file can "
                       "enrol in its\n"
                       "# place until it is used or expires: hand it over like a "
                       "password.\n");
    fl_buf_printf(&text, "format: %s\n", format_name);
    put_text(&text, "federation", inv->federation);
    put_text(&text, "site", inv->site.text);
    put_text(&text, "address", inv->address);
    fl_buf_puts(&text, "coordinator:\n");
    put_hex(&text, "  transport_key", inv->coordinator_curve.bytes, FED_KEY_BYTES);
    put_hex(&text, "  signing_key", inv->coordinator_sign.bytes, FED_KEY_BYTES);
    fl_buf_puts(&text, "invitation:\n");
    put_hex(&text, "  id", inv->id, FED_INVITATION_BYTES);
    put_hex(&text, "  secret", inv->curve_secret, FED_KEY_BYTES);
    put_hex(&text, "  public", inv->curve_public.bytes, FED_KEY_BYTES);
    fl_buf_printf(&text, "  expires: \"%s\"\n", expires);
    fl_status st = fl_file_write(path, text.data, text.n, 0600, err);
    sodium_memzero(text.data, text.cap);
    fl_buf_clear(&text);
    return st;
}

// ------------------------------------------------------------------ reading

/* n bytes of hex under key.  The value is never repeated in a complaint. */
static void take_hex(void *out, size_t n, fl_node map, const char *key, const char *help)
{
    const char *hex = fl_cfg_text(map, key, FL_CFG_REQUIRED_TEXT, help);
    if (fl_cfg_ok(map.cfg) && fl_unhex(out, n, hex, NULL) != FL_OK) {
        fl_cfg_complain(fl_cfg_get(map, key, help), "%s: expected %zu hexadecimal digits", key,
                        2 * n);
    }
}

static void take_text(char *out, size_t size, fl_node map, const char *key, const char *help)
{
    const char *text = fl_cfg_text(map, key, FL_CFG_REQUIRED_TEXT, help);
    size_t n = strlen(text);
    bool printable = n > 0 && n < size;
    for (size_t i = 0; printable && i < n; i++) {
        printable = (uint8_t)text[i] >= 0x20 && text[i] != 0x7f;
    }
    if (fl_cfg_ok(map.cfg) && !printable) {
        fl_cfg_complain(fl_cfg_get(map, key, help), "%s: expected 1 to %zu printable characters",
                        key, size - 1);
        return;
    }
    if (printable) {
        memcpy(out, text, n + 1);
    }
}

/* Days from 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-compatible
 * low-level date algorithms"). */
static int64_t days_since_1970(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

/* "2026-01-31T12:00:00Z", exactly as fl_iso_time writes it. */
static bool parse_time(int64_t *out_ms, const char *text)
{
    int year, month, day, hour, minute, second;
    if (strlen(text) != 20 || !isdigit((unsigned char)text[0]) ||
        sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ", &year, &month, &day, &hour, &minute, &second) !=
            6 ||
        year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 59) {
        return false;
    }
    int64_t seconds = days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 +
                      second;
    *out_ms = seconds * 1000;
    char again[32];  // 31 February comes back as 3 March
    fl_iso_time(again, sizeof again, *out_ms);
    return strcmp(again, text) == 0;
}

static void take_time(int64_t *out_ms, fl_node map, const char *key, const char *help)
{
    const char *text = fl_cfg_text(map, key, FL_CFG_REQUIRED_TEXT, help);
    if (fl_cfg_ok(map.cfg) && !parse_time(out_ms, text)) {
        fl_cfg_complain(fl_cfg_get(map, key, help), "%s: expected a time like 2026-01-31T12:00:00Z",
                        key);
    }
}

/* "tcp://HOST:PORT" */
static bool is_address(const char *text)
{
    if (strncmp(text, "tcp://", 6) != 0 || strchr(text, ' ') != NULL) {
        return false;
    }
    const char *host = text + 6;
    const char *colon = strrchr(host, ':');
    if (colon == NULL || colon == host) {
        return false;
    }
    size_t n = strspn(colon + 1, "0123456789");
    int port = 0;
    return n >= 1 && n <= 5 && colon[1 + n] == '\0' && sscanf(colon + 1, "%5d", &port) == 1 &&
           port >= 1 && port <= 65535;
}

static void take_address(fed_invitation *out, fl_node root)
{
    static const char help[] = "where the coordinator listens";
    take_text(out->address, sizeof out->address, root, "address", help);
    if (fl_cfg_ok(root.cfg) && !is_address(out->address)) {
        fl_cfg_complain(fl_cfg_get(root, "address", help),
                        "address: expected tcp://HOST:PORT, found %s", out->address);
    }
}

/* Does the one-time public key belong to the secret one? */
static bool keys_match(const fed_invitation *inv)
{
    fed_public_key derived;
    return crypto_scalarmult_base(derived.bytes, inv->curve_secret) == 0 &&
           memcmp(derived.bytes, inv->curve_public.bytes, FED_KEY_BYTES) == 0;
}

static void take_invitation(fed_invitation *out, fl_node root)
{
    static const char *const formats[] = {format_name, NULL};
    fl_cfg_choice(root, "format", formats, -1, "what this file is");
    take_text(out->federation, sizeof out->federation, root, "federation",
              "name of the federation");
    fl_node site = fl_cfg_get(root, "site", "this hospital's name in it");
    const char *name = fl_cfg_text(root, "site", FL_CFG_REQUIRED_TEXT,
                                   "this hospital's name in it");
    fl_err why = FL_ERR_INIT;
    if (fl_cfg_ok(root.cfg) && fed_site_id_parse(&out->site, name, &why) != FL_OK) {
        fl_cfg_complain(site, "site: %s", why.text);
    }
    take_address(out, root);

    fl_node coordinator = fl_cfg_map(root, "coordinator", "its public keys");
    take_hex(out->coordinator_curve.bytes, FED_KEY_BYTES, coordinator, "transport_key",
             "X25519 public key");
    take_hex(out->coordinator_sign.bytes, FED_KEY_BYTES, coordinator, "signing_key",
             "Ed25519 public key");

    fl_node one_time = fl_cfg_map(root, "invitation", "the one-time key");
    take_hex(out->id, FED_INVITATION_BYTES, one_time, "id", "its number");
    take_hex(out->curve_secret, FED_KEY_BYTES, one_time, "secret",
             "X25519 secret key, for enrolment only");
    take_hex(out->curve_public.bytes, FED_KEY_BYTES, one_time, "public", "X25519 public key");
    take_time(&out->expires_ms, one_time, "expires", "when it becomes useless, UTC");
    if (fl_cfg_ok(root.cfg) && !keys_match(out)) {
        fl_cfg_complain(fl_cfg_get(one_time, "public", "X25519 public key"),
                        "public: does not belong to the secret key");
    }
}

/* Reads the document and takes it away. */
static fl_status finish(fed_invitation *out, fl_cfg *cfg, fl_err *err)
{
    memset(out, 0, sizeof *out);
    take_invitation(out, fl_cfg_root(cfg));
    fl_status st = fl_cfg_finish(cfg, err);
    fl_cfg_destroy(&cfg);
    if (st != FL_OK) {
        fed_invitation_clear(out);
    }
    return st;
}

fl_status fed_invitation_read(fed_invitation *out, const char *path, fl_err *err)
{
    fed_init();
    memset(out, 0, sizeof *out);
    fl_cfg *cfg;
    fl_status st = fl_cfg_read(&cfg, path, err);
    if (st == FL_OK) {
        st = finish(out, cfg, err);
    }
    return st == FL_OK ? st : fl_wrap(err, st, "reading the invitation");
}

fl_status fed_invitation_parse(fed_invitation *out, const char *text, size_t n, const char *name,
                               fl_err *err)
{
    fed_init();
    memset(out, 0, sizeof *out);
    fl_cfg *cfg;
    fl_status st = fl_cfg_parse(&cfg, text, n, name, ".", err);
    return st == FL_OK ? finish(out, cfg, err) : st;
}
