/*
 * main.c - the chaos rig: breaks a federation on purpose, run after run
 *
 *     chaos [--runs N] [--first N] [--least FAULTS] [--lanes N] [--seed N] [--only KIND]
 *           [--patience S] [--coordinator PROGRAM] [--client PROGRAM] [--keep] [--verbose] [--until-bad]
 *
 * Lanes play side by side, each in a process of its own.  First the same job
 * is played undisturbed; every run under faults must come to the same model,
 * the same participants and the same events, or have each absence in its
 * report with the reason.  Prints a table of fault and outcome; exits with 1 when
 * a run lost something, counted it twice, differed or hung.
 */
#define _GNU_SOURCE  // MAP_ANONYMOUS

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"
#include "deal.h"
#include "disk.h"
#include "liar.h"

enum { MAX_LANES = 32, MAX_FILE_BYTES = 64 << 20 };

/* What the lanes share. */
typedef struct {
    atomic_size_t next, n_runs, n_bad;
    atomic_size_t struck[FAULT_N], skipped[FAULT_N], runs[FAULT_N], same[FAULT_N], absent[FAULT_N],
        bad[FAULT_N];
    atomic_size_t wrong[STORY_N];
} tally;

static struct {
    size_t runs, first, least;
    int lanes, patience_s;
    uint64_t seed;
    deal_kind only;
    bool keep, verbose, until_bad;
    world_programs programs;
} o = {.runs = 100, .lanes = 6, .patience_s = 240, .seed = 1, .only = DEAL_N};

static tally *shared;

// --------------------------------------------------------------------- lanes

static char *story_path(bool with_liar)
{
    return fl_path_join(o.programs.dir, with_liar ? "undisturbed-liar" : "undisturbed");
}

/* A lie is no lie unless it is told in the report. */
static void look_for_lie(const lane *l, const plan *p, outcome *out)
{
    const char *earns = liar_earns(p->lie);
    char *path = fl_path_join(l->record, "report/report.json");
    json_t *report = NULL;
    bool found = earns[0] == '\0';
    if (p->has_liar && !found && fl_json_read(&report, path, MAX_FILE_BYTES, NULL) == FL_OK) {
        const json_t *list = json_object_get(json_object_get(report, "security"), "refusals"), *r;
        size_t i;
        json_array_foreach(list, i, r) {
            found = found ||
                    strncmp(fl_json_get_string(r, "reason", ""), earns, strlen(earns)) == 0;
        }
        if (!found) {
            story_blame(&out->verdict, STORY_UNSAID, "no refusal in the report begins \"%s\"",
                        earns);
        }
    }
    json_decref(report);
    free(path);
}

static void count(const plan *p, const outcome *out)
{
    bool good = story_is_good(&out->verdict);
    for (int k = 0; k < FAULT_N; k++) {
        shared->struck[k] += out->struck[k];
        shared->skipped[k] += out->skipped[k];
        if (out->struck[k] > 0) {
            shared->runs[k]++;
            *(!good ? &shared->bad[k] : p->may_lack ? &shared->absent[k] : &shared->same[k]) += 1;
        }
    }
    for (int f = 0; f < STORY_N; f++) {
        shared->wrong[f] += out->verdict.n[f];
    }
    shared->n_runs++;
    shared->n_bad += !good;
}

/* A run that failed is kept to be looked at. */
static void show(const lane *l, size_t number, const plan *p, const outcome *out)
{
    bool good = story_is_good(&out->verdict);
    size_t struck = 0;
    for (int k = 0; k < FAULT_N; k++) {
        struck += out->struck[k];
    }
    printf("run %zu: %s, %zu faults, %.1f s%s%s\n", number, good ? "good" : "BAD", struck,
           out->seconds, good ? "" : ": ", out->verdict.first);
    if (!good || o.verbose) {
        char *what = deal_describe(p);
        printf("%s", what);
        free(what);
    }
    if (!good || o.keep) {
        char *kept = fl_xasprintf("%s/%s-%zu", o.programs.dir, good ? "run" : "bad", number);
        printf("  %s %s\n", rename(l->run_dir, kept) == 0 ? "left in" : "could not be moved to",
               kept);
        free(kept);
    }
    fflush(stdout);
}

static void play_one(lane *l, size_t number)
{
    plan p;
    outcome out;
    deal(&p, o.seed, number, o.only);
    char *path = story_path(p.has_liar), *undisturbed = lane_text(path);
    play(l, &p, undisturbed, o.patience_s, &out);
    if (story_is_good(&out.verdict)) {
        look_for_lie(l, &p, &out);
    }
    count(&p, &out);
    show(l, number, &p, &out);
    fl_remove_tree(l->run_dir, NULL);
    free(out.story);
    free(path);
    free(undisturbed);
}

