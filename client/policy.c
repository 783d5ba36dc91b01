/*
 * policy.c - see policy.h
 */
#include "client/policy.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cfg.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/sys.h"

enum {
    MIN_PREFIX = 8,                 // digits a person must type to name a job
    MAX_APPROVED_BYTES = 16 << 20,  // of approved.jsonl
    N_TASKS = DATA_REGRESS + 1
};

// ---------------------------------------------------------------- policy.yaml

void policy_defaults(policy *out)
{
    *out = (policy){
        .approve_all = false,
        .tasks = 1u << DATA_CLASSIFY,
        .max_parameters = 20000000,
        .max_rounds = 200,
        .min_cell = 10,
        .figures = true,
        .histogram_bins = 20,
        .min_other_sites = 2,
    };
}

static void add_tasks(const policy *p, fl_buf *out)
{
    const char *separator = "";
    for (int t = 0; t < N_TASKS; t++) {
        if (p->tasks & 1u << t) {
            fl_buf_printf(out, "%s%s", separator, data_task_name((data_task)t));
            separator = ", ";
        }
    }
}

void policy_text(const policy *p, fl_buf *out)
{
    fl_buf_puts(
        out,
        "# policy.yaml - what this hospital allows\n"
        "#\n"
        "# The client obeys this file whatever the coordinator asks for, and reads it\n"
        "# again before every order: a change takes effect at once.\n"
        "\n"
        "# each: every job waits until a person has looked at it (`consilium-client approve`).\n"
        "# all:  every job within the limits below starts by itself.\n");
    fl_buf_printf(out, "approve: %s\n", p->approve_all ? "all" : "each");
    fl_buf_puts(out, "\n# Kinds of job: classify, multilabel, segment, regress.\ntasks: [");
    add_tasks(p, out);
    fl_buf_puts(out, "]\n\n# The largest model that is trained here, in parameters.\n");
    fl_buf_printf(out, "max_parameters: %" PRId64 "\n", p->max_parameters);
    fl_buf_puts(out, "\n# The most rounds of one job.  Every round sends one update.\n");
    fl_buf_printf(out, "max_rounds: %" PRId64 "\n", p->max_rounds);
    fl_buf_puts(out,
                "\n# No cell of a table (a subgroup, a class, a value of an attribute) with\n"
                "# fewer patients than this may leave.  A job that asks for less is refused.\n");
    fl_buf_printf(out, "min_cell: %" PRId64 "\n", p->min_cell);
    fl_buf_puts(out,
                "\n# Statistics that may leave.  figures: AUC, accuracy and the like on this\n"
                "# hospital's own validation and test cases.  histogram_bins: the finest\n"
                "# histogram of the model's scores; 0 = none.  With 20 or fewer, neighbouring\n"
                "# bins are joined until each count is of min_cell patients or more.\n");
    fl_buf_printf(out, "statistics: {figures: %s, histogram_bins: %" PRId64 "}\n",
                  p->figures ? "true" : "false", p->histogram_bins);
    fl_buf_puts(out,
                "\n# This hospital's own model, trained on its cases alone.\n"
                "# stays:  it never leaves.\n"
                "# leaves: in a job that asks for it (evaluation: cross_site), and only where\n"
                "#         every hospital says so, it goes to the coordinator and to all of\n"
                "#         them, once, after the test, to be judged there.  It may tell more of\n"
                "#         the cases that it learnt from than the shared model does, and nobody\n"
                "#         can make others forget it.\n");
    fl_buf_printf(out, "own_model: %s\n", p->own_model_leaves ? "leaves" : "stays");
    fl_buf_puts(out,
                "\n# A job that may add this hospital's update to those of fewer other hospitals\n"
                "# (its quorum, less one) waits for a person, whatever `approve` says.\n");
    fl_buf_printf(out, "min_other_sites: %" PRId64 "\n", p->min_other_sites);
}

static void read_tasks(policy *out, fl_node root)
{
    fl_node list = fl_cfg_list(root, "tasks", "kinds of job that are allowed");
    if (!fl_cfg_present(list)) {
        return;  // the default
    }
    out->tasks = 0;
    for (size_t i = 0; i < fl_cfg_count(list); i++) {
        fl_node item = fl_cfg_item(list, i);
        data_task task;
        const char *name = fl_node_text(item, "task");
        if (!data_task_parse(&task, name)) {
            fl_cfg_complain(item,
                            "tasks: expected classify, multilabel, segment "
                            "or regress, found %s",
                            name);
            return;
        }
        out->tasks |= 1u << task;
    }
}

