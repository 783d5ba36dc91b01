/*
 * base_model.c - see base_model.h
 *
 * A model comes with its order's SCORE and again with the next TRAIN, and to all
 * sites of a process.  The object's digest names its bytes, so what was found
 * once holds for that digest: the last one is remembered.
 */
#include "client/base_model.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

static struct {
    pthread_mutex_t mutex;
    fed_digest object;  // zeros, which no object has: nothing yet
    uint8_t table_hash[32];
    fed_model_id id;
} found = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static fed_model_id id_of(const fed_order *o, const nn_table *table, const float *model)
{
    fed_model_id id;
    pthread_mutex_lock(&found.mutex);  // others wait: most often for the same one
    if (!fed_digest_equal(&found.object, &o->model) ||
        memcmp(found.table_hash, o->table_hash, sizeof found.table_hash) != 0) {
        nn_params_sha256(found.id.bytes, table, model);
        found.object = o->model;
        memcpy(found.table_hash, o->table_hash, sizeof found.table_hash);
    }
    id = found.id;
    pthread_mutex_unlock(&found.mutex);
    return id;
}

fl_status base_model_check(const fed_order *o, const nn_table *table, const float *model,
                           uint64_t n, fl_err *err)
{
    uint8_t hash[32];
    nn_table_hash(hash, table);
    if (memcmp(hash, o->table_hash, sizeof hash) != 0) {
        return fl_fail(err, FL_ECONFIG,
                       "the coordinator's model has another table of parameters than the one "
                       "built here; do both run the same version?");
    }
    if (n != (uint64_t)nn_table_count(table)) {
        return fl_fail(err, FL_EFORMAT,
                       "the model has %" PRIu64 " parameters, the job's has %" PRId64, n,
                       nn_table_count(table));
    }
    fed_model_id id = id_of(o, table, model);
    if (memcmp(id.bytes, o->model_id.bytes, sizeof id.bytes) != 0) {
        return fl_fail(err, FL_EFORMAT, "the model is not the one that the order names");
    }
    return FL_OK;
}
