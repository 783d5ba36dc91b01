/*
 * play_sites.c - the real client, with sites that train nothing
 *
 * usage: play_sites DIR FIRST COUNT [client run's options]
 *
 * Serves the homes DIR/homes/site-FIRST ... as `client run` does, after joining
 * with DIR/invitations/site-N.yaml where there is no home yet.  All is the
 * client's own code, from its sockets to the fsync of its outbox, but for order.h's
 * two functions: order_carry_out, which is defined here, makes a contribution of the
 * right shape instead of training.  So a federation is measured without its
 * learning, and a thousand sites fit one machine.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "client/base_model.h"
#include "client/fed_commands.h"
#include "client/order.h"
#include "client/policy.h"
#include "client/rest.h"
#include "job/job.h"
#include "task/task.h"

enum { N_TRAIN = 100, N_VAL = 20, N_TEST = 40 };  // cases that a site says it has

/* One job a process: its model's table, and the update that every site sends. */
static struct {
    pthread_mutex_t mutex;
    task_model *model;
    float *update;
    bool bf16;
} played = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static fl_status open_job(const order_work *w, fl_err *err)
{
    job j;
    pthread_mutex_lock(&played.mutex);
    fl_status st = FL_OK;
    if (played.model == NULL &&
        (st = job_parse(&j, w->job_text, w->n_job, "job.yaml", w->home->dir, err)) == FL_OK) {
        st = task_model_new(&played.model, &j.data, &j.model, err);
        played.bf16 = j.bf16_pieces;
        job_clear(&j);
    }
    if (st == FL_OK && played.update == NULL) {
        int64_t P = nn_table_count(task_model_table(played.model));
        played.update = fl_xcalloc((size_t)P, sizeof *played.update);
        uint32_t seed = 2463534242u;
        for (int64_t i = 0; i < P; i++) {
            seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
            played.update[i] = ((float)(seed >> 8) * 0x1p-24f - 0.5f) * 1e-3f;
        }
    }
    pthread_mutex_unlock(&played.mutex);
    return st;
}

static json_t *test_figures(const home *h)
{
    json_t *figure = json_pack("{s:f, s:f, s:f, s:i, s:i, s:i, s:s, s:s}", "value", 0.8, "ci_low",
                               0.6, "ci_high", 0.9, "n", N_TEST, "n_positive", 16, "n_patients",
                               N_TEST, "method", "played", "why", "");
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:{s:{s:o, s:O}}, s:{s:{s:i,s:i,s:i,s:i}}}", "name",
                     h->site.text, "n_train", N_TRAIN, "n_val", N_VAL, "n_test", N_TEST,
                     "test_opened", 1, "models", "global", "accuracy", figure, "auc", figure,
                     "confusion", "global", "tp", 12, "fn", 4, "fp", 4, "tn", 20);
}

/*
 * As client/order.c does it.  Rounding changes the update in place, so every thread has a copy: for
 * as long as it lives, since where a real one lies is training's expense.
 */
static fl_status put_update(order_work *w, const policy *p, const fed_offer *draft,
                            const nn_table *table, fl_err *err)
{
    static _Thread_local float *copy;
    if (!played.bf16) {
        return outbox_put_update(&w->item, w->home, p, w->order.run, draft, table, played.update,
                                 FED_ENC_F32, err);
    }
    int64_t P = nn_table_count(table);
    if (copy == NULL &&
        (copy = fl_calloc_aligned((size_t)P, sizeof *copy, "an update", err)) == NULL) {
        return FL_ELIMIT;
    }
    nn_vec_copy(copy, played.update, P);
    fl_status st = rest_round(copy, w->home, &w->order, P, err);
    if (st == FL_OK) {
        st = outbox_put_update(&w->item, w->home, p, w->order.run, draft, table, copy,
                               FED_ENC_BF16, err);
    }
    return st;
}