static void read_keys(policy *out, fl_node root)
{
    static const char *const approve[] = {"each", "all", NULL};
    static const char *const own_model[] = {"stays", "leaves", NULL};
    policy_defaults(out);
    out->approve_all = fl_cfg_choice(root, "approve", approve, 0,
                                     "each: a person looks at every job; all: none waits") == 1;
    read_tasks(out, root);
    out->max_parameters = fl_cfg_int(root, "max_parameters", 0, INT64_C(2000000000),
                                     out->max_parameters, "largest model");
    out->max_rounds = fl_cfg_int(root, "max_rounds", 0, 1000000, out->max_rounds, "most rounds");
    out->min_cell = fl_cfg_int(root, "min_cell", 1, 1000000, out->min_cell,
                               "fewest patients behind a number that leaves");
    fl_node statistics = fl_cfg_map(root, "statistics", "which statistics may leave");
    out->figures = fl_cfg_bool(statistics, "figures", out->figures, "metrics of own cases");
    out->histogram_bins = fl_cfg_int(statistics, "histogram_bins", 0, 100000, out->histogram_bins,
                                     "finest score histogram; 0 = none");
    out->own_model_leaves = fl_cfg_choice(root, "own_model", own_model, 0,
                                          "leaves: the model trained here alone may be judged by "
                                          "every other hospital, where all allow it") == 1;
    out->min_other_sites = fl_cfg_int(root, "min_other_sites", 0, 100000, out->min_other_sites,
                                      "fewest other hospitals in a sum; else a person decides");
}

void policy_describe(FILE *out)
{
    policy ignored;
    fl_cfg *doc = fl_cfg_describe(out);
    read_keys(&ignored, fl_cfg_root(doc));
    fl_cfg_destroy(&doc);
}

/*
 * Every order asks for the policy, and a process may serve hundreds of homes: a file that is
 * the one that was read last, by its number, size and time of change, is not read again.
 * One that changed a moment ago may change once more within the clock's step.
 */
enum { REMEMBERED_BITS = 12, MOMENT_MS = 2000 };

static struct {
    pthread_mutex_t mutex;
    struct {
        dev_t device;
        ino_t number;
        off_t size;
        struct timespec changed;
        policy policy;
    } item[1 << REMEMBERED_BITS];  // by slot_of their number
} remembered = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Homes that are made in a row have numbers at even distances: these are spread (Knuth, The Art of
 * Computer Programming 3, 6.4: Fibonacci hashing). */
static size_t slot_of(ino_t number)
{
    return (size_t)(((uint64_t)number * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - REMEMBERED_BITS));
}

static bool recall(policy *out, const struct stat *f)
{
    pthread_mutex_lock(&remembered.mutex);
    const size_t i = slot_of(f->st_ino);
    bool same = f->st_ino != 0 && remembered.item[i].number == f->st_ino &&
                remembered.item[i].device == f->st_dev && remembered.item[i].size == f->st_size &&
                remembered.item[i].changed.tv_sec == f->st_ctim.tv_sec &&
                remembered.item[i].changed.tv_nsec == f->st_ctim.tv_nsec;
    if (same) {
        *out = remembered.item[i].policy;
    }
    pthread_mutex_unlock(&remembered.mutex);
    return same;
}

static void remember(const policy *p, const struct stat *f)
{
    int64_t changed_ms = (int64_t)f->st_ctim.tv_sec * 1000 + f->st_ctim.tv_nsec / 1000000;
    if (fl_wall_ms() - changed_ms < MOMENT_MS) {
        return;
    }
    pthread_mutex_lock(&remembered.mutex);
    const size_t i = slot_of(f->st_ino);
    remembered.item[i].device = f->st_dev;
    remembered.item[i].number = f->st_ino;
    remembered.item[i].size = f->st_size;
    remembered.item[i].changed = f->st_ctim;
    remembered.item[i].policy = *p;
    pthread_mutex_unlock(&remembered.mutex);
}

fl_status policy_read(policy *out, const home *h, fl_err *err)
{
    char *path = home_path(h, "policy.yaml");
    fl_cfg *cfg = NULL;
    struct stat before;
    bool there = stat(path, &before) == 0;
    fl_status st = FL_OK;
    if (there && recall(out, &before)) {
        goto done;
    }
    st = fl_cfg_read(&cfg, path, err);
    if (st == FL_OK) {
        read_keys(out, fl_cfg_root(cfg));
        st = fl_cfg_finish(cfg, err);
    }
    if (st == FL_OK && there) {
        remember(out, &before);
    }
    fl_cfg_destroy(&cfg);
done:
    free(path);
    return st;
}