/* The job without faults; what it comes to is kept for the others.  The mix begins with the proof
 * that a second such run comes to the same. */
static bool play_undisturbed(lane *l, bool with_liar)
{
    plan p = {.patience = "600s", .has_liar = with_liar};
    outcome first, second = {0};
    char *path = story_path(with_liar);
    play(l, &p, NULL, o.patience_s, &first);
    bool good = story_is_good(&first.verdict) &&
                fl_file_write(path, first.story, strlen(first.story), 0600, NULL) == FL_OK;
    if (good && !with_liar && o.only == DEAL_N) {
        fl_remove_tree(l->run_dir, NULL);
        play(l, &p, first.story, o.patience_s, &second);
        good = story_is_good(&second.verdict);
    }
    printf("undisturbed%s: %.1f s %s%s\n", with_liar ? ", with a fourth site" : "",
           first.seconds + second.seconds, first.verdict.first, second.verdict.first);
    fl_remove_tree(l->run_dir, NULL);
    fflush(stdout);
    free(first.story);
    free(second.story);
    free(path);
    return good;
}

enum { LANE_UNDISTURBED = -1, LANE_WITH_LIAR = -2 };

static int play_lane(int number)
{
    char why[512] = "";
    lane *l = lane_new(&o.programs, number, why, sizeof why);
    if (l == NULL) {
        printf("lane %d: %s\n", number, why);
        return 1;
    }
    bool good = number >= 0 || play_undisturbed(l, number == LANE_WITH_LIAR);
    for (size_t i; number >= 0 && !(o.until_bad && shared->n_bad > 0) &&
                   (i = atomic_fetch_add(&shared->next, 1)) < o.first + o.runs;) {
        play_one(l, i);
    }
    lane_destroy(&l);
    return good ? 0 : 1;
}

static pid_t start_lane(int number)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int code = play_lane(number);
        fflush(stdout);
        _exit(code);
    }
    return pid;
}

static bool lane_was_good(pid_t pid)
{
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// --------------------------------------------------------------------- table

/* Returns how many faults struck. */
static size_t print_table(double seconds)
{
    size_t struck = 0, skipped = 0;
    printf("\n%-38s %7s %6s %10s %8s %5s %8s\n", "fault", "struck", "runs", "same bits", "absent",
           "bad", "skipped");
    for (int k = 0; k < FAULT_N; k++) {
        printf("%-38s %7zu %6zu %10zu %8zu %5zu %8zu\n", fault_name((fault_kind)k),
               (size_t)shared->struck[k], (size_t)shared->runs[k], (size_t)shared->same[k],
               (size_t)shared->absent[k], (size_t)shared->bad[k], (size_t)shared->skipped[k]);
        struck += shared->struck[k];
        skipped += shared->skipped[k];
    }
    printf("\n%zu faults in %zu runs (seed %llu, %.0f s), %zu skipped; %zu bad runs\n"
           "%zu lost updates, %zu counted twice, %zu differing, %zu absences unsaid, "
           "%zu records that do not hold, %zu hangs\n",
           struck, (size_t)shared->n_runs, (unsigned long long)o.seed, seconds, skipped,
           (size_t)shared->n_bad, (size_t)shared->wrong[STORY_LOST],
           (size_t)shared->wrong[STORY_DOUBLE], (size_t)shared->wrong[STORY_DIFFERS],
           (size_t)shared->wrong[STORY_UNSAID], (size_t)shared->wrong[STORY_UNPROVEN],
           (size_t)shared->wrong[STORY_HANGS]);
    return struck;
}

// ----------------------------------------------------------------------- main

static int usage(void)
{
    fprintf(stderr,
            "usage: chaos [--runs N] [--first N] [--least N] [--lanes N] [--seed N] [--patience S]"
            " [--only KIND]\n             [--coordinator PROGRAM] [--client PROGRAM]"
            " [--keep] [--verbose] [--until-bad]\nkinds:");
    for (int k = 0; k < DEAL_N; k++) {
        fprintf(stderr, " %s", deal_name((deal_kind)k));
    }
    fprintf(stderr, "\n");
    return 2;
}

static bool read_kind(const char *name)
{
    for (int k = 0; k < DEAL_N; k++) {
        if (strcmp(deal_name((deal_kind)k), name) == 0) {
            o.only = (deal_kind)k;
            return true;
        }
    }
    return false;
}

static bool read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(name, "--keep") == 0) {
            o.keep = true;
            continue;
        }
        if (strcmp(name, "--until-bad") == 0) {
            o.until_bad = true;
            continue;
        }
        if (strcmp(name, "--verbose") == 0) {
            o.verbose = true;
            continue;
        }
        if (value == NULL) {
            return false;
        }
        i++;
        if (strcmp(name, "--runs") == 0) {
            o.runs = strtoul(value, NULL, 10);
        } else if (strcmp(name, "--first") == 0) {
            o.first = strtoul(value, NULL, 10);
        } else if (strcmp(name, "--least") == 0) {
            o.least = strtoul(value, NULL, 10);
        } else if (strcmp(name, "--lanes") == 0) {
            o.lanes = atoi(value);
        } else if (strcmp(name, "--seed") == 0) {
            o.seed = strcmp(value, "any") == 0 ? (uint64_t)fl_wall_ms() : strtoull(value, NULL, 10);
        } else if (strcmp(name, "--patience") == 0) {
            o.patience_s = atoi(value);
        } else if (strcmp(name, "--coordinator") == 0) {
            o.programs.coordinator = value;
        } else if (strcmp(name, "--client") == 0) {
            o.programs.client = value;
        } else if (strcmp(name, "--only") != 0 || !read_kind(value)) {
            return false;
        }
    }
    return o.lanes >= 1 && o.lanes <= MAX_LANES && o.runs >= 1 && o.patience_s >= 1;
}

