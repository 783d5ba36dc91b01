/*
 * log.c - see log.h
 *
 * A line is made whole before it is written, and one mutex covers the
 * stream, so lines of several threads never mix.
 */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/sys.h"

enum {
    LINE_BYTES = 2048,             // longer lines are cut
    PROGRESS_INTERVAL_MS = 10000,  // between plain lines of progress
    TERMINAL_INTERVAL_MS = 100,    // between repaints on a terminal
    TERMINAL_COLUMNS = 80          // where a terminal does not say
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct {
    FILE *to;  // NULL: stderr
    fl_log_level level;
    bool painted;      // the progress line is on the terminal
    bool pending;      // progress text not shown yet
    int64_t shown_ms;  // when progress was last shown; 0: never
    char progress[512];
    char shown[512];  // what was shown then
} logger = {.level = FL_LOG_INFO};

static void level_from_environment(void)
{
    const char *wanted = getenv("CONSILIUM_LOG");
    for (int i = 0; wanted != NULL && i <= FL_LOG_DEBUG; i++) {
        if (strcmp(wanted, level_names[i]) == 0) {
            logger.level = (fl_log_level)i;
        }
    }
}

static FILE *stream(void)
{
    return logger.to != NULL ? logger.to : stderr;
}

void fl_log_setup(FILE *to, fl_log_level level)
{
    pthread_once(&once, level_from_environment);
    pthread_mutex_lock(&lock);
    logger.to = to;
    logger.level = level;
    logger.shown_ms = 0;
    pthread_mutex_unlock(&lock);
}

bool fl_log_on(fl_log_level level)
{
    pthread_once(&once, level_from_environment);
    pthread_mutex_lock(&lock);
    bool on = level <= logger.level;
    pthread_mutex_unlock(&lock);
    return on;
}

/* A value from outside must not be able to forge a line or drive a terminal. */
static void replace_controls(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++) {
        if (*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
}

/* A line that wraps could not be overwritten. */
static int terminal_columns(void)
{
    struct winsize size;
    bool told = ioctl(fileno(stream()), TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return told ? size.ws_col - 1 : TERMINAL_COLUMNS - 1;
}

/* The bytes of text's first n characters: a cut in the middle of one shows as dirt. */
static int bytes_of(const char *text, int n_characters)
{
    int n = 0;
    for (; text[n] != '\0'; n++) {
        if (((unsigned char)text[n] & 0xc0) != 0x80 && n_characters-- == 0) {
            break;
        }
    }
    return n;
}

static void paint(void)
{
    fprintf(stream(), "\r\033[K%.*s", bytes_of(logger.progress, terminal_columns()),
            logger.progress);
    logger.painted = true;
}

static void wipe_painted(void)
{
    if (logger.painted) {
        fputs("\r\033[K", stream());
        logger.painted = false;
    }
}

/* A person at a terminal knows the day, and expects information. */
static int start_line(char *line, size_t n, fl_log_level level, const char *event)
{
    char when[32];
    fl_iso_time(when, sizeof when, fl_wall_ms());
    const char *time = strchr(when, 'T');
    if (time == NULL || !isatty(fileno(stream()))) {
        return snprintf(line, n, "%s %s %s ", when, level_names[level], event);
    }
    bool named = level < FL_LOG_INFO;
    return snprintf(line, n, "%s %s%s%s ", time + 1, named ? level_names[level] : "",
                    named ? " " : "", event);
}

void fl_log(fl_log_level level, const char *event, const char *fmt, ...)
{
    if (!fl_log_on(level)) {
        return;
    }
    char line[LINE_BYTES];
    int n = start_line(line, sizeof line, level, event);
    if (n > 0 && (size_t)n < sizeof line) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(line + n, sizeof line - (size_t)n, fmt, args);
        va_end(args);
    }
    replace_controls(line);

    pthread_mutex_lock(&lock);
    bool painted = logger.painted;
    wipe_painted();
    fprintf(stream(), "%s\n", line);
    if (painted) {
        paint();
    }
    fflush(stream());
    pthread_mutex_unlock(&lock);
}

static void show_progress(bool on_terminal)
{
    if (on_terminal) {
        paint();
    } else {
        fprintf(stream(), "%s\n", logger.progress);
    }
    fflush(stream());
    memcpy(logger.shown, logger.progress, sizeof logger.shown);
    logger.shown_ms = fl_now_ms();
    logger.pending = false;
}

void fl_progress(const char *fmt, ...)
{
    pthread_mutex_lock(&lock);
    va_list args;
    va_start(args, fmt);
    vsnprintf(logger.progress, sizeof logger.progress, fmt, args);
    va_end(args);
    replace_controls(logger.progress);

    bool on_terminal = isatty(fileno(stream()));
    int64_t interval_ms = on_terminal ? TERMINAL_INTERVAL_MS : PROGRESS_INTERVAL_MS;
    logger.pending = logger.shown_ms == 0 || strcmp(logger.progress, logger.shown) != 0;
    if (logger.pending && (logger.shown_ms == 0 || fl_now_ms() - logger.shown_ms >= interval_ms)) {
        show_progress(on_terminal);
    }
    pthread_mutex_unlock(&lock);
}

void fl_progress_end(void)
{
    pthread_mutex_lock(&lock);
    if (isatty(fileno(stream()))) {
        wipe_painted();
        fflush(stream());
    } else if (logger.pending) {
        show_progress(false);
    }
    logger.pending = false;
    pthread_mutex_unlock(&lock);
}