json_t *policy_json(const policy *p)
{
    fl_buf tasks = FL_BUF_INIT;
    json_t *json = json_object();
    add_tasks(p, &tasks);
    json_object_set_new(json, "approve", json_string(p->approve_all ? "all" : "each"));
    json_object_set_new(json, "tasks", json_string(tasks.data == NULL ? "" : tasks.data));
    json_object_set_new(json, "max_parameters", json_integer(p->max_parameters));
    json_object_set_new(json, "max_rounds", json_integer(p->max_rounds));
    json_object_set_new(json, "min_cell", json_integer(p->min_cell));
    json_object_set_new(json, "figures", json_boolean(p->figures));
    json_object_set_new(json, "histogram_bins", json_integer(p->histogram_bins));
    json_object_set_new(json, "own_model", json_string(p->own_model_leaves ? "leaves" : "stays"));
    json_object_set_new(json, "min_other_sites", json_integer(p->min_other_sites));
    fl_buf_clear(&tasks);
    return json;
}

// ------------------------------------------------------------------- judging

static bool refuse(char *why, const char *what, int64_t limit, const char *sense, int64_t found)
{
    snprintf(why, FED_TEXT_BYTES,
             "this hospital's policy allows %s of %s %" PRId64 ", the job has %" PRId64, what,
             sense, limit, found);
    return true;
}

static bool is_over_a_limit(const policy *p, const job *j, int64_t n_parameters, char *why)
{
    if (!(p->tasks & 1u << j->data.task)) {
        snprintf(why, FED_TEXT_BYTES, "this hospital's policy does not allow jobs of task %s",
                 data_task_name(j->data.task));
        return true;
    }
    if (n_parameters > p->max_parameters) {
        return refuse(why, "a number of parameters", p->max_parameters, "at most", n_parameters);
    }
    if (j->rounds > p->max_rounds) {
        return refuse(why, "a number of rounds", p->max_rounds, "at most", j->rounds);
    }
    if (j->evaluation.min_cell < p->min_cell) {
        return refuse(why, "an evaluation.min_cell", p->min_cell, "at least",
                      j->evaluation.min_cell);
    }
    return false;
}

static bool has_few_others(const policy *p, const job *j)
{
    return j->sites.quorum - 1 < p->min_other_sites;
}

static void add_few_others(const policy *p, const job *j, char *out, size_t n)
{
    snprintf(out, n,
             "its quorum of %" PRId64 " sites is less than the %" PRId64
             " that the policy wants in a sum",
             j->sites.quorum, p->min_other_sites + 1);
}

policy_verdict policy_judge(const policy *p, const job *j, int64_t n_parameters, bool approved,
                            char *why)
{
    why[0] = '\0';
    if (is_over_a_limit(p, j, n_parameters, why)) {
        return POLICY_REFUSES;
    }
    bool few_others = has_few_others(p, j);
    if (approved || (p->approve_all && !few_others)) {
        return POLICY_ALLOWS;
    }
    int n = snprintf(why, FED_TEXT_BYTES,
                     "waits for a person at the hospital: `consilium-client approve`");
    if (few_others) {
        n += snprintf(why + n, FED_TEXT_BYTES - (size_t)n, "; ");
        add_few_others(p, j, why + n, FED_TEXT_BYTES - (size_t)n);
    }
    return POLICY_ASKS;
}

void policy_why(const policy *p, const job *j, char *why)
{
    policy_verdict now = policy_judge(p, j, 0, false, why);
    int n = 0;
    if (now == POLICY_ALLOWS) {
        snprintf(why, FED_TEXT_BYTES, "policy.yaml lets it begin now, without an approval");
    } else if (now == POLICY_ASKS) {
        if (!p->approve_all) {
            n = snprintf(why, FED_TEXT_BYTES, "policy.yaml says approve: each%s",
                         has_few_others(p, j) ? "; " : "");
        }
        if (has_few_others(p, j)) {
            add_few_others(p, j, why + n, FED_TEXT_BYTES - (size_t)n);
        }
    }
}

int64_t policy_bins(const policy *p, int64_t wanted)
{
    int64_t bins = wanted < p->histogram_bins ? wanted : p->histogram_bins;
    while (bins > 0 && wanted % bins != 0) {
        bins--;
    }
    return bins;
}

// ------------------------------------------- jobs that a person must look at

/* suffix: "yaml", the job's text, or "onnx", its graph */
static char *pending_path(const home *h, const fed_digest *digest, const char *suffix)
{
    char hex[FL_HEX_DIGEST];
    fl_hex(hex, digest->bytes, sizeof digest->bytes);
    char *dir = home_path(h, "pending");
    char *path = fl_xasprintf("%s/%s.%s", dir, hex, suffix);
    free(dir);
    return path;
}

bool policy_approved(const home *h, const fed_digest *digest)
{
    char hex[FL_HEX_DIGEST];
    char *path = home_path(h, "approved.jsonl");
    char *text = NULL;
    size_t n = 0;
    fl_hex(hex, digest->bytes, sizeof digest->bytes);
    bool found = fl_file_read(&text, &n, path, MAX_APPROVED_BYTES, NULL) == FL_OK &&
                 strstr(text, hex) != NULL;
    free(text);
    free(path);
    return found;
}

