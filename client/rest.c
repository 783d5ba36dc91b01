/*
 * rest.c - see rest.h
 *
 * A remainder is at most half a unit of the value that it is of, so it is kept in bfloat16
 * itself: what that drops is 2^-17 of the update.
 */
#include "client/rest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "fed/update.h"

static const char mark[8] = {'f', 'e', 'd', '-', 'r', 's', 't', '1'};

static char *path_of(const char *dir, uint32_t round)
{
    return fl_xasprintf("%s/rest-%010" PRIu32, dir, round);
}

/* The last round up to committed that left a remainder; 0: none.  Older ones are removed. */
static fl_status current(uint32_t *out, const char *dir, uint32_t committed, fl_err *err)
{
    char **names = NULL;
    size_t n = 0;
    *out = 0;
    fl_status st = fl_list_dir(&names, &n, dir, err);
    for (size_t i = 0; i < n && st == FL_OK; i++) {  // in the order of the rounds
        uint32_t round = 0;
        int end = 0;
        if (sscanf(names[i], "rest-%10" SCNu32 "%n", &round, &end) != 1 || end != 15 ||
            names[i][end] != '\0' || round > committed) {
            continue;
        }
        if (*out != 0) {
            char *older = path_of(dir, *out);
            unlink(older);
            free(older);
        }
        *out = round;
    }
    fl_names_free(&names, n);
    return st;
}

static fl_status add_rest(float *update, const char *path, int64_t P, fl_err *err)
{
    char *bytes = NULL;
    size_t n = 0, wanted = sizeof mark + 2 * (size_t)P;
    fl_status st = fl_file_read(&bytes, &n, path, wanted, err);
    if (st == FL_OK && (n != wanted || memcmp(bytes, mark, sizeof mark) != 0)) {
        st = fl_fail(err, FL_EFORMAT, "%s: damaged: remove it, and the next update lacks what it held",
                     path);
    }
    for (int64_t i = 0; i < P && st == FL_OK; i++) {
        float rest;
        fed_piece_values(&rest, FED_ENC_BF16, (uint8_t *)bytes + sizeof mark + 2 * i, 1);
        update[i] += rest;
    }
    free(bytes);
    return st;
}

static fl_status write_rest(float *rest, const char *path, int64_t P, fl_err *err)
{
    size_t n = sizeof mark + 2 * (size_t)P;
    uint8_t *bytes = fl_calloc(n, 1, "a remainder", err);
    if (bytes == NULL) {
        return FL_ELIMIT;
    }
    fed_bf16_round(rest, NULL, P);
    memcpy(bytes, mark, sizeof mark);
    for (int64_t i = 0; i < P; i++) {
        uint32_t bits;
        memcpy(&bits, &rest[i], sizeof bits);
        uint16_t high = (uint16_t)(bits >> 16);
        memcpy(bytes + sizeof mark + 2 * i, &high, sizeof high);
    }
    fl_status st = fl_file_write(path, bytes, n, 0600, err);
    free(bytes);
    return st;
}

fl_status rest_round(float *update, const home *h, const fed_order *order, int64_t P, fl_err *err)
{
    char *dir = NULL, *path = NULL;
    uint32_t last = 0;
    float *rest = NULL;
    fl_status st;
    if ((st = home_run_path(&dir, h, order->run, err)) != FL_OK ||
        (st = fl_mkdirs(dir, 0700, err)) != FL_OK ||
        (st = current(&last, dir, order->committed.n, err)) != FL_OK) {
        goto done;
    }
    if (last > 0) {
        path = path_of(dir, last);
        st = add_rest(update, path, P, err);
        FL_FREE(path);
    }
    if (st == FL_OK &&
        (rest = fl_calloc_aligned((size_t)P, sizeof *rest, "a remainder", err)) == NULL) {
        st = FL_ELIMIT;
    }
    if (st == FL_OK) {
        fed_bf16_round(update, rest, P);
        path = path_of(dir, order->key.round.n);
        st = write_rest(rest, path, P, err);
    }
done:
    free(rest);
    free(path);
    free(dir);
    return st;
}
