/*
 * report_command.c - `client report`: the hospital's pages made again, in either language
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sys.h"
#include "client/fed_commands.h"
#include "client/home.h"
#include "client/keep.h"

static struct {
    const char *home, *run, *lang;
} o;

static const fl_opt options[] = {
    {"home", FL_OPT_TEXT, "DIR", "the hospital's home", &o.home, 0, 0, true},
    {"run", FL_OPT_TEXT, "R", "this run's page (default: of every run that has a report)", &o.run,
     0, 0, false},
    {"lang", FL_OPT_TEXT, "en|fr", "the pages' language (default: as client.yaml says)", &o.lang, 0,
     0, false},
    {0},
};

const fl_opt *client_report_options(void)
{
    return options;
}

static fl_status write_one(const home *h, const char *run, report_language language, fl_err *err)
{
    char *dir = NULL, *page = NULL;
    fl_status st = home_run_path(&dir, h, run, err);
    if (st == FL_OK && (st = keep_page(&page, dir, h->site.text, language, err)) == FL_OK) {
        printf("%s\n", page);
    }
    free(page);
    free(dir);
    return st;
}

/* Runs that have not come to their report are passed over. */
static fl_status write_every(const home *h, report_language language, fl_err *err)
{
    char *runs = home_path(h, "runs"), **names = NULL;
    size_t n = 0, n_written = 0;
    fl_status st = fl_list_dir(&names, &n, runs, err);
    for (size_t i = 0; i < n && st == FL_OK; i++) {
        char *document = fl_xasprintf("%s/%s/report.json", runs, names[i]);
        if (fl_file_exists(document)) {
            st = write_one(h, names[i], language, err);
            n_written++;
        }
        free(document);
    }
    if (st == FL_OK && n_written == 0) {
        st = fl_fail(err, FL_ENOTFOUND,
                     "%s: there is no report yet; one comes to its hospitals when a job is done",
                     runs);
    }
    fl_names_free(&names, n);
    free(runs);
    return st;
}

fl_status client_report(int argc, char **argv, fl_err *err)
{
    home *h = NULL;
    report_language language = REPORT_EN;
    fl_texts pos = {NULL, 0};
    fl_status st = fl_cli_parse(argc, argv, options, 0, 0, &pos, err);
    if (st == FL_OK && o.lang != NULL && !report_language_find(&language, o.lang)) {
        st = fl_fail(err, FL_EUSAGE, "--lang: expected en or fr, found %.60s", o.lang);
    }
    if (st != FL_OK || (st = home_look(&h, o.home, err)) != FL_OK) {
        goto done;
    }
    language = o.lang != NULL ? language : h->language;
    st = o.run != NULL ? write_one(h, o.run, language, err) : write_every(h, language, err);
done:
    home_close(&h);
    free(pos.items);
    return st;
}