fl_status policy_hold(const home *h, const fed_digest *digest, const char *text, size_t n,
                      const job_graph *graph, fl_err *err)
{
    char *path = pending_path(h, digest, "yaml"), *graph_path = pending_path(h, digest, "onnx");
    bool has_graph = graph != NULL && graph->bytes != NULL;
    fl_status st = FL_OK;
    if (has_graph && !fl_file_exists(graph_path)) {
        st = fl_file_write(graph_path, graph->bytes, graph->n, 0644, err);
    }
    if (st == FL_OK && !fl_file_exists(path)) {
        st = fl_file_write(path, text, n, 0644, err);
    }
    free(graph_path);
    free(path);
    return st;
}

void policy_drop(const home *h, const fed_digest *digest)
{
    static const char *const suffixes[] = {"yaml", "onnx"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *path = pending_path(h, digest, suffixes[i]);
        unlink(path);
        free(path);
    }
}

char *policy_held_graph(const home *h, const fed_digest *digest)
{
    char *path = pending_path(h, digest, "onnx");
    if (!fl_file_exists(path)) {
        FL_FREE(path);
    }
    return path;
}

fl_status policy_waiting(const home *h, fed_digest **out, size_t *n, fl_err *err)
{
    char *dir = home_path(h, "pending");
    char **names = NULL;
    size_t n_names = 0;
    *out = NULL;
    *n = 0;
    fl_status st = fl_is_dir(dir) ? fl_list_dir(&names, &n_names, dir, err) : FL_OK;
    fed_digest *found = fl_xcalloc(n_names, sizeof *found);
    for (size_t i = 0; i < n_names; i++) {
        char *dot = strrchr(names[i], '.');
        if (dot == NULL || strcmp(dot, ".yaml") != 0) {
            continue;
        }
        *dot = '\0';
        if (fl_unhex(found[*n].bytes, sizeof found->bytes, names[i], NULL) == FL_OK) {
            (*n)++;
        }
    }
    fl_names_free(&names, n_names);
    free(dir);
    *out = found;
    return st;
}

fl_status policy_held_text(const home *h, const fed_digest *digest, char **text, size_t *n,
                           fl_err *err)
{
    char *path = pending_path(h, digest, "yaml");
    fl_status st = fl_file_read(text, n, path, JOB_MAX_BYTES, err);
    free(path);
    return st;
}

static fl_status find_waiting(const home *h, const char *hex, fed_digest *out, fl_err *err)
{
    fed_digest *waiting = NULL;
    size_t n = 0, n_found = 0;
    size_t digits = strlen(hex);
    if (digits < MIN_PREFIX || digits >= FL_HEX_DIGEST) {
        return fl_fail(err, FL_EUSAGE,
                       "a job is named by 8 to 64 hexadecimal digits of its digest, found '%s'",
                       hex);
    }
    fl_status st = policy_waiting(h, &waiting, &n, err);
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        char text[FL_HEX_DIGEST];
        fl_hex(text, waiting[i].bytes, sizeof waiting[i].bytes);
        if (strncmp(text, hex, digits) == 0) {
            *out = waiting[i];
            n_found++;
        }
    }
    free(waiting);
    if (st == FL_OK && n_found == 0) {
        return fl_fail(err, FL_ENOTFOUND,
                       "no waiting job's digest begins with %s; `consilium-client approve "
                       "--home %s` lists them",
                       hex, h->dir);
    }
    if (st == FL_OK && n_found > 1) {
        return fl_fail(err, FL_EUSAGE, "%zu waiting jobs' digests begin with %s; give more digits",
                       n_found, hex);
    }
    return st;
}

fl_status policy_approve(const home *h, const char *hex, fed_digest *out, fl_err *err)
{
    fl_status st = find_waiting(h, hex, out, err);
    if (st != FL_OK) {
        return st;
    }
    char digest[FL_HEX_DIGEST], when[32];
    fl_hex(digest, out->bytes, sizeof out->bytes);
    fl_iso_time(when, sizeof when, fl_wall_ms());
    const char *person = getenv("USER");
    json_t *line = json_object();
    json_object_set_new(line, "time", json_string(when));
    json_object_set_new(line, "job", json_string(digest));
    json_object_set_new(line, "by", json_string(person == NULL ? "" : person));
    char *text = json_dumps(line, JSON_COMPACT);
    FL_REQUIRE(text != NULL);
    char *record = fl_xasprintf("%s\n", text);
    char *path = home_path(h, "approved.jsonl");
    st = fl_file_append(path, record, strlen(record), err);
    free(path);
    free(record);
    free(text);
    json_decref(line);
    return st;
}
