/*
 * played.c - see played.h
 */
#include "played.h"

#include "check.h"

#include "base/json.h"

fake *started(size_t n_sites, int quorum, int rounds, const char *patience, const char *more)
{
    fl_err err = FL_ERR_INIT;
    char *yaml = fake_job(rounds, quorum, "{name: fedavg}", 6, patience, more);
    fake *f = fake_new(n_sites, yaml);
    check_ok(fake_start(f, true, &err), err);
    free(yaml);
    return f;
}

const char *model_sha256(const json_t *report)
{
    return fl_json_get_string(json_object_get(report, "model"), "sha256", "");
}

char *played_sha256(const fake *f)
{
    json_t *report = fake_report(f);
    char *sha256 = fl_xstrdup(model_sha256(report));
    json_decref(report);
    return sha256;
}

char *undisturbed(size_t n_sites, const char *yaml)
{
    fl_err err = FL_ERR_INIT;
    fake *f = fake_new(n_sites, yaml);
    check_ok(fake_start(f, true, &err), err);
    check_ok(fake_run(f, &err), err);
    json_t *report = fake_report(f), *round;
    char *sha256 = fl_xstrdup(model_sha256(report));
    size_t i;
    json_array_foreach(json_object_get(report, "rounds"), i, round)
    {
        check_int(json_array_size(json_object_get(round, "participants")), n_sites);
    }
    json_decref(report);
    fake_free(&f);
    return sha256;
}

fake *in_second_round(const char *yaml, uint32_t version)
{
    fl_err err = FL_ERR_INIT;
    fake *f = fake_new(3, yaml);
    f->site[1].version = version;
    check_ok(fake_start(f, true, &err), err);
    check(fake_until(f, is_training_second, &err));
    return f;
}

void plays_to(fake *f, const char *sha256)
{
    fl_err err = FL_ERR_INIT;
    check_ok(fake_run(f, &err), err);
    char *found = played_sha256(f);
    check_str(found, sha256);
    free(found);
}

bool kill_once_everywhere(void *ctx, const char *where)
{
    killer *k = ctx;
    for (size_t i = 0; i < k->n; i++) {
        if (strcmp(k->seen[i], where) == 0) {
            return true;
        }
    }
    check(k->n < 200);
    snprintf(k->seen[k->n++], sizeof k->seen[0], "%s", where);
    return false;
}

const char *absence_in(const json_t *list, const char *site)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (strcmp(fl_json_get_string(item, "site", ""), site) == 0) {
            return fl_json_get_string(item, "reason", "");
        }
    }
    return NULL;
}

const char *absence(const json_t *report, size_t round, const char *site)
{
    return absence_in(
        json_object_get(json_array_get(json_object_get(report, "rounds"), round - 1), "absent"),
        site);
}

bool was_refused(const json_t *report, const char *what, const char *reason)
{
    size_t i;
    json_t *r;
    json_array_foreach(json_object_get(json_object_get(report, "security"), "refusals"), i, r)
    {
        if (strcmp(fl_json_get_string(r, "what", ""), what) == 0 &&
            strstr(fl_json_get_string(r, "reason", ""), reason) != NULL) {
            return true;
        }
    }
    return false;
}

const round_machine *machine_of(fake *f)
{
    return run_machine(serve_active_run(f->serve));
}

bool is_training(fake *f)
{
    return round_now(machine_of(f)) == ROUND_TRAINING;
}

bool is_training_second(fake *f)
{
    return is_training(f) && round_number(machine_of(f)) == 2;
}

bool hears_wait(fake *f)
{
    return strstr(f->site[2].wait_text, "confirm") != NULL;
}

bool a_is_in(fake *f)
{
    return round_count(machine_of(f), ROUND_IN) == 1 && is_training(f);
}

bool b_has_rotated(fake *f)
{
    return f->site[1].n_rotated > 0 && f->site[1].welcome;
}