static char *absolute(const char *path)
{
    char *here = getcwd(NULL, 0), *whole = fl_path_join(here, path);
    free(here);
    return whole;
}

static bool find_programs(void)
{
    const char *build = getenv("BUILD"), *tmp = getenv("TMPDIR");
    char *top = absolute(build != NULL ? build : "build"), *self = fl_program_dir();
    char *dir = fl_xasprintf("%s/consilium-chaos-XXXXXX", tmp != NULL ? tmp : "/tmp");
    world_programs *p = &o.programs;
    p->coordinator = p->coordinator != NULL ? absolute(p->coordinator)
                                            : fl_path_join(top, "bin/coordinator");
    p->client = p->client != NULL ? absolute(p->client) : fl_path_join(top, "bin/client");
    p->liar = fl_path_join(self, "chaos");
    p->preload = fl_path_join(self, "preload.so");
    p->dir = mkdtemp(dir);
    free(top);
    free(self);
    return p->dir != NULL && fl_file_exists(p->coordinator) && fl_file_exists(p->client) &&
           fl_file_exists(p->preload);
}

int main(int argc, char **argv)
{
    char why[512] = "";
    pid_t lanes[MAX_LANES];
    if (argc == 4 && strcmp(argv[1], "liar") == 0) {
        return liar_main(argv[2], argv[3]);
    }
    if (!read_options(argc, argv)) {
        return usage();
    }
    if (!find_programs() || !world_prepare(&o.programs, why, sizeof why)) {
        fprintf(stderr, "chaos: programs or folder not there: %s\n", why);
        return 1;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FL_REQUIRE(shared != MAP_FAILED);
    shared->next = o.first;
    if (!disk_allowed()) {
        printf("no small disks: the system allows no mount namespace\n");
    }
    printf("seed %llu\n", (unsigned long long)o.seed);
    double start = fl_now();
    pid_t plain = o.only == DEAL_LIES ? 0 : start_lane(LANE_UNDISTURBED),
          lying = o.only == DEAL_LIES || o.only == DEAL_N ? start_lane(LANE_WITH_LIAR) : 0;
    bool good = plain == 0 || lane_was_good(plain);
    good = (lying == 0 || lane_was_good(lying)) && good;
    for (int i = 0; i < o.lanes && good; i++) {
        lanes[i] = start_lane(i);
    }
    bool all_ended = good;
    for (int i = 0; i < o.lanes && good; i++) {
        all_ended = lane_was_good(lanes[i]) && all_ended;
    }
    size_t struck = print_table(fl_now() - start);
    if (struck < o.least) {
        printf("fewer faults than the %zu that were wanted\n", o.least);
    }
    bool bad = !all_ended || shared->n_bad > 0 || struck < o.least;
    if (!bad && !o.keep) {
        fl_remove_tree(o.programs.dir, NULL);
    }
    return bad ? 1 : 0;
}