static fl_status contribute(order_work *w, const policy *p, fl_err *err)
{
    const nn_table *table = task_model_table(played.model);
    fed_offer draft = {.key = w->order.key, .base_model = w->order.model_id};
    json_t *document = NULL;
    fl_status st;
    switch (w->order.key.kind) {
    case FED_TRAIN:
        fed_offer_set(&draft, "weight", N_TRAIN);
        fed_offer_set(&draft, "n", N_TRAIN);
        fed_offer_set(&draft, "steps", 1);
        fed_offer_set(&draft, "loss", 1.0 / (1 + w->order.key.round.n));
        nn_table_hash(draft.table_hash, table);
        return put_update(w, p, &draft, table, err);
    case FED_CHECK:
        fed_offer_set(&draft, "n_train", N_TRAIN);
        fed_offer_set(&draft, "n_val", N_VAL);
        fed_offer_set(&draft, "n_test", N_TEST);
        fed_offer_set(&draft, "parameters", (double)nn_table_count(table));
        document = json_pack("{s:{s:i}}", "flow", "cases", N_TRAIN + N_VAL + N_TEST);
        break;
    case FED_SCORE:
        fed_offer_set(&draft, "n", N_VAL);
        fed_offer_set(&draft, "n_positive", 8);
        fed_offer_set(&draft, "loss", 0.5);
        fed_offer_set(&draft, "accuracy", 0.75);
        fed_offer_set(&draft, "auc", 0.8);
        break;
    case FED_TEST:
        document = test_figures(w->home);
        break;
    default:
        break;
    }
    st = outbox_put_json(&w->item, w->home, p, w->order.run, &draft, document, err);
    json_decref(document);
    return st;
}

void order_carry_out(order_work *w)
{
    fl_err err = FL_ERR_INIT;
    policy p;
    w->item.fd = -1;
    w->text[0] = '\0';
    fl_status st;
    if ((st = policy_read(&p, w->home, &err)) == FL_OK && (st = open_job(w, &err)) == FL_OK &&
        (!w->order.has_model ||
         (st = base_model_check(&w->order, task_model_table(played.model), w->model, w->n_model,
                                &err)) == FL_OK)) {
        st = contribute(w, &p, &err);
    }
    w->outcome = st == FL_OK                      ? ORDER_CONTRIBUTED
                 : st == FL_EIO || st == FL_EFULL ? ORDER_LATER
                                                  : ORDER_REFUSED;
    if (st != FL_OK) {
        memcpy(w->text, err.text, sizeof w->text);
    }
}

bool order_may_leave(const home *h, const local *l, const fed_digest *digest)
{
    (void)l;
    (void)digest;
    policy p;
    return policy_read(&p, h, NULL) == FL_OK && p.approve_all;
}

/* The site's home, made when it is not there. */
static char *home_of(const char *dir, int number, fl_err *err)
{
    char *path = fl_xasprintf("%s/homes/site-%05d", dir, number);
    if (fl_file_exists(path)) {
        return path;
    }
    char *invitation = fl_xasprintf("%s/invitations/site-%05d.yaml", dir, number);
    policy p;
    fl_buf text = FL_BUF_INIT;
    policy_defaults(&p);
    p.approve_all = true;
    p.min_other_sites = 0;
    policy_text(&p, &text);
    home_plan plan = {.invitation = invitation, .dir = path, .data = "none", .policy = text.data};
    if (home_join(&plan, err) != FL_OK) {
        FL_FREE(path);
    }
    fl_buf_clear(&text);
    free(invitation);
    return path;
}

int main(int argc, char **argv)
{
    fl_err err = FL_ERR_INIT;
    if (argc < 4) {
        fprintf(stderr, "usage: play_sites DIR FIRST COUNT [OPTION]...\n");
        return 2;
    }
    int first = atoi(argv[2]), count = atoi(argv[3]), n = 0;
    char **args = fl_xcalloc(2 * (size_t)count + (size_t)argc, sizeof *args);
    args[n++] = argv[0];
    for (int i = first; i < first + count; i++) {
        char *path = home_of(argv[1], i, &err);
        if (path == NULL) {
            fprintf(stderr, "play_sites: %s\n", err.text);
            return 1;
        }
        args[n++] = (char *)"--home";
        args[n++] = path;
    }
    for (int i = 4; i < argc; i++) {
        args[n++] = argv[i];
    }
    fl_status st = client_run(n, args, &err);
    if (st != FL_OK) {
        fprintf(stderr, "play_sites: %s\n", err.text);
    }
    return st == FL_OK ? 0 : 1;
}
