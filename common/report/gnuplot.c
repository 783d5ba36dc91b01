/*
 * gnuplot.c - see gnuplot.h
 */
#include "report/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "report/html.h"

enum {
    PATIENCE_MS = 20000,
    MOST_SVG_BYTES = 8 << 20,
};

/* ----------------------------------------------------------------- running */

/* All of fd until its end; false on an error, too much, or too late. */
static bool read_all(fl_buf *out, int fd)
{
    int64_t until = fl_now_ms() + PATIENCE_MS;
    for (;;) {
        char bytes[16384];
        int64_t left = until - fl_now_ms();
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int n_ready = poll(&ready, 1, left > 0 ? (int)left : 0);
        if (n_ready < 0 && errno == EINTR) {
            continue;
        }
        ssize_t n = n_ready > 0 ? read(fd, bytes, sizeof bytes) : -1;
        if (n < 0 && n_ready > 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0;
        }
        fl_buf_add(out, bytes, (size_t)n);
        if (out->n > MOST_SVG_BYTES) {
            return false;
        }
    }
}

/* The script comes from an unlinked file: it can be of any length without
 * either side waiting for the other. */
static FILE *script_file(const char *script)
{
    FILE *file = tmpfile();
    if (file != NULL &&
        (fputs(script, file) == EOF || fflush(file) != 0 || fseek(file, 0, SEEK_SET) != 0)) {
        fclose(file);
        file = NULL;
    }
    return file;
}

static pid_t start(int in, int out)
{
    // -d: a user's ~/.gnuplot must not change a report.
    static char name[] = "gnuplot", defaults[] = "-d", locale[] = "LC_ALL=C";
    char *path = fl_xasprintf("PATH=%s", getenv("PATH") != NULL ? getenv("PATH") : "/usr/bin:/bin");
    char *const argv[] = {name, defaults, NULL}, *const envp[] = {locale, path, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t pid = -1;

    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    if (posix_spawnp(&pid, name, &files, &attributes, argv, envp) != 0) {
        pid = -1;
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    free(path);
    return pid;
}

bool report_gnuplot_bytes(fl_buf *out, const char *script)
{
    int ends[2];
    FILE *file = script_file(script);
    if (file == NULL) {
        return false;
    }
    if (pipe(ends) != 0) {
        fclose(file);
        return false;
    }
    pid_t pid = start(fileno(file), ends[1]);
    close(ends[1]);
    fclose(file);
    bool ok = pid > 0 && read_all(out, ends[0]);
    close(ends[0]);
    if (pid > 0) {
        int how = 0;
        if (!ok) {
            kill(pid, SIGKILL);
        }
        while (waitpid(pid, &how, 0) < 0 && errno == EINTR) {
        }
        ok = ok && WIFEXITED(how) && WEXITSTATUS(how) == 0;
    }
    return ok && out->n > 0;
}

bool report_gnuplot_run(fl_buf *svg, const char *script)
{
    return report_gnuplot_bytes(svg, script) && strstr(svg->data, "</svg>") != NULL;
}

void report_gnuplot_quote(fl_buf *script, const char *text)
{
    fl_buf_puts(script, "'");
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = c >= 0x80 || (c >= ' ' && c != 0x7f && strchr("'\"`\\$@&<>", c) == NULL);
        fl_buf_puts(script, plain ? "" : "?");
        fl_buf_add(script, text, plain ? 1 : 0);
    }
    fl_buf_puts(script, "'");
}

/* ---------------------------------------------------------------- inlining */

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Copies up to where an element of this name has ended; text is at its "<". */
static const char *skip_element(const char *text, const char *end_tag)
{
    const char *end = strstr(text, end_tag);
    return end != NULL ? end + strlen(end_tag) : text + strlen(text);
}

/* Length of what stands before an id or a reference to one; 0 = neither. */
static size_t before_id(const char *text)
{
    static const char *const marks[] = {" id=\"", " id='", "href=\"#", "href='#", "url(#"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (starts(text, marks[i])) {
            return strlen(marks[i]);
        }
    }
    return 0;
}

void report_gnuplot_inline(report_page *out, const char *svg, int id, const char *words)
{
    const char *text = strstr(svg, "<svg");
    if (text == NULL) {
        return;
    }
    report_html(out, "<svg role=\"img\" aria-label=\"%s\"", words);
    text += strlen("<svg");
    while (*text != '\0') {
        size_t mark = before_id(text);
        if (starts(text, "<title>")) {
            text = skip_element(text, "</title>");
        } else if (starts(text, "<desc>")) {
            text = skip_element(text, "</desc>");
        } else if (mark > 0) {
            fl_buf_add(&out->text, text, mark);
            fl_buf_printf(&out->text, "c%d-", id);
            text += mark;
        } else {
            fl_buf_add(&out->text, text, 1);
            text++;
        }
    }
}
