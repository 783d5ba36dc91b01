/*
 * test_scenario.c - scenario.yaml is read, and refused where it stands wrong
 */
#define _XOPEN_SOURCE 700  // realpath

#include "sim/scenario.h"

#include <math.h>

#include "fixture.h"
#include "sim/extra.h"

static void the_demo_is_five_hospitals_that_differ(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    scenario s;
    check_ok(scenario_read(&s, "sim/scenarios/demo.yaml", NULL, 0, -1, &err), err);
    check_str(s.name, "demo");
    check_int(s.kind, SCENARIO_GENERATE);
    check_int(s.n_hospitals, 5);
    check_int(s.n_processes, 5);
    check(s.centralised);
    // Trained as the job says, for as long as the federation trains.
    check_int(s.central.epochs, s.job.rounds * s.job.local.epochs);
    for (size_t i = 0; i < s.n_hospitals; i++) {
        const scenario_hospital *h = &s.hospitals[i];
        check(h->n[0] >= 150 && h->n[0] <= 1500);
        check_int(h->n[2], 400);
        check(h->shift.n > 0 && h->data == NULL && h->dataset_yaml == NULL);
        for (size_t j = 0; j < i; j++) {
            check(strcmp(h->shift_yaml, s.hospitals[j].shift_yaml) != 0);
            check(h->population.prevalence != s.hospitals[j].population.prevalence);
        }
    }
    // What the coordinator will read is the same job.
    job again;
    check_ok(job_parse(&again, s.job_yaml, strlen(s.job_yaml), "job", ".", &err), err);
    check_int(again.rounds, s.job.rounds);
    check_str(again.name, "demo");
    job_clear(&again);
    scenario_clear(&s);
    scenario_clear(&s);  // fine when called twice
}

static void the_heart_scenario_finds_its_real_hospitals(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    scenario s;
    if (getenv("CONSILIUM_DATA") == NULL) {
        check_skip("the real data sets are not here (CONSILIUM_DATA)");
    }
    check_ok(scenario_read(&s, "sim/scenarios/heart.yaml", NULL, 0, -1, &err), err);
    check_int(s.kind, SCENARIO_OWN);
    check_int(s.n_hospitals, 4);
    check_str(s.hospitals[3].name, "va");
    // `like:` reached into the data set: another file, the same protocol.
    check_has(s.hospitals[3].dataset_yaml, "processed.va.data");
    check_has(s.hospitals[3].dataset_yaml, "site: va");
    check_has(s.hospitals[3].dataset_yaml, "rows_with_missing: drop");
    check_has(s.hospitals[3].dataset_yaml, getenv("CONSILIUM_DATA"));
    check(strstr(s.hospitals[3].dataset_yaml, "cleveland") == NULL);
    // A centralised baseline of its own.
    check_int(s.central.epochs, 50);
    check_int(s.central.steps, 0);
    check_int(s.central.optim.kind, NN_ADAM);
    scenario_clear(&s);
}

static void like_takes_what_is_not_said(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    check_ok(fixture_read(
                 &s, dir,
                 FIXTURE_JOB FIXTURE_GENERATE
                 "hospitals:\n"
                 "  - {name: a, patients: {n: 200, female: 0.3, age: [70, 5], prevalence: 0.2},\n"
                 "     labels: {noise: 0.1}, scanner: X1, shift: [blur: 1]}\n"
                 "  - {name: b, like: a, patients: {n: {train: 9, val: 8, test: 7}}}\n"
                 "  - {name: c, like: b, patients: {female: 0.9}, shift: []}\n",
                 NULL, 0, -1, &err),
             err);
    const scenario_hospital *a = &s.hospitals[0], *b = &s.hospitals[1], *c = &s.hospitals[2];
    check_int(a->n[0], 120);  // a single number: 60 : 15 : 25
    check_int(a->n[1], 30);
    check_int(a->n[2], 50);
    check_int(b->n[0], 9);
    check_int(b->n[2], 7);
    check_near(b->population.female, 0.3, 0);
    check_near(b->population.age_mean, 70, 0);
    check_near(b->labels.noise, 0.1, 0);
    check_str(b->scanner, "X1");
    check_int(b->shift.n, 1);
    // Of another that is itself like one; an empty list says "none".
    check_int(c->n[1], 8);
    check_near(c->population.female, 0.9, 0);
    check_near(c->population.age_sd, 5, 0);
    check_int(c->shift.n, 0);
    check_int(s.n_processes, 3);  // one a hospital
    scenario_clear(&s);
    check_rmdir(&dir);
}

