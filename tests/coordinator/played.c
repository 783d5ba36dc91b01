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

bool is_training(fake *f)
{
    return round_now(run_machine(serve_active_run(f->serve))) == ROUND_TRAINING;
}

bool hears_wait(fake *f)
{
    return strstr(f->site[2].wait_text, "confirm") != NULL;
}

bool a_is_in(fake *f)
{
    return round_count(run_machine(serve_active_run(f->serve)), ROUND_IN) == 1 && is_training(f);
}
