/*
 * passphrase.c - see passphrase.h
 */
#include "fed/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/sys.h"

enum { MAX_BYTES = 1024 };

struct fed_passphrase {
    size_t n;
    char text[MAX_BYTES];
};

static fed_passphrase *passphrase_alloc(void)
{
    FL_REQUIRE(sodium_init() >= 0);
    fed_passphrase *p = sodium_malloc(sizeof *p);
    FL_REQUIRE(p != NULL);
    memset(p, 0, sizeof *p);
    return p;
}

fed_passphrase *fed_passphrase_new(const char *text)
{
    fed_passphrase *p = passphrase_alloc();
    p->n = strlen(text);
    FL_REQUIRE(p->n < MAX_BYTES);
    memcpy(p->text, text, p->n);
    return p;
}

void fed_passphrase_destroy(fed_passphrase **p)
{
    sodium_free(*p);  // wipes
    *p = NULL;
}

const char *fed_passphrase_text(const fed_passphrase *p, size_t *n)
{
    *n = p->n;
    return p->text;
}

/* The first line of fd, byte by byte: what follows stays unread.  Ends early when *stop is set. */
static fed_passphrase *read_line(int fd, const volatile sig_atomic_t *stop)
{
    fed_passphrase *p = passphrase_alloc();
    char c;
    ssize_t got;
    while (*stop == 0 && ((got = read(fd, &c, 1)) == 1 || (got < 0 && errno == EINTR))) {
        if (got == 1 && (c == '\n' || p->n + 1 == MAX_BYTES)) {
            break;
        }
        if (got == 1) {
            p->text[p->n++] = c;
        }
    }
    if (p->n > 0 && p->text[p->n - 1] == '\r') {
        p->text[--p->n] = '\0';
    }
    return p;
}

static fl_status from_file(fed_passphrase **out, const char *path, fl_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fl_wrap(err, fl_fail_errno(err, errno, path), "the passphrase's file");
    }
    static const volatile sig_atomic_t never = 0;
    *out = read_line(fd, &never);
    close(fd);
    return FL_OK;
}

static volatile sig_atomic_t stopped_by;

static void on_signal(int number)
{
    stopped_by = number;
}

static const int stopping[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
enum { N_STOPPING = sizeof stopping / sizeof *stopping };

/* Ctrl-C must not leave a terminal that shows nothing: the line ends, the terminal is as it was,
 * and then the signal does what it does here without us. */
static void read_hidden(fed_passphrase **out, int fd, const char *prompt,
                        const struct termios *shown)
{
    struct sigaction before[N_STOPPING], ours = {.sa_handler = on_signal};
    struct termios hidden = *shown;
    sigemptyset(&ours.sa_mask);
    stopped_by = 0;
    for (int i = 0; i < N_STOPPING; i++) {
        sigaction(stopping[i], &ours, &before[i]);
    }
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(fd, TCSAFLUSH, &hidden);
    dprintf(fd, "%s: ", prompt);
    *out = read_line(fd, &stopped_by);
    dprintf(fd, "\n");
    tcsetattr(fd, TCSAFLUSH, shown);
    for (int i = 0; i < N_STOPPING; i++) {
        sigaction(stopping[i], &before[i], NULL);
    }
    if (stopped_by != 0) {
        fed_passphrase_destroy(out);
        raise(stopped_by);
    }
}

/* FL_ENOTFOUND when there is no terminal, without a sentence. */
static fl_status from_terminal(fed_passphrase **out, const char *prompt, fl_err *err)
{
    struct termios shown;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || tcgetattr(fd, &shown) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return FL_ENOTFOUND;
    }
    read_hidden(out, fd, prompt, &shown);
    close(fd);
    return *out != NULL ? FL_OK : fl_fail(err, FL_ESTOPPED, "stopped before it had the passphrase");
}

fl_status fed_passphrase_ask(fed_passphrase **out, const char *path, fl_err *err)
{
    *out = NULL;
    const char *file = getenv("CONSILIUM_PASSPHRASE_FILE");
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    char *credential = credentials != NULL ? fl_path_join(credentials, "passphrase") : NULL;
    if (file == NULL && credential != NULL && fl_file_exists(credential)) {
        file = credential;
    }
    fl_status st = FL_OK;
    char prompt[512];
    snprintf(prompt, sizeof prompt, "passphrase of %.400s", path);
    if (file != NULL) {
        st = from_file(out, file, err);
        if (st == FL_OK && (*out)->n == 0) {
            fed_passphrase_destroy(out);
            st = fl_fail(err, FL_EDENIED, "the passphrase's file: %s: its first line is empty",
                         file);
        }
    } else if ((st = from_terminal(out, prompt, err)) == FL_ENOTFOUND) {
        st = fl_fail(err, FL_EDENIED,
                     "%s is under a passphrase: start at a terminal, or name a file that holds it "
                     "in CONSILIUM_PASSPHRASE_FILE",
                     path);
    }
    free(credential);
    return st;
}

fl_status fed_passphrase_choose(fed_passphrase **out, fl_err *err)
{
    *out = NULL;
    fed_passphrase *again = NULL;
    fl_status st = FL_OK;
    const char *file = getenv("CONSILIUM_NEW_PASSPHRASE_FILE");
    if (file != NULL) {
        st = from_file(out, file, err);
    } else if ((st = from_terminal(out, "new passphrase", err)) != FL_OK ||
               (st = from_terminal(&again, "once more", err)) != FL_OK) {
        st = st != FL_ENOTFOUND
                 ? st
                 : fl_fail(err, FL_EUSAGE,
                           "there is no terminal: name a file that holds the new passphrase in "
                           "CONSILIUM_NEW_PASSPHRASE_FILE");
    } else if ((*out)->n != again->n || sodium_memcmp((*out)->text, again->text, again->n) != 0) {
        st = fl_fail(err, FL_EUSAGE, "the two are not the same");
    }
    if (st == FL_OK && (*out)->n < FED_PASSPHRASE_LEAST) {
        st = fl_fail(err, FL_EUSAGE, "a passphrase needs %d characters or more",
                     FED_PASSPHRASE_LEAST);
    }
    fed_passphrase_destroy(&again);
    if (st != FL_OK) {
        fed_passphrase_destroy(out);
    }
    return st;
}