/* The centralised baseline is trained by a job of its own. */
static void check_central(const char *dir, const char *text, const task_train_config *expected,
                          int64_t rounds)
{
    fl_err err = FL_ERR_INIT;
    scenario s;
    job j;
    check_ok(fixture_read(&s, dir, text, NULL, 0, -1, &err), err);
    check_ok(job_parse(&j, s.central_yaml, strlen(s.central_yaml), "central", ".", &err), err);
    check_int(j.rounds, rounds);
    check_int(j.local.epochs, expected->epochs);
    check_int(j.local.steps, expected->steps);
    check_int(j.local.batch, expected->batch);
    check_int(j.local.optim.kind, expected->optim.kind);
    check_near(j.local.optim.lr, expected->optim.lr, 0);
    check_near(j.local.optim.weight_decay, expected->optim.weight_decay, 0);
    check_str(j.strategy.name, "fedavg");  // nothing of a federation is left
    check_int(j.seed, 5);
    // And as long as the figures say.
    check_int(s.central.epochs, j.local.epochs * rounds);
    check_int(s.central.steps, j.local.steps * rounds);
    job_clear(&j);
    scenario_clear(&s);
}

static void the_centralised_baseline_is_trained_as_it_says(void **state)
{
    (void)state;
    char *dir = check_tmpdir();
    task_train_config as_local = {.epochs = 2, .batch = 8, .optim = {.kind = NN_SGD, .lr = 0.5}};
#define LOCAL \
    FIXTURE_JOB "  strategy: {name: fedprox, mu: 1}\n  local: {epochs: 2, batch: 8, lr: 0.5}\n"
    check_central(dir, LOCAL FIXTURE_GENERATE FIXTURE_HOSPITALS, &as_local, 3);
    task_train_config own = {
        .steps = 70, .batch = 8, .optim = {.kind = NN_ADAM, .lr = 0.5, .weight_decay = 0.25}};
    check_central(dir,
                  LOCAL FIXTURE_GENERATE FIXTURE_HOSPITALS
                  "centralised: {steps: 70, optimizer: adam, weight_decay: 0.25}\n",
                  &own, 1);
    as_local.optim.lr = 0.125;  // as long as the federation, with another rate
    check_central(dir, LOCAL FIXTURE_GENERATE FIXTURE_HOSPITALS "centralised: {lr: 0.125}\n",
                  &as_local, 3);
    // With a scanner that is replaced it lasts as many rounds as the federation.
    own.steps = 23;
    check_central(dir,
                  LOCAL FIXTURE_GENERATE FIXTURE_HOSPITALS
                  "events: [{round: 2, site: sud, shift: [gain: 3]}]\n"
                  "centralised: {steps: 69, optimizer: adam, weight_decay: 0.25}\n",
                  &own, 3);
    check_rmdir(&dir);
}

