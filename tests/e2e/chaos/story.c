/*
 * story.c - see story.h
 */
#include "story.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"

enum { MAX_EVENTS = 2000, EVENT_BYTES = 256, MAX_FILE_BYTES = 64 << 20 };

const char *story_fault_name(story_fault f)
{
    static const char *const names[STORY_N] = {"lost",   "double",   "differs",
                                               "unsaid", "unproven", "hangs"};
    return names[f];
}

void story_blame(story_verdict *v, story_fault f, const char *fmt, ...)
{
    if (story_is_good(v)) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(v->first, sizeof v->first, fmt, args);
        va_end(args);
    }
    v->n[f]++;
}

bool story_is_good(const story_verdict *v)
{
    for (int f = 0; f < STORY_N; f++) {
        if (v->n[f] > 0) {
            return false;
        }
    }
    return true;
}

// --------------------------------------------------------------- the record

/* An event under the state that it belongs to. */
typedef struct {
    int state;  // position of its state in the run
    char text[EVENT_BYTES];
} event;

typedef struct {
    event events[MAX_EVENTS];
    size_t n;
    char states[64][64];
    int n_states, now;
    bool lost;  // a spool was asked for again: what came twice is one
} events;

static void enter(events *e, const char *state, int64_t round)
{
    char name[64];
    snprintf(name, sizeof name, "%s %lld", state, (long long)round);
    for (e->now = 0; e->now < e->n_states; e->now++) {
        if (strcmp(e->states[e->now], name) == 0) {
            return;
        }
    }
    if (e->n_states < 64) {
        memcpy(e->states[e->n_states++], name, sizeof name);
    }
}

static void add(events *e, const char *fmt, ...)
{
    va_list args;
    if (e->n < MAX_EVENTS) {
        event *x = &e->events[e->n++];
        x->state = e->now;
        va_start(args, fmt);
        vsnprintf(x->text, sizeof x->text, fmt, args);
        va_end(args);
    }
}

static void add_line(events *e, const json_t *line, story_verdict *v)
{
    const char *what = fl_json_get_string(line, "what", ""),
               *site = fl_json_get_string(line, "site", ""),
               *kind = fl_json_get_string(line, "kind", ""),
               *reason = fl_json_get_string(line, "reason", "");
    long long round = fl_json_get_int(line, "round", 0);
    if (strcmp(what, "state") == 0) {
        enter(e, fl_json_get_string(line, "state", ""), round);
    } else if (strcmp(what, "contribution") == 0) {
        add(e, "contribution %s %lld %s %s", kind, round, site,
            fl_json_get_string(line, "digest", ""));
    } else if (strcmp(what, "carried") == 0) {
        add(e, "carried into %lld: %lld %s %s", round,
            (long long)fl_json_get_int(line, "from", 0), site,
            fl_json_get_string(line, "digest", ""));
    } else if (strcmp(what, "model") == 0) {
        add(e, "model %lld %s", round, fl_json_get_string(line, "model_sha256", ""));
    } else if (strcmp(what, "absent") == 0) {
        add(e, "absent %s %lld %s: %s", kind, round, site, reason);
        if (reason[0] == '\0') {
            story_blame(v, STORY_UNSAID, "%s is absent in round %lld without a reason", site,
                        round);
        }
    } else if (strcmp(what, "lost") == 0) {
        e->lost = true;
    }
}

static void read_record(events *e, const lane *l, story_verdict *v)
{
    char *path = fl_path_join(l->record, "audit.jsonl"), *text = lane_text(path), *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        json_t *json = json_loads(line, 0, NULL);
        if (json == NULL) {
            story_blame(v, STORY_UNPROVEN, "audit.jsonl holds a line that is no JSON: %.80s", line);
        } else {
            add_line(e, json, v);
        }
        json_decref(json);
    }
    free(text);
    free(path);
}

static int by_state_and_text(const void *a, const void *b)
{
    const event *x = a, *y = b;
    return x->state != y->state ? x->state - y->state : strcmp(x->text, y->text);
}

/* Twice the same is one only where the first was lost. */
static void find_doubles(events *e, story_verdict *v)
{
    size_t kept = 0;
    for (size_t i = 0; i < e->n; i++) {
        const event *x = &e->events[i];
        bool again = kept > 0 && strcmp(e->events[kept - 1].text, x->text) == 0;
        const char *digest = strrchr(x->text, ' ');
        size_t key = digest != NULL ? (size_t)(digest - x->text) : 0;
        bool other = !again && kept > 0 && strncmp(x->text, "contribution", 12) == 0 &&
                     strncmp(e->events[kept - 1].text, x->text, key + 1) == 0;
        if ((again && !e->lost && x->text[0] != 'm') || other) {
            story_blame(v, STORY_DOUBLE, "twice in the record: %.200s", x->text);
        }
        if (!again) {
            e->events[kept++] = *x;
        }
    }
    e->n = kept;
}

static bool has_event(const events *e, const char *text)
{
    for (size_t i = 0; i < e->n; i++) {
        if (strcmp(e->events[i].text, text) == 0) {
            return true;
        }
    }
    return false;
}

// ----------------------------------------------------------------- the sites

