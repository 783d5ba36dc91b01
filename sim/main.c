/*
 * main.c - consilium-sim: hospitals that differ, and the real programs run on them
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cli.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "report/report.h"
#include "sim/gallery.h"
#include "sim/hospital.h"
#include "sim/play.h"
#include "sim/scenario.h"
#include "sim/sweep.h"

enum { MAX_REPORT_BYTES = 256 * 1024 * 1024 };

/* What `hospital` and `run` are given; the tables below point into it. */
static struct {
    const char *scenario, *out, *gallery, *seeds;
    int64_t seed;
    fl_texts set, sweep;
    bool quiet, reverse;
} opt = {.seed = -1};

static const fl_opt *hospital_options(void)
{
    static const fl_opt options[] = {{.name = "scenario",
                                      .kind = FL_OPT_TEXT,
                                      .arg = "S.yaml",
                                      .help = "the scenario",
                                      .out = &opt.scenario,
                                      .required = true},
                                     {.name = "out",
                                      .kind = FL_OPT_TEXT,
                                      .arg = "DIR",
                                      .help = "where the data sets go, a folder a hospital",
                                      .out = &opt.out,
                                      .required = true},
                                     {.name = "gallery",
                                      .kind = FL_OPT_TEXT,
                                      .arg = "PNG",
                                      .help = "also a picture: one row a hospital",
                                      .out = &opt.gallery},
                                     {.name = "seed",
                                      .kind = FL_OPT_INT,
                                      .arg = "N",
                                      .help = "instead of the job's seed",
                                      .out = &opt.seed,
                                      .min = 0,
                                      .max = 9e15},
                                     {.name = "set",
                                      .kind = FL_OPT_LIST,
                                      .arg = "a.b=V",
                                      .help = "changes a key of the job, or hospitals.NAME.key",
                                      .out = &opt.set},
                                     {0}};
    return options;
}

static const fl_opt *run_options(void)
{
    static const fl_opt options[] = {
        {.name = "out",
         .kind = FL_OPT_TEXT,
         .arg = "DIR",
         .help = "where everything goes",
         .out = &opt.out,
         .required = true},
        {.name = "seed",
         .kind = FL_OPT_INT,
         .arg = "N",
         .help = "instead of the job's seed",
         .out = &opt.seed,
         .min = 0,
         .max = 9e15},
        {.name = "set",
         .kind = FL_OPT_LIST,
         .arg = "a.b=V",
         .help = "changes a key of the job, or hospitals.NAME.key",
         .out = &opt.set},
        {.name = "sweep",
         .kind = FL_OPT_LIST,
         .arg = "a.b=V,W",
         .help = "runs every value (several: their product) into results.csv",
         .out = &opt.sweep},
        {.name = "seeds",
         .kind = FL_OPT_TEXT,
         .arg = "1-10",
         .help = "runs every seed",
         .out = &opt.seeds},
        {.name = "quiet",
         .kind = FL_OPT_FLAG,
         .help = "no line of progress; what the coordinator says goes to OUT/logs",
         .out = &opt.quiet},
        {.name = "reverse",
         .kind = FL_OPT_FLAG,
         .help = "starts the clients in reverse order: the model must not care",
         .out = &opt.reverse},
        {0}};
    return options;
}

/* --set a.b=value -> path and value; *settings is the caller's, and so are the paths. */
static fl_status parse_settings(scenario_setting **settings, const fl_texts *texts, fl_err *err)
{
    *settings = fl_xcalloc(texts->n + 1, sizeof **settings);
    for (size_t i = 0; i < texts->n; i++) {
        const char *equals = strchr(texts->items[i], '=');
        if (equals == NULL || equals == texts->items[i]) {
            return fl_fail(err, FL_EUSAGE, "--set: expected key=value, found %s", texts->items[i]);
        }
        (*settings)[i].path = fl_xstrndup(texts->items[i], (size_t)(equals - texts->items[i]));
        (*settings)[i].value = equals + 1;
    }
    return FL_OK;
}

static void free_settings(scenario_setting *settings)
{
    for (scenario_setting *s = settings; s != NULL && s->path != NULL; s++) {
        free((char *)s->path);
    }
    free(settings);
}

static fl_status make_hospitals(const scenario_setting *settings, fl_err *err)
{
    scenario s;
    fl_status st = scenario_read(&s, opt.scenario, settings, opt.set.n, opt.seed, err);
    if (st != FL_OK) {
        return st;
    }
    st = hospital_make_all(&s, opt.out, err);
    if (st == FL_OK && opt.gallery != NULL) {
        st = gallery_write(&s, opt.out, opt.gallery, err);
    }
    if (st == FL_OK) {
        printf("%zu hospitals in %s\n", s.n_hospitals, opt.out);
    }
    scenario_clear(&s);
    return st;
}