static void settings_reach_the_job_and_the_hospitals(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    static const scenario_setting set[] = {
        {"rounds", "7"},
        {"strategy", "{name: fedprox, mu: 0.1}"},
        {"local.lr", "0.5"},
        {"model.name", "cnn"},
        {"job.model.dropout", "0"},
        {"hospitals.nord.patients.prevalence", "0.25"},
        {"hospitals.1.shift", "[noise: 3, gamma: 1]"},
        {"generate.difficulty", "0.9"},
        {"clients.processes", "1"},
        {"baselines", "[local, centralised]"},
        {"centralised.epochs", "2"},
    };
    check_ok(fixture_read(&s, dir, FIXTURE_SMALL, set, sizeof set / sizeof set[0], 11, &err), err);
    check_int(s.job.rounds, 7);
    check_str(s.job.strategy.name, "fedprox");
    check_near(job_strategy_param(&s.job.strategy, "mu", -1), 0.1, 0);
    check_near(s.job.local.optim.lr, 0.5, 0);
    check_near(s.job.model.dropout, 0, 0);
    check_int(s.job.seed, 11);
    check_near(s.hospitals[0].population.prevalence, 0.25, 0);
    check_near(s.hospitals[1].population.prevalence, 0.25, 0);  // sud is like nord
    check_int(s.hospitals[1].shift.n, 2);
    check_near(s.generate.difficulty, 0.9, 0);
    check_int(s.n_processes, 1);
    check(s.centralised);
    check_int(s.central.epochs, 2);
    check_has(s.job_yaml, "fedprox");  // the coordinator reads it, too
    check_has(s.job_yaml, "seed: 11");
    scenario_clear(&s);

    static const scenario_setting nobody[] = {{"hospitals.west.shift", "[]"}};
    check_fails(fixture_read(&s, dir, FIXTURE_SMALL, nobody, 1, -1, &err), FL_EUSAGE);
    check_has(err.text, "hospitals");
    static const scenario_setting wrong[] = {{"rounds", "3.7"}};
    check_fails(fixture_read(&s, dir, FIXTURE_SMALL, wrong, 1, -1, &err), FL_ECONFIG);
    check_has(err.text, "--set");
    check_has(err.text, "rounds: ");
    check_has(err.text, "3.7");
    check_rmdir(&dir);
}

static void a_job_may_be_a_file_of_its_own(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir(), *jobs = fl_path_join(dir, "jobs");
    scenario s;
    check_ok(fl_mkdirs(jobs, 0755, &err), err);
    char *file = fixture_file(
        jobs, "j.yaml",
        "name: apart\ntask: classify\n"
        "data: {input: [1, 16, 16], classes: [normal, opacity], positive: opacity}\n"
        "model: {name: logistic}\nrounds: 4\n");
    const char *text = "job: jobs/j.yaml\n" FIXTURE_GENERATE FIXTURE_HOSPITALS;
    static const scenario_setting set[] = {{"rounds", "9"}, {"hospitals.sud.scanner", "S"}};
    check_ok(fixture_read(&s, dir, text, set, 2, 3, &err), err);
    check_str(s.name, "apart");
    check_int(s.job.rounds, 9);
    check_int(s.job.seed, 3);
    check_str(s.hospitals[1].scanner, "S");
    scenario_clear(&s);
    // A complaint names the job's file and its line.
    static const scenario_setting wrong[] = {{"seed", "1"}};
    free(file);
    file = fixture_file(
        jobs, "j.yaml",
        "name: apart\ntask: classify\n"
        "data: {input: [1, 16, 16], classes: [normal, opacity], positive: opacity}\n"
        "model: {name: logistic}\nrounds: 4\nroundz: 4\n");
    check_fails(fixture_read(&s, dir, text, wrong, 1, -1, &err), FL_ECONFIG);
    check_has(err.text, "j.yaml:6: ");
    check_has(err.text, "roundz");
    check_fails(fixture_read(&s, dir, "job: jobs/k.yaml\n" FIXTURE_GENERATE FIXTURE_HOSPITALS, NULL,
                             0, -1, &err),
                FL_ENOTFOUND);
    check_has(err.text, "k.yaml");
    free(file);
    free(jobs);
    check_rmdir(&dir);
}

/* Relative paths start at the file that names them, although copies of these
 * texts are written elsewhere. */
