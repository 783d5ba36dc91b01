#define _XOPEN_SOURCE 700  // posix_openpt
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"

/* What was written to the file since it was opened. */
static void read_back(FILE *file, char *text, size_t n)
{
    memset(text, 0, n);
    rewind(file);
    size_t got = fread(text, 1, n - 1, file);
    check(got < n);
}

static void an_event_is_one_line_of_keys_and_values(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    char text[4096];
    fl_log_setup(file, FL_LOG_INFO);
    fl_log(FL_LOG_INFO, "round.commit", "round=%d sites=%zu", 3, (size_t)5);
    read_back(file, text, sizeof text);
    fl_log_setup(NULL, FL_LOG_INFO);
    fclose(file);
    check_int(text[4], '-');
    check_int(text[19], 'Z');
    check_str(text + 20, " info round.commit round=3 sites=5\n");
}

static void levels_beyond_the_chosen_one_are_silent(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    char text[4096];
    fl_log_setup(file, FL_LOG_WARN);
    check(fl_log_on(FL_LOG_ERROR) && fl_log_on(FL_LOG_WARN));
    check(!fl_log_on(FL_LOG_INFO) && !fl_log_on(FL_LOG_DEBUG));
    fl_log(FL_LOG_INFO, "quiet", "x=%d", 1);
    fl_log(FL_LOG_ERROR, "loud", "x=%d", 2);
    read_back(file, text, sizeof text);
    fl_log_setup(NULL, FL_LOG_INFO);
    fclose(file);
    check(strstr(text, "quiet") == NULL);
    check_has(text, "error loud x=2\n");
}

static void a_value_cannot_forge_a_line(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    char text[8192];
    fl_log_setup(file, FL_LOG_INFO);
    fl_log(FL_LOG_INFO, "peer", "name=%s", "x\n2026 info admin\r\033[2J");
    char *longer = fl_xcalloc(6000, 1);
    memset(longer, 'y', 5999);
    fl_log(FL_LOG_INFO, "long", "%s", longer);
    free(longer);
    read_back(file, text, sizeof text);
    fl_log_setup(NULL, FL_LOG_INFO);
    fclose(file);
    check_has(text, "name=x?2026 info admin??[2J\n");
    int n_lines = 0;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++) {
        n_lines++;
    }
    check_int(n_lines, 2);
}

static void *log_many(void *name)
{
    for (int i = 0; i < 200; i++) {
        fl_log(FL_LOG_INFO, "thread", "name=%s i=%d end", (const char *)name, i);
    }
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    pthread_t threads[4];
    static const char *const names[] = {"aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd"};
    fl_log_setup(file, FL_LOG_INFO);
    for (int i = 0; i < 4; i++) {
        check_int(pthread_create(&threads[i], NULL, log_many, (void *)(uintptr_t)names[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    fl_log_setup(NULL, FL_LOG_INFO);
    rewind(file);
    char line[256];
    char name[9];
    int i;
    int n_lines = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        check_int(sscanf(line + 20, " info thread name=%8s i=%d end", name, &i), 2);
        check_has(line, " end\n");
        n_lines++;
    }
    check_int(n_lines, 800);
    fclose(file);
}

static void progress_off_a_terminal_is_rare_and_ends_with_the_last(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    char text[65536];
    fl_log_setup(file, FL_LOG_INFO);
    for (int i = 1; i <= 1000; i++) {
        fl_progress("round %d of 1000", i);
    }
    fl_progress_end();
    fl_progress_end();  // nothing more to say
    read_back(file, text, sizeof text);
    fl_log_setup(NULL, FL_LOG_INFO);
    fclose(file);
    check_has(text, "round 1 of 1000\n");
    check_has(text, "round 1000 of 1000\n");
    check(strstr(text, "\r") == NULL && strstr(text, "\033") == NULL);
    check(strlen(text) < 2000);
}

static void progress_says_the_same_thing_once(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    char text[4096];
    fl_log_setup(file, FL_LOG_INFO);
    for (int i = 0; i < 3; i++) {
        fl_progress("waiting for nord");
        fl_progress_end();
    }
    read_back(file, text, sizeof text);
    fl_log_setup(NULL, FL_LOG_INFO);
    fclose(file);
    check_str(text, "waiting for nord\n");
}

static void a_terminal_has_one_line_of_progress_that_is_wiped(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        print_message("# skipped: there are no pseudo-terminals here\n");
        skip();
    }
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    struct winsize size = {.ws_row = 24, .ws_col = 20};
    check_int(ioctl(slave, TIOCSWINSZ, &size), 0);
    FILE *terminal = fdopen(slave, "w");
    fl_log_setup(terminal, FL_LOG_WARN);
    fl_progress("r\xc3\xa9gion 1 of 20: 3 of 5 are in");
    fl_log(FL_LOG_INFO, "enrol", "site=%s", "nord");
    fl_log(FL_LOG_WARN, "round.absent", "site=%s", "sud");
    fl_progress_end();
    fl_progress_end();
    fl_log_setup(NULL, FL_LOG_INFO);
    fclose(terminal);

    char text[512] = "";
    size_t n = 0;
    ssize_t got;
    while (n + 1 < sizeof text && (got = read(master, text + n, sizeof text - 1 - n)) > 0) {
        n += (size_t)got;
    }
    close(master);
    // 19 of the terminal's 20 columns; the warning moves the line down.
    check(strstr(text, "\r\033[Kr\xc3\xa9gion 1 of 20: 3 o\r\033[K") == text);
    check_has(text, "Z warn round.absent site=sud\r\n\r\033[Kr\xc3\xa9gion 1 of 20: 3 o\r\033[K");
    check(strstr(text, "enrol") == NULL);
    check_str(text + strlen(text) - 4, "\r\033[K");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_one_line_of_keys_and_values),
        cmocka_unit_test(levels_beyond_the_chosen_one_are_silent),
        cmocka_unit_test(a_value_cannot_forge_a_line),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(progress_off_a_terminal_is_rare_and_ends_with_the_last),
        cmocka_unit_test(progress_says_the_same_thing_once),
        cmocka_unit_test(a_terminal_has_one_line_of_progress_that_is_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
