/*
 * federation.c - see federation.h
 */
#include "coordinator/federation.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"
#include "fed/rotation.h"

fl_status federation_port(int *port, const char *address, fl_err *err)
{
    const char *colon = strrchr(address, ':');
    char *end = NULL;
    long number = colon != NULL ? strtol(colon + 1, &end, 10) : 0;
    if (strncmp(address, "tcp://", 6) != 0 || colon == NULL || colon < address + 7 ||
        end == colon + 1 || *end != '\0' || number < 0 || number > 65535) {
        return fl_fail(err, FL_ECONFIG, "address: expected tcp://HOST:PORT, found %s", address);
    }
    *port = (int)number;
    return FL_OK;
}

static void read_config(federation *f, fl_node root)
{
    const char *name = fl_cfg_text(root, "name", FL_CFG_REQUIRED_TEXT,
                                   "the federation's name, printed on invitations and reports");
    const char *address = fl_cfg_text(root, "address", FL_CFG_REQUIRED_TEXT,
                                      "tcp://HOST:PORT as the hospitals reach this machine");
    if (name != NULL && (*name == '\0' || strlen(name) >= sizeof f->name)) {
        fl_cfg_complain(fl_cfg_get(root, "name", ""), "name: expected 1 to %zu bytes",
                        sizeof f->name - 1);
        return;
    }
    int port = 0;
    fl_err why = FL_ERR_INIT;
    if (address != NULL && strlen(address) >= sizeof f->address) {
        fl_cfg_complain(fl_cfg_get(root, "address", ""), "address: too long");
        return;
    }
    if (address != NULL && fl_cfg_present(fl_cfg_get(root, "address", "")) &&
        federation_port(&port, address, &why) != FL_OK) {
        fl_cfg_complain(fl_cfg_get(root, "address", ""), "%s", why.text);
        return;
    }
    snprintf(f->name, sizeof f->name, "%s", name != NULL ? name : "");
    snprintf(f->address, sizeof f->address, "%s", address != NULL ? address : "");
}

void federation_describe(FILE *out)
{
    federation f;
    fl_cfg *c = fl_cfg_describe(out);
    read_config(&f, fl_cfg_root(c));
    fl_cfg_destroy(&c);
}

char *federation_path(const federation *f, const char *part)
{
    return fl_path_join(f->dir, part);
}

/* A double-quoted YAML scalar. */
static void put_quoted(fl_buf *b, const char *text)
{
    fl_buf_puts(b, "\"");
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fl_buf_puts(b, "\\");
        }
        fl_buf_add(b, text, 1);
    }
    fl_buf_puts(b, "\"\n");
}

static fl_status write_config(const char *path, const char *name, const char *address, fl_err *err)
{
    fl_buf text = FL_BUF_INIT;
    fl_buf_puts(&text,
                "# How hospitals find this coordinator; printed on every invitation.\nname: ");
    put_quoted(&text, name);
    fl_buf_puts(&text, "address: ");
    put_quoted(&text, address);
    fl_status st = fl_file_write(path, text.data, text.n, 0644, err);
    fl_buf_clear(&text);
    return st;
}

static fl_status check_name(const char *name, fl_err *err)
{
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            return fl_fail(err, FL_EUSAGE, "--name: control characters are not allowed");
        }
    }
    if (*name == '\0' || strlen(name) >= FED_NAME_BYTES) {
        return fl_fail(err, FL_EUSAGE, "--name: expected 1 to %d bytes, found %zu",
                       FED_NAME_BYTES - 1, strlen(name));
    }
    return FL_OK;
}

fl_status federation_init(const char *dir, const char *name, const char *address, fl_err *err)
{
    char host[200] = "localhost";
    char here[FEDERATION_ADDRESS_BYTES];
    gethostname(host, sizeof host - 1);
    snprintf(here, sizeof here, "tcp://%s:%d", host, FEDERATION_PORT);
    address = address != NULL ? address : here;
    name = name != NULL ? name : *fl_path_base(dir) != '\0' ? fl_path_base(dir) : "federation";

    int port = 0;
    char *config = fl_path_join(dir, "federation.yaml");
    char *keys = fl_path_join(dir, "keys");
    char *runs = fl_path_join(dir, "runs");
    char *invitations = fl_path_join(dir, "invitations");
    fed_identity *identity = NULL;
    fl_status st;
    if ((st = check_name(name, err)) != FL_OK ||
        (st = federation_port(&port, address, err)) != FL_OK) {
        goto done;
    }
    if (fl_file_exists(config)) {
        st = fl_fail(err, FL_ECONFLICT, "%s: there is a federation already", dir);
        goto done;
    }
    if ((st = fl_mkdirs(dir, 0755, err)) != FL_OK || (st = fl_mkdirs(keys, 0700, err)) != FL_OK ||
        (st = fl_mkdirs(runs, 0755, err)) != FL_OK ||
        (st = fl_mkdirs(invitations, 0700, err)) != FL_OK) {
        goto done;
    }
    identity = fed_identity_new();
    if ((st = fed_identity_write(identity, keys, err)) == FL_ECONFLICT) {
        fed_identity_destroy(&identity);  // an init that was cut short left its keys
        st = fed_identity_read(&identity, keys, err);
    }
    if (st != FL_OK) {
        goto done;
    }
    st = write_config(config, name, address, err);  // last: its presence means complete
done:
    fed_identity_destroy(&identity);
    free(config);
    free(keys);
    free(runs);
    free(invitations);
    return st;
}

fl_status federation_look(federation *out, const char *dir, fl_err *err)
{
    *out = (federation){.dir = fl_xstrdup(dir), .lock = -1};
    fl_cfg *c = NULL;
    char *config = fl_path_join(dir, "federation.yaml");
    fl_status st = fl_file_visible(config, err);
    if (st == FL_ENOTFOUND) {
        st = fl_fail(err, FL_ENOTFOUND,
                     "%s holds no federation: make one with `consilium-coordinator init %s`", dir,
                     dir);
    }
    if (st == FL_OK && (st = fl_cfg_read(&c, config, err)) == FL_OK) {
        read_config(out, fl_cfg_root(c));
        st = fl_cfg_finish(c, err);
    }
    fl_cfg_destroy(&c);
    free(config);
    if (st != FL_OK) {
        federation_close(out);
    }
    return st;
}

fl_status federation_open(federation *out, const char *dir, fl_err *err)
{
    char *keys = fl_path_join(dir, "keys");
    fl_status st;
    if ((st = federation_look(out, dir, err)) == FL_OK &&
        (st = fed_rotation_finish(keys, err)) == FL_OK) {
        st = fed_identity_read_with(&out->identity, keys, &out->pass, err);
    }
    free(keys);
    if (st != FL_OK) {
        federation_close(out);
    }
    return st;
}

void federation_close(federation *f)
{
    if (f->lock >= 0) {
        close(f->lock);
    }
    fed_identity_destroy(&f->identity);
    fed_passphrase_destroy(&f->pass);
    free(f->dir);
    *f = (federation){.lock = -1};
}

fl_status federation_lock(federation *f, int wait_ms, fl_err *err)
{
    char *path = federation_path(f, "lock");
    fl_status st = fl_file_lock(&f->lock, path, 0644, wait_ms, err);
    free(path);
    return st == FL_ECONFLICT
               ? fl_fail(err, st, "%s: another coordinator runs on this federation; stop it first",
                         f->dir)
               : st;
}