static void relative_paths_start_at_the_scenario(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    char *table = fixture_file(dir, "t.csv", "a,b,y\n1,2,0\n");
    char *weights = fixture_file(dir, "w's.safetensors", "");
    check_ok(fixture_read(&s, dir,
                          "job:\n  name: small\n  task: classify\n  init: \"w's.safetensors\"\n"
                          "  data: {input: [2], classes: [no, yes], positive: yes}\n"
                          "  model: {name: logistic}\n  rounds: 1\n"
                          "hospitals:\n"
                          "  - name: a\n"
                          "    dataset:\n"
                          "      task: classify\n"
                          "      classes: {no: 0, yes: 1}\n"
                          "      table: {file: t.csv, label: {column: y}}\n"
                          "      split: {file: t.csv, site: a}\n"
                          "  - {name: b, data: t.csv}\n"
                          "  - {name: c, dataset: {union: [t.csv, /abs]}}\n",
                          NULL, 0, -1, &err),
             err);
    char *real = realpath(table, NULL), *real_weights = realpath(weights, NULL);
    char *in_table = fl_xasprintf("file: '%s', label", real);
    char *in_split = fl_xasprintf("file: '%s', site", real);
    char *in_union = fl_xasprintf("union: ['%s', /abs]", real);
    check_has(s.hospitals[0].dataset_yaml, in_table);
    check_has(s.hospitals[0].dataset_yaml, in_split);
    check_str(s.hospitals[1].data, table);
    check_has(s.hospitals[2].dataset_yaml, in_union);
    check_str(s.job.init, real_weights);
    free(in_table);
    free(in_split);
    free(in_union);
    free(real);
    free(real_weights);
    free(table);
    free(weights);
    scenario_clear(&s);
    check_rmdir(&dir);
}