static fl_status cmd_hospital(int argc, char **argv, fl_err *err)
{
    fl_texts pos = {0};
    scenario_setting *settings = NULL;
    fl_status st = fl_cli_parse(argc, argv, hospital_options(), 0, 0, &pos, err);
    if (st == FL_OK && (st = parse_settings(&settings, &opt.set, err)) == FL_OK) {
        st = make_hospitals(settings, err);
    }
    free_settings(settings);
    free(pos.items);
    return st;
}

/* The table of the run and where its report is. */
static fl_status print_report(const char *out, fl_err *err)
{
    char *path = fl_path_join(out, "report/report.json");
    json_t *report = NULL;
    fl_status st = fl_json_read(&report, path, MAX_REPORT_BYTES, err);
    if (st == FL_OK) {
        char *text = report_text(report);
        printf("%s\nreport: %s/report/index.html\n", text, out);
        free(text);
    }
    json_decref(report);
    free(path);
    return st;
}

static fl_status run_once(const char *path, const scenario_setting *settings, fl_err *err)
{
    scenario s;
    fl_status st = scenario_read(&s, path, settings, opt.set.n, opt.seed, err);
    if (st != FL_OK) {
        return st;
    }
    st = play_run(&s, &(play_options){.out = opt.out, .quiet = opt.quiet, .reverse = opt.reverse},
                  err);
    scenario_clear(&s);
    return st == FL_OK ? print_report(opt.out, err) : st;
}

static fl_status run_sweep(const char *path, const scenario_setting *settings, fl_err *err)
{
    int64_t *seeds = NULL;
    char *page = NULL;
    size_t n_seeds = 0, n_axes = opt.sweep.n;
    sweep_axis *axes = fl_xcalloc(n_axes + 1, sizeof *axes);
    fl_status st = opt.seeds != NULL ? sweep_seeds_parse(&seeds, &n_seeds, opt.seeds, err) : FL_OK;
    for (size_t i = 0; i < n_axes && st == FL_OK; i++) {
        st = sweep_axis_parse(&axes[i], opt.sweep.items[i], err);
    }
    if (st == FL_OK) {
        st = sweep_run(&page, path, opt.out, settings, opt.set.n, axes, n_axes, seeds, n_seeds, err);
    }
    for (size_t i = 0; i < n_axes; i++) {
        sweep_axis_clear(&axes[i]);
    }
    free(axes);
    free(seeds);
    if (st == FL_OK) {
        printf("every figure: %s/results.csv\n", opt.out);
        if (page != NULL) {
            printf("%s\n", page);
        }
    }
    free(page);
    return st;
}

static fl_status cmd_run(int argc, char **argv, fl_err *err)
{
    fl_texts pos = {0};
    scenario_setting *settings = NULL;
    fl_catch_signals();
    fl_status st = fl_cli_parse(argc, argv, run_options(), 1, 1, &pos, err);
    if (st == FL_OK && (st = parse_settings(&settings, &opt.set, err)) == FL_OK) {
        bool many = opt.sweep.n > 0 || opt.seeds != NULL;
        st = many ? run_sweep(pos.items[0], settings, err) : run_once(pos.items[0], settings, err);
    }
    free_settings(settings);
    free(pos.items);
    return st;
}

static fl_status cmd_keys(int argc, char **argv, fl_err *err)
{
    static const fl_opt none[] = {{0}};
    fl_texts pos = {0};
    fl_status st = fl_cli_parse(argc, argv, none, 0, 0, &pos, err);
    if (st == FL_OK) {
        scenario_describe(stdout);
    }
    free(pos.items);
    return st;
}

static const fl_command commands[] = {
    {.name = "hospital",
     .args = "--scenario S.yaml --out DIR [--gallery PNG]",
     .help = "write the simulated hospitals' data sets",
     .details = "Every hospital becomes a folder with dataset.yaml, as a real one would have. The "
                "same seed gives the same bytes.",
     .run = cmd_hospital,
     .options = hospital_options},
    {.name = "run",
     .args = "SCENARIO.yaml --out DIR [--seed N] [--set a.b=V]... [--sweep a.b=V,W]... [--seeds "
             "1-10] [--quiet]",
     .help = "play a scenario with the real programs, from data to report",
     .details = "Makes the data, founds a federation, invites and joins every hospital, starts one "
                "coordinator and the clients as "
                "real processes on this machine, trains the baselines and writes the report.\n\n"
                "--set addresses the job first (rounds=5), then hospitals.NAME.key. --sweep and "
                "--seeds run the product into "
                "OUT/results.csv and OUT/compare/compare.html (the settings held against the first ones, "
                "over seeds and over test cases); finished runs are not done again.",
     .run = cmd_run,
     .options = run_options},
    {.name = "keys",
     .args = "",
     .help = "the reference of the keys in scenario.yaml",
     .run = cmd_keys},
    {0}};

int main(int argc, char **argv)
{
    static const fl_program program = {.name = "consilium-sim",
                                       .summary = "simulated hospitals, and federations of them",
                                       .commands = commands};
    return fl_cli_main(&program, argc, argv);
}
