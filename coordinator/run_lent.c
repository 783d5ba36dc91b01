/*
 * run_lent.c - own models that sites lent, while others judge them; see run.h
 *
 * What LENDING and CROSSING leave on the disk, and whether they are entered at all
 * (cross_site.h).  One model at a time is a file that sites fetch from; all are gone when the
 * last was judged.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ckpt.h"
#include "coordinator/cross_site.h"
#include "coordinator/run_inside.h"
#include "coordinator/spool.h"

/* The own model that is judged, as a file that sites fetch from. */
static const char lent_file[] = "spool/lent.safetensors";

/* Its spool becomes a file that can be mapped, as a round's model is; o: what was accepted. */
static fl_status write_lent(const run *r, const fed_offer *o, const char *path, fed_model_id *id,
                            fl_err *err)
{
    char *pieces = run_spool_path(r, o);
    float *data = fl_calloc_aligned((size_t)r->P, sizeof *data, "a site's own model", err);
    fl_status st = data != NULL ? FL_OK : FL_ELIMIT;
    if (st == FL_OK && !spool_verify(pieces, FED_ENC_F32, o->n_bytes, o->n_pieces, &o->digest)) {
        st = fl_fail(err, FL_EFORMAT,
                     "%s: damaged or gone: put it back from a copy of the disk", pieces);
    }
    if (st == FL_OK &&
        (st = spool_read_values(pieces, FED_ENC_F32, data, 0, r->P, err)) == FL_OK) {
        nn_params_sha256(id->bytes, r->check.table, data);
        st = ckpt_safetensors_write(path, r->check.table, data, NULL, err);
    }
    free(data);
    free(pieces);
    return st;
}

fl_status run_serve_lent(run *r, fl_err *err)
{
    record_model model = {.loss = NAN, .seconds = NAN};
    fed_offer *lent = fl_xcalloc(1, sizeof *lent);
    char *path = fl_path_join(r->dir, lent_file);
    fl_status st = cross_site_find(lent, r->record, round_number(r->machine),
                                   round_lent(r->machine), err);
    if (st == FL_OK && (st = write_lent(r, lent, path, &model.id, err)) == FL_OK) {
        st = objects_add_model(r->objects, path, r->check.table, FED_ENC_F32, &model.object, err);
    }
    if (st == FL_OK) {
        run_serve_instead(r, &model);
        r->lent_threshold = fed_offer_get(lent, "threshold", 0.5);
    }
    free(path);
    free(lent);
    return st;
}

void run_drop_lent(const run *r)
{
    char *dir = fl_path_join(r->dir, "spool");
    char **names = NULL;
    size_t n = 0;
    if (fl_list_dir(&names, &n, dir, NULL) == FL_OK) {
        for (size_t i = 0; i < n; i++) {
            bool is_lent = strncmp(names[i], "lend-", strlen("lend-")) == 0 ||
                           strcmp(names[i], fl_path_base(lent_file)) == 0;
            char *path = fl_path_join(dir, names[i]);
            if (is_lent) {
                unlink(path);
            }
            free(path);
        }
        fl_names_free(&names, n);
    }
    free(dir);
}

fl_status run_allow_crossing(run *r, round_step *step, fl_err *err)
{
    json_t *keepers = NULL;
    bool too_large = false;
    fl_status st = cross_site_is_too_large(&too_large, r->record, step->round, err);
    if (st == FL_OK) {
        st = cross_site_keepers(&keepers, r->record, step->round, err);
    }
    if (st == FL_OK && step->state == ROUND_CROSSING) {
        st = cross_site_count(&step->n_lent, r->record, step->round, err);
    }
    if (too_large || json_array_size(keepers) > 0 || (step->state == ROUND_CROSSING && step->n_lent == 0)) {
        fl_log(FL_LOG_WARN, "run.no_matrix", "run=%s sites_that_keep_theirs=%zu models=%u%s",
               r->name, json_array_size(keepers), step->n_lent,
               too_large ? " why=\"too many sites\"" : "");
        step->state = ROUND_REPORTING;
        step->lent = step->n_lent = 0;
    }
    json_decref(keepers);
    return st;
}