/* Whatever is wrong is refused with the file and the line where it stands. */
static void every_complaint_names_its_line(void **state)
{
    (void)state;
#define TWO  "  - {name: a, patients: {n: 20}}\n"
#define HEAD FIXTURE_JOB FIXTURE_GENERATE "hospitals:\n"  // 9 lines
    static const struct {
        const char *text, *line, *says;
    } cases[] = {
        {"job: {name: x}\nhospitalz: []\n", ":1: ", "required"},
        {FIXTURE_SMALL "clientz: {processes: 2}\n", ":12: ", "did you mean clients"},
        {HEAD "  - {name: a, pations: {n: 20}}\n", ":10: ", "patients"},
        {HEAD "  - {name: a, patients: {n: 3.7}}\n", ":10: ", "3.7"},
        {HEAD "  - {name: a, patients: {n: 2}}\n", ":10: ", "from 4"},
        {HEAD "  - {name: a, patients: {n: {train: -1, val: 1, test: 1}}}\n", ":10: ", "train"},
        {HEAD "  - {name: a, patients: {n: {train: 1, val: 1}}}\n", ":10: ", "test"},
        {HEAD "  - {name: a, patients: {female: 0.5}}\n", ":10: ", "how many patients"},
        {HEAD "  - {name: a, patients: {n: 20, female: 1.5}}\n", ":10: ", "female"},
        {HEAD "  - {name: a, patients: {n: 20, age: 60}}\n", ":10: ", "[mean, standard deviation]"},
        {HEAD "  - {name: a, patients: {n: 20, prevalence: nan}}\n", ":10: ", "prevalence"},
        {HEAD "  - {name: a, patients: {n: 20}, labels: {noise: 0.7}}\n", ":10: ", "noise"},
        {HEAD "  - {name: a, patients: {n: 20}, shift: [mist: 1]}\n", ":10: ", "mist"},
        {HEAD "  - {name: a, patients: {n: 20}, shift: [blur: 9]}\n", ":10: ", "blur"},
        {HEAD "  - {patients: {n: 20}}\n", ":10: ", "name"},
        {HEAD "  - {name: Nord, patients: {n: 20}}\n", ":10: ", "Nord"},
        {HEAD "  - {name: ../x, patients: {n: 20}}\n", ":10: ", "../x"},
        {HEAD "  - {name: pooled, patients: {n: 20}}\n", ":10: ", "pooled"},
        {HEAD "  - {name: stamp, patients: {n: 20}}\n", ":10: ", "stamp"},
        {HEAD TWO "events: [{round: 2, site: a, shift: [gain: 1]}]\nbaselines: [centralised]\n"
                  "centralised: {epochs: 4}\n",
         ":13: ", "a multiple of the job's 3 rounds"},
        {HEAD TWO "  - {name: b, like: z}\n", ":11: ", "no hospital z"},
        {HEAD TWO "  - {name: a, like: a}\n", ":11: ", "two hospitals a"},
        {HEAD "  - {name: b, like: b, patients: {n: 20}}\n", ":10: ", "above this one"},
        {HEAD "  - {name: a, patients: {n: 20}, scanner: \"0123456789012345678901234567890123456789"
              "01234567890123456789012345\"}\n",
         ":10: ", "scanner"},
        {FIXTURE_JOB FIXTURE_GENERATE "hospitals: []\n", ": ", "1 to 10000"},
        {FIXTURE_JOB FIXTURE_GENERATE "hospitals: 5\n", ":9: ", "list"},
        {FIXTURE_JOB "hospitals:\n" TWO, ":9: ", "has no data"},
        {FIXTURE_JOB "generate: {phantom: ct, task: opacity}\nhospitals:\n" TWO,
         ":8: ", "xray/opacity"},
        {FIXTURE_JOB "generate: {phantom: xray, task: opacity, size: 8}\nhospitals:\n" TWO,
         ":8: ", "size"},
        {FIXTURE_JOB "generate: {phantom: xray, task: opacity, size: 32}\nhospitals:\n" TWO,
         "s.yaml: ", "1x32x32"},
        {FIXTURE_JOB FIXTURE_GENERATE
         "source: {npz: x.npz, classes: {a: 0, b: 1}}\nhospitals:\n" TWO,
         ":9: ", "not both"},
        {FIXTURE_JOB "source: {npz: x.npz}\nhospitals:\n" TWO, ":8: ", "classes"},
        {FIXTURE_JOB "source: {npz: x.npz, classes: {a: 0, b: 1}, alpha: 0}\nhospitals:\n" TWO,
         ":8: ", "alpha"},
        {FIXTURE_JOB "source: {npz: x.npz, classes: {a: 0, b: 1}, split: fair}\nhospitals:\n" TWO,
         ":8: ", "dirichlet"},
        {FIXTURE_SMALL "clients: {processes: 0}\n", ":12: ", "processes"},
        {FIXTURE_SMALL "baselines: [magic]\n", ":12: ", "magic"},
        {FIXTURE_SMALL "baselines: centralised\n", ":12: ", "list"},
        {FIXTURE_SMALL "ensemble: 1\n", ":12: ", "ensemble: expected a whole number from 2 to 100"},
        {FIXTURE_SMALL "snapshot: 4\n", ":12: ", "at most the 3 rounds of the job, found 4"},
        {FIXTURE_JOB "  ensemble: 5\n" FIXTURE_GENERATE FIXTURE_HOSPITALS, ":8: ",
         "ensemble: is a scenario's key"},
        {FIXTURE_JOB "  evaluation: {local_baseline: {budget: none}}\n" FIXTURE_GENERATE
             FIXTURE_HOSPITALS "baselines: [cross_site]\n",
         ":13: ", "cross_site needs each hospital's own model"},
        {FIXTURE_JOB "  evaluation: full\n" FIXTURE_GENERATE FIXTURE_HOSPITALS, "s.yaml:1: ",
         "leave_one_out: expected 3 hospitals or more"},
        {FIXTURE_JOB "  evaluation: fuller\n" FIXTURE_GENERATE FIXTURE_HOSPITALS, ":8: ",
         "evaluation: expected basic, full or a mapping, found fuller"},
        {FIXTURE_SMALL "baselines: [leave_one_out]\n", ":12: ", "expected 3 hospitals or more"},
        // Inside the job: the scenario's own line, not one of a copy.
        {"job:\n  name: small\n  task: classify\n  data: {input: [1, 16, 16], classes: [normal, "
         "opacity], "
         "positive: opacity}\n  model: {name: logistic}\n  rounds: nan\n" FIXTURE_GENERATE
             FIXTURE_HOSPITALS,
         "s.yaml:6: ", "rounds"},
        {FIXTURE_JOB "  roundz: 4\n" FIXTURE_GENERATE FIXTURE_HOSPITALS,
         "s.yaml:8: ", "did you mean rounds"},
        {FIXTURE_JOB "  model: {name: cnn}\n" FIXTURE_GENERATE FIXTURE_HOSPITALS,
         "s.yaml:8: ", "twice"},
        {FIXTURE_GENERATE FIXTURE_HOSPITALS, "s.yaml", "job"},
        {"", "s.yaml", "job"},
        {"job: [", "s.yaml:", ""},
    };
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scenario s;
        if (fixture_read(&s, dir, cases[i].text, NULL, 0, -1, &err) != FL_ECONFIG) {
            check_fail("case %zu was not refused:\n%s", i, cases[i].text);
        }
        if (strstr(err.text, cases[i].line) == NULL || strstr(err.text, cases[i].says) == NULL) {
            check_fail("case %zu: \"%s\" lacks \"%s\" or \"%s\"", i, err.text, cases[i].line,
                       cases[i].says);
        }
    }
    check_rmdir(&dir);
}