/* What a site was told is accepted, the record has; and no order has two answers. */
static void check_receipts(const events *e, const lane *l, int site, story_verdict *v)
{
    char *name = fl_xasprintf("home-%s/receipts.jsonl", world_site(site)),
         *path = lane_path(l, name), *text = lane_text(path), *rest = NULL;
    json_t *sent = json_object();
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        json_t *json = json_loads(line, 0, NULL);
        const char *what = fl_json_get_string(json, "what", ""),
                   *kind = fl_json_get_string(json, "kind", ""),
                   *digest = fl_json_get_string(json, "digest", "");
        long long round = fl_json_get_int(json, "round", 0);
        char key[64], wanted[EVENT_BYTES];
        bool is_update = strcmp(kind, "update") == 0;
        snprintf(key, sizeof key, "%s %lld", is_update ? "train" : kind, round);
        snprintf(wanted, sizeof wanted, "contribution %s %s %s", key, world_site(site), digest);
        if (strcmp(what, "accepted") == 0 && !has_event(e, wanted)) {
            story_blame(v, STORY_LOST, "%s was told that it is accepted, the record lacks it",
                        wanted);
        }
        if (strcmp(what, "sent") == 0 && is_update) {
            const char *before = fl_json_get_string(sent, key, digest);
            if (strcmp(before, digest) != 0) {
                story_blame(v, STORY_DOUBLE, "%s made two different updates of round %lld",
                            world_site(site), round);
            }
            json_object_set_new(sent, key, json_string(digest));
        }
        json_decref(json);
    }
    json_decref(sent);
    free(text);
    free(path);
    free(name);
}

// ---------------------------------------------------------------- the report

static void tell_names(fl_buf *out, const char *what, const json_t *list)
{
    fl_buf_printf(out, " %s", what);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        fl_buf_printf(out, " %s",
                      json_is_string(item) ? json_string_value(item)
                                           : fl_json_get_string(item, "site", "?"));
    }
}

static void tell_report(fl_buf *out, const lane *l, size_t n_sites, story_verdict *v)
{
    char *path = fl_path_join(l->record, "report/report.json");
    json_t *report = NULL;
    fl_err err = FL_ERR_INIT;
    if (fl_json_read(&report, path, MAX_FILE_BYTES, &err) != FL_OK) {
        story_blame(v, STORY_UNPROVEN, "%s", err.text);
    }
    const json_t *rounds = json_object_get(report, "rounds"), *round;
    size_t i;
    fl_buf_printf(out, "the model %s\n",
                  fl_json_get_string(json_object_get(report, "model"), "sha256", "?"));
    json_array_foreach(rounds, i, round) {
        const json_t *in = json_object_get(round, "participants"),
                     *absent = json_object_get(round, "absent");
        fl_buf_printf(out, "round %zu %s", i + 1, fl_json_get_string(round, "model_sha256", "?"));
        tell_names(out, "in", in);
        tell_names(out, "absent", absent);
        fl_buf_puts(out, "\n");
        if (json_array_size(in) + json_array_size(absent) != n_sites) {
            story_blame(v, STORY_UNSAID, "round %zu of the report: %zu in, %zu absent, %zu sites",
                        i + 1, json_array_size(in), json_array_size(absent), n_sites);
        }
        for (size_t k = 0; k < json_array_size(absent); k++) {
            if (fl_json_get_string(json_array_get(absent, k), "reason", "")[0] == '\0') {
                story_blame(v, STORY_UNSAID, "round %zu: an absence without a reason", i + 1);
            }
        }
    }
    json_decref(report);
    free(path);
}

/* Who was absent and came after all, before the stage closed, was not absent.  (Who came later was,
 * though its update may be carried.) */
static size_t count_absences(const events *e)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n; i++) {
        char kind[16], site[64], wanted[128];
        long long round;
        bool came = false;
        if (sscanf(e->events[i].text, "absent %15s %lld %63[^:]", kind, &round, site) != 3) {
            continue;
        }
        int n_wanted = snprintf(wanted, sizeof wanted, "contribution %s %lld %s ", kind, round,
                                site);
        for (size_t k = 0; k < e->n; k++) {
            came = came || (e->events[k].state == e->events[i].state &&
                            strncmp(e->events[k].text, wanted, (size_t)n_wanted) == 0);
        }
        n += !came;
    }
    return n;
}

char *story_read(lane *l, story_verdict *v)
{
    events *e = fl_xcalloc(1, sizeof *e);
    fl_buf out = FL_BUF_INIT;
    read_record(e, l, v);
    qsort(e->events, e->n, sizeof *e->events, by_state_and_text);
    find_doubles(e, v);
    v->n_absent = count_absences(e);
    for (int site = 0; site < WORLD_SITES; site++) {
        check_receipts(e, l, site, v);
    }
    tell_report(&out, l, WORLD_SITES + (size_t)l->has_liar, v);
    for (size_t i = 0; i < e->n; i++) {
        fl_buf_printf(&out, "%s\n", e->events[i].text);
    }
    free(e);
    return fl_buf_take(&out);
}

void story_compare(const char *story, const char *undisturbed, story_verdict *v)
{
    while (*story != '\0' && *undisturbed != '\0') {
        size_t n = strcspn(story, "\n"), m = strcspn(undisturbed, "\n");
        if (n != m || strncmp(story, undisturbed, n) != 0) {
            break;
        }
        story += n + (story[n] != '\0');
        undisturbed += m + (undisturbed[m] != '\0');
    }
    if (*story != *undisturbed || *story != '\0') {
        story_blame(v, STORY_DIFFERS, "\"%.*s\" where the undisturbed run has \"%.*s\"",
                    (int)strcspn(story, "\n"), story, (int)strcspn(undisturbed, "\n"), undisturbed);
    }
}
