/*
 * play.c - see play.h
 */
#include "play.h"

#include <time.h>

#include "base/buf.h"
#include "check.h"

enum { RUN_MS = 180000 };

const char play_federation[] = "lungs-of-the-east";
const char play_job_name[] = "chest-on-the-wire";
const char *const play_sites[PLAY_SITES] = {"nordklinik", "sudklinik", "estklinik"};
static const char *const data_names[PLAY_SITES] = {"nord", "sud", "est"};  // in tiny.yaml

play_state play;

char *play_path(const char *name)
{
    return fl_path_join(play.dir, name);
}

static void write_text(const char *name, const char *text)
{
    fl_err err = FL_ERR_INIT;
    char *path = play_path(name);
    check_ok(fl_file_write(path, text, strlen(text), 0600, &err), err);
    free(path);
}

/* The `job:` part of tiny.yaml, under a name of its own. */
static void write_job(void)
{
    fl_err err = FL_ERR_INIT;
    char *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, "tests/e2e/tiny.yaml", 1 << 20, &err), err);
    fl_buf job = FL_BUF_INIT;
    bool inside = false;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, "generate:", 9) == 0) {
            break;
        }
        if (inside && strcmp(line, "  name: tiny") == 0) {
            fl_buf_printf(&job, "name: %s\n", play_job_name);
        } else if (inside) {
            fl_buf_printf(&job, "%s\n", line + 2);
        }
        inside = inside || strcmp(line, "job:") == 0;
    }
    free(text);
    play.job = fl_buf_take(&job);
    check_has(play.job, play_job_name);
    write_text("job.yaml", play.job);
}

static void invite(const char *site, const char *days)
{
    char *fed = play_path("fed"), *log = play_path("setup.log"),
         *name = fl_xasprintf("%s.invitation", site), *out = play_path(name);
    child_do(log, "coordinator", "invite", fed, "--site", site, "--out", out, "--days", days, NULL);
    free(fed);
    free(log);
    free(name);
    free(out);
}

void play_join(const char *invitation, const char *home_name, const char *data_name)
{
    char *inv = play_path(invitation), *home = play_path(home_name), *log = play_path("setup.log");
    char *data = fl_xasprintf("%s/data/%s", play.dir, data_name);
    child_do(log, "client", "join", inv, "--home", home, "--data", data, "--approve", "all", NULL);
    free(inv);
    free(home);
    free(log);
    free(data);
}

void play_start_client(child *out, const char *home_name)
{
    char *home = play_path(home_name), *log_name = fl_xasprintf("%s.log", home_name),
         *log = play_path(log_name);
    child_start(out, home_name, log, "client", "run", "--home", home, "--once", NULL);
    free(home);
    free(log_name);
    free(log);
}

/* The holder of an invitation changes the date in it: the file is not what
 * counts. */
static void postpone(const char *invitation)
{
    static const char key[] = "expires: \"";
    fl_err err = FL_ERR_INIT;
    char *path = play_path(invitation), *text = NULL;
    size_t n = 0;
    check_ok(fl_file_read(&text, &n, path, PLAY_MAX_FILE_BYTES, &err), err);
    char *at = strstr(text, key);
    check(at != NULL);
    memcpy(at + strlen(key), "2099", 4);
    write_text(invitation, text);
    free(text);
    free(path);
}

void play_found(void)
{
    fl_err err = FL_ERR_INIT;
    play.dir = check_tmpdir();
    play.proxy = proxy_new();
    char *kept = play_path("kept");
    check_ok(fl_mkdirs(kept, 0700, &err), err);
    free(kept);
    write_job();
    char *fed = play_path("fed"), *log = play_path("setup.log"), *data = play_path("data");
    char *address = fl_xasprintf("tcp://127.0.0.1:%d", proxy_port(play.proxy));
    child_do(log, "coordinator", "init", fed, "--name", play_federation, "--address", address,
             NULL);
    invite("lateklinik", "0.000001");  // a tenth of a second
    for (int i = 0; i < PLAY_SITES; i++) {
        invite(play_sites[i], "1");
    }
    child_do(log, "sim", "hospital", "--scenario", "tests/e2e/tiny.yaml", "--out", data, NULL);
    for (int i = 0; i < PLAY_SITES; i++) {
        char *invitation = fl_xasprintf("%s.invitation", play_sites[i]);
        play_join(invitation, play_sites[i], data_names[i]);
        free(invitation);
    }
    postpone("lateklinik.invitation");
    play_join("lateklinik.invitation", "late", "est");
    free(fed);
    free(log);
    free(data);
    free(address);
}

void play_start_coordinator(void)
{
    char *fed = play_path("fed"), *job = play_path("job.yaml"), *log = play_path("coordinator.log");
    child_start(&play.coordinator, "coordinator", log, "coordinator", "run", fed, "--job", job,
                "--bind", "tcp://127.0.0.1:0", NULL);
    check(child_says(&play.coordinator, "\nrun ", PLAY_SETUP_MS));
    char *said = child_said(&play.coordinator), *colon;
    *strchr(said, '\n') = '\0';  // "listening on tcp://127.0.0.1:PORT"
    check_has(said, "listening on tcp://");
    colon = strrchr(said, ':');
    play.port = atoi(colon + 1);
    check(play.port > 0);
    proxy_set_target(play.proxy, play.port);
    free(said);
    free(fed);
    free(job);
    free(log);
}

/* Gives every file of a site's outbox a second name, under which it stays. */
static void keep_outbox(const char *site)
{
    char *outbox = fl_xasprintf("%s/%s/outbox", play.dir, site), **names = NULL;
    size_t n = 0;
    if (fl_is_dir(outbox) && fl_list_dir(&names, &n, outbox, NULL) == FL_OK) {
        for (size_t i = 0; i < n; i++) {
            char *from = fl_path_join(outbox, names[i]),
                 *to = fl_xasprintf("%s/kept/%s-%s", play.dir, site, names[i]);
            if (link(from, to) != 0) {
                // kept already, or gone again
            }
            free(from);
            free(to);
        }
    }
    fl_names_free(&names, n);
    free(outbox);
}

void play_wait(void)
{
    int64_t until = fl_now_ms() + RUN_MS;
    while (!child_ended(&play.coordinator) && fl_now_ms() < until) {
        for (int i = 0; i < PLAY_SITES; i++) {
            keep_outbox(play_sites[i]);
        }
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
}

json_t *play_report(void)
{
    fl_err err = FL_ERR_INIT;
    json_t *report = NULL;
    char *path = fl_xasprintf("%s/fed/runs/%s/report/report.json", play.dir, play_job_name);
    check_ok(fl_json_read(&report, path, PLAY_MAX_FILE_BYTES, &err), err);
    free(path);
    return report;
}

void play_clear(void)
{
    child_clear(&play.coordinator);
    for (int i = 0; i < PLAY_SITES; i++) {
        child_clear(&play.client[i]);
    }
    proxy_destroy(&play.proxy);
    free(play.job);
    if (getenv("KEEP") == NULL) {
        check_rmdir(&play.dir);
    }
    free(play.dir);
}