static void a_personalised_model_is_asked_of_every_hospital(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    check_ok(fixture_read(&s, dir, FIXTURE_SMALL "baselines: [local]\n", NULL, 0, -1, &err), err);
    check(!s.job.evaluation.personal.asked);
    scenario_clear(&s);
    check_ok(fixture_read(&s, dir, FIXTURE_SMALL "baselines: [personal]\n", NULL, 0, -1, &err),
             err);
    check(s.job.evaluation.personal.asked);
    check_int(s.job.evaluation.personal.epochs, 5);
    scenario_clear(&s);
    // The job's own word stands.
    const scenario_setting set = {"evaluation.personal", "{epochs: 2}"};
    check_ok(fixture_read(&s, dir, FIXTURE_SMALL "baselines: [personal]\n", &set, 1, -1, &err),
             err);
    check_int(s.job.evaluation.personal.epochs, 2);
    scenario_clear(&s);
    check_rmdir(&dir);
}

#define THREE FIXTURE_HOSPITALS "  - {name: est, like: nord}\n"

static void a_full_evaluation_is_all_that_a_simulator_can_compare(void **state)
{
    (void)state;
    static const char *const texts[] = {
        FIXTURE_JOB "  evaluation: full\n" FIXTURE_GENERATE THREE,
        FIXTURE_JOB "  evaluation: {extent: full, min_cell: 7}\n" FIXTURE_GENERATE THREE};
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    for (size_t i = 0; i < 2; i++) {
        scenario s;
        check_ok(fixture_read(&s, dir, texts[i], NULL, 0, -1, &err), err);
        check(s.compared.leave_one_out && s.compared.cross_site && s.compared.personal);
        check_int(s.compared.ensemble, 5);
        check_int(s.compared.snapshot, 0);
        // The coordinator is told what it is to play; the matrix is the simulator's own.
        check(!s.job.evaluation.full && !s.job.evaluation.cross_site);
        check(s.job.evaluation.personal.asked);
        check_int(s.job.evaluation.min_cell, i == 0 ? 10 : 7);
        scenario_clear(&s);
    }
    // Said in the command, and with its own size of the ensemble.
    const scenario_setting set[] = {{"evaluation", "full"}, {"ensemble", "3"}};
    scenario s;
    check_ok(fixture_read(&s, dir, FIXTURE_JOB FIXTURE_GENERATE THREE, set, 2, -1, &err), err);
    check_int(s.compared.ensemble, 3);
    check(s.job.evaluation.personal.asked);
    scenario_clear(&s);
    check_rmdir(&dir);
}

/* A job that asks hospitals for their own models: other federations of it do not. */
static void a_member_s_federation_judges_its_shared_model_alone(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    extra e;
    job j;
    const scenario_setting set[] = {{"evaluation", "{cross_site: true, personal: {}}"},
                                    {"ensemble", "3"}};
    check_ok(fixture_read(&s, dir, FIXTURE_JOB FIXTURE_GENERATE THREE, set, 2, -1, &err), err);
    check(s.job.evaluation.cross_site && s.job.evaluation.personal.asked);
    check_ok(extra_member(&e, &s, 2, dir, &err), err);
    check_ok(job_parse(&j, e.job_yaml, strlen(e.job_yaml), "job.yaml", ".", &err), err);
    check(!j.evaluation.cross_site && !j.evaluation.personal.asked && !j.evaluation.local_baseline);
    job_clear(&j);
    extra_clear(&e);
    scenario_clear(&s);
    check_rmdir(&dir);
}

