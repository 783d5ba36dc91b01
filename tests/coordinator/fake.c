/*
 * fake.c - the federation of fake sites, and its real coordinator; see fake.h
 */
#include "fake.h"

#include "check.h"

#include "base/json.h"
#include "coordinator/round.h"

char *fake_job(int rounds, int quorum, const char *strategy_yaml, int features,
               const char *patience, const char *more)
{
    return fl_xasprintf(
        "name: fake\n"
        "task: classify\n"
        "data: {input: [%d], classes: [normal, opacity], positive: opacity}\n"
        "model: {name: logistic}\n"
        "rounds: %d\n"
        "seed: 11\n"
        "strategy: %s\n"
        "local: {steps: 10, batch: 4, lr: 0.1}\n"
        "sites: {quorum: %d, patience: %s}\n"
        "select: {metric: auc, split: val, keep: best}\n"
        "evaluation: {threshold: {rule: youden, split: val}, histogram_bins: 20}\n%s",
        features, rounds, strategy_yaml, quorum, patience, more);
}

roster *fake_roster(const fake *f)
{
    fl_err err = FL_ERR_INIT;
    roster *r = NULL;
    char *db = federation_path(&f->fed, "federation.db");
    check_ok(roster_open(&r, db, &err), err);
    free(db);
    return r;
}

fake_site *fake_invite(fake *f, const char *name, int days, bool confirm)
{
    fl_err err = FL_ERR_INIT;
    check(f->n_sites < FAKE_MAX_SITES);
    fake_site *s = &f->site[f->n_sites];
    s->enc = FED_ENC_F32;
    s->fake = f;
    s->number = (int)f->n_sites++;
    snprintf(s->name, sizeof s->name, "%s", name);
    s->id = fed_identity_new();
    fed_invitation *inv = &s->invitation;
    fed_identity *one_time = fed_identity_new();
    check_ok(fed_site_id_parse(&inv->site, name, &err), err);
    inv->curve_public = fed_identity_public(one_time);
    memcpy(inv->curve_secret, fed_identity_curve_secret(one_time), sizeof inv->curve_secret);
    memcpy(inv->id, inv->curve_public.bytes, sizeof inv->id);
    inv->expires_ms = fl_wall_ms() + (int64_t)days * 86400000;
    fed_identity_destroy(&one_time);
    roster *r = fake_roster(f);
    check_ok(roster_invite(r, inv, confirm, &err), err);
    roster_close(&r);
    return s;
}

void fake_remove(const fake *f, const char *site)
{
    fl_err err = FL_ERR_INIT;
    roster *r = fake_roster(f);
    check_ok(roster_remove(r, site, &err), err);
    roster_close(&r);
}

fake *fake_new(size_t n_sites, const char *yaml)
{
    fl_err err = FL_ERR_INIT;
    fed_init();
    fake *f = fl_xcalloc(1, sizeof *f);
    f->dir = check_tmpdir();
    char *fed_dir = fl_path_join(f->dir, "fed");
    check_ok(federation_init(fed_dir, "fakes", "tcp://127.0.0.1:7700", &err), err);
    check_ok(federation_open(&f->fed, fed_dir, &err), err);
    f->job_path = fl_path_join(f->dir, "job.yaml");
    check_ok(fl_file_write(f->job_path, yaml, strlen(yaml), 0644, &err), err);
    for (size_t i = 0; i < n_sites; i++) {
        char name[16];
        snprintf(name, sizeof name, "site-%c", (int)('a' + i));
        fake_invite(f, name, 1, false);
    }
    free(fed_dir);
    return f;
}

void fake_kill(fake *f)
{
    serve_destroy(&f->serve);
    for (size_t i = 0; i < f->n_sites; i++) {
        fed_link_close(&f->site[i].link);
        f->site[i].welcome = false;
    }
}

void fake_free(fake **f)
{
    fake_kill(*f);
    for (size_t i = 0; i < (*f)->n_sites; i++) {
        fake_site *s = &(*f)->site[i];
        fake_site_kill(s);
        for (size_t k = 0; k < s->n_kept; k++) {
            free(s->kept[k].items);
        }
        fed_identity_destroy(&s->id);
        fed_identity_destroy(&s->next);
        fed_invitation_clear(&s->invitation);
    }
    federation_close(&(*f)->fed);
    check_rmdir(&(*f)->dir);
    free((*f)->job_path);
    FL_FREE(*f);
}

fl_status fake_start(fake *f, bool with_job, fl_err *err)
{
    char *dir = NULL;
    fl_status st = FL_OK;
    if (with_job) {
        roster *r = fake_roster(f);
        st = run_create(&dir, &f->fed, r, f->job_path, NULL, err);
        roster_close(&r);
    }
    if (st == FL_OK) {
        serve_config cfg = {.fed = &f->fed,
                            .run_dir = dir,
                            .beat_ms = 100,
                            .group_ms = f->one_at_a_time ? -1 : 0,
                            .quiet = true,
                            .probe = f->probe,
                            .probe_ctx = f->probe_ctx};
        st = serve_new(&f->serve, &cfg, err);
    }
    if (st == FL_OK && f->drop != NULL) {
        serve_set_drop(f->serve, f->drop, f->drop_ctx);
    }
    free(dir);
    return st;
}

fl_status fake_step(fake *f, bool *done, fl_err *err)
{
    f->turn++;
    for (size_t i = 0; i < f->n_sites; i++) {
        if (!f->one_at_a_time || f->turn % f->n_sites == i) {
            fake_site_step(&f->site[i]);
        }
    }
    return serve_step(f->serve, 1, done, err);
}

fl_status fake_run(fake *f, fl_err *err)
{
    int64_t until = fl_now_ms() + 60000;
    bool done = false;
    while (!done) {
        fl_status st = fake_step(f, &done, err);
        if (st != FL_OK) {
            return st;
        }
        if (fl_now_ms() > until) {
            char text[512] = "";
            round_describe(run_machine(serve_active_run(f->serve)), text, sizeof text);
            check_fail("the run does not end: %s", text);
        }
    }
    return FL_OK;
}

bool fake_until(fake *f, bool (*cond)(fake *f), fl_err *err)
{
    int64_t until = fl_now_ms() + 20000;
    while (!cond(f)) {
        bool done;
        if (fl_now_ms() > until || fake_step(f, &done, err) != FL_OK) {
            return false;
        }
    }
    return true;
}

char *fake_run_path(const fake *f, const char *part)
{
    char *relative = fl_xasprintf("runs/fake/%s", part);
    char *path = federation_path(&f->fed, relative);
    free(relative);
    return path;
}

json_t *fake_report(const fake *f)
{
    fl_err err = FL_ERR_INIT;
    json_t *report = NULL;
    char *path = fake_run_path(f, "report/report.json");
    check_ok(fl_json_read(&report, path, 1 << 26, &err), err);
    free(path);
    return report;
}