static void a_missing_file_and_an_unset_variable_are_named(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    scenario s;
    check_fails(scenario_read(&s, "/nonexistent/s.yaml", NULL, 0, -1, &err), FL_ENOTFOUND);
    check_has(err.text, "/nonexistent/s.yaml");
    char *dir = check_tmpdir();
    unsetenv("CONSILIUM_TEST_UNSET");
    check_fails(fixture_read(&s, dir,
                             FIXTURE_JOB
                             "hospitals:\n  - {name: a, data: \"${CONSILIUM_TEST_UNSET}/x\"}\n",
                             NULL, 0, -1, &err),
                FL_ECONFIG);
    check_has(err.text, "s.yaml:9: ");
    check_has(err.text, "CONSILIUM_TEST_UNSET");
    check_rmdir(&dir);
}

static void a_scanner_is_replaced_while_the_federation_runs(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    check_ok(fixture_read(&s, dir,
                          FIXTURE_SMALL "events:\n  - {round: 2, site: sud, shift: [gain: 3], "
                                        "scanner: new}\n  - {round: 3, site: sud, shift: []}\n",
                          NULL, 0, -1, &err),
             err);
    check_int(s.hospitals[0].n_changes, 0);
    check_int(s.hospitals[1].n_changes, 2);
    check_int(s.hospitals[1].changes[0].round, 2);
    check_str(s.hospitals[1].changes[0].scanner, "new");
    check_near(s.hospitals[1].changes[0].shift.severity[0], 3, 0);
    check_int(s.hospitals[1].changes[1].shift.n, 0);
    char *last = scenario_last_folder(&s.hospitals[1]);
    check_str(last, "sud/round-003");
    free(last);
    scenario_clear(&s);

    static const struct {
        const char *event, *says;
    } cases[] = {
        {"{round: 2, site: west, shift: [gain: 3]}", "there is no hospital west"},
        {"{round: 4, site: sud, shift: [gain: 3]}", "the job has only 3 rounds"},
        {"{round: 1, site: sud, shift: [gain: 3]}", "round"},
        {"{round: 2, site: sud}", "what changes?"},
        {"{round: 2, site: sud, shift: [fog: 3]}", "no transform fog"},
        {"{round: 2, site: sud, shift: [gain: 3]}\n  - {round: 2, site: sud, shift: []}",
         "by rising round"},
        {"{round: 2, site: sud, shift: [gain: 3], outage: true}", "outage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = fl_xasprintf("%sevents:\n  - %s\n", FIXTURE_SMALL, cases[i].event);
        check_fails(fixture_read(&s, dir, text, NULL, 0, -1, &err), FL_ECONFIG);
        check_has(err.text, cases[i].says);
        free(text);
    }
    check_rmdir(&dir);
}

static void many_hospitals_are_written_once(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    fl_err err = FL_ERR_INIT;
    char *dir = check_tmpdir();
    scenario s;
    const char *text = FIXTURE_JOB FIXTURE_GENERATE
        "hospitals:\n"
        "  - {name: clinic, count: 40, patients: {n: {train: 50, val: 10, test: 20}, prevalence: "
        "0.3},"
        " shift: [blur: 2], vary: {sizes: 1, labels: 5, severity: 1}}\n"
        "  - {name: last, patients: {n: 20}}\n";
    check_ok(fixture_read(&s, dir, text, NULL, 0, -1, &err), err);
    check_int(s.n_hospitals, COUNT + 1);
    check_str(s.hospitals[0].name, "clinic-1");
    check_str(s.hospitals[39].name, "clinic-40");
    check_str(s.hospitals[40].name, "last");
    double total = 0, prevalence = 0, severity = 0, largest = 0;
    for (int i = 0; i < COUNT; i++) {
        const scenario_hospital *h = &s.hospitals[i];
        total += (double)h->n[0];
        largest = fmax(largest, (double)h->n[0]);
        prevalence += h->population.prevalence / COUNT;
        severity += h->shift.severity[0] / COUNT;
        check(h->n[1] >= 4 && h->shift.severity[0] <= 4);
        check(strstr(h->shift_yaml, "blur") != NULL);
    }
    check(total > 0.97 * 50 * COUNT && total < 1.1 * 50 * COUNT);  // small ones are rounded up
    check(largest > 100);
    /* Means of 40: of Beta(1.5, 3.5) with sd 0.19, of a uniform severity with sd 1.15. */
    check_near(prevalence, 0.3, 4 * 0.19 / sqrt(COUNT));
    check_near(severity, 2, 4 * 1.16 / sqrt(COUNT));
    check_int(s.hospitals[40].n[0], 12);
    scenario_clear(&s);

    static const struct {
        const char *hospital, *says;
    } cases[] = {
        {"{name: a, patients: {n: 20}, vary: {sizes: 1}}", "several generated hospitals"},
        {"{name: a, patients: {n: 20}, count: 3}\n  - {name: a-2, patients: {n: 20}}",
         "two hospitals"},
        {"{name: a, patients: {n: 20}, count: 20000}", "count"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *wrong = fl_xasprintf("%shospitals:\n  - %s\n", FIXTURE_JOB FIXTURE_GENERATE,
                                   cases[i].hospital);
        check_fails(fixture_read(&s, dir, wrong, NULL, 0, -1, &err), FL_ECONFIG);
        check_has(err.text, cases[i].says);
        free(wrong);
    }
    check_rmdir(&dir);
}

/* Those that need real data find their files when they are made. */
static void every_scenario_that_ships_is_read(void **state)
{
    (void)state;
    static const char *const names[] = {"demo",       "breast",      "scanner-shift", "stain-shift",
                                        "film-photo", "annotators",  "rare-disease",  "new-scanner",
                                        "pneumonia",  "fifty-sites", "ultrasound"};
    bool real = getenv("CONSILIUM_DATA") != NULL;
    setenv("CONSILIUM_DATA", "/nonexistent", 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fl_err err = FL_ERR_INIT;
        scenario s;
        char *path = fl_xasprintf("sim/scenarios/%s.yaml", names[i]);
        check_ok(scenario_read(&s, path, NULL, 0, -1, &err), err);
        check(s.n_hospitals >= 3);
        check(strcmp(s.name, names[i]) == 0);
        scenario_clear(&s);
        free(path);
    }
    if (!real) {
        unsetenv("CONSILIUM_DATA");
    }
}

static void the_reference_of_keys_names_them_all(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    scenario_describe(out);
    fclose(out);
    static const char *const keys[] = {"generate.difficulty",
                                       "source.alpha",
                                       "patients.prevalence",
                                       "labels.noise",
                                       "labels.annotators",
                                       "patients.unseen",
                                       "source.folder",
                                       "events",
                                       "vary.sizes",
                                       "clients.processes",
                                       "baselines",
                                       "scanner",
                                       "like",
                                       "dataset"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        check_has(text, keys[i]);
    }
    check(strstr(text, "dataset.table") == NULL);  // dataset.yaml has a reference of its own
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_demo_is_five_hospitals_that_differ),
        cmocka_unit_test(the_heart_scenario_finds_its_real_hospitals),
        cmocka_unit_test(like_takes_what_is_not_said),
        cmocka_unit_test(the_centralised_baseline_is_trained_as_it_says),
        cmocka_unit_test(settings_reach_the_job_and_the_hospitals),
        cmocka_unit_test(a_job_may_be_a_file_of_its_own),
        cmocka_unit_test(relative_paths_start_at_the_scenario),
        cmocka_unit_test(every_complaint_names_its_line),
        cmocka_unit_test(a_personalised_model_is_asked_of_every_hospital),
        cmocka_unit_test(a_full_evaluation_is_all_that_a_simulator_can_compare),
        cmocka_unit_test(a_member_s_federation_judges_its_shared_model_alone),
        cmocka_unit_test(a_missing_file_and_an_unset_variable_are_named),
        cmocka_unit_test(a_scanner_is_replaced_while_the_federation_runs),
        cmocka_unit_test(many_hospitals_are_written_once),
        cmocka_unit_test(every_scenario_that_ships_is_read),
        cmocka_unit_test(the_reference_of_keys_names_them_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
