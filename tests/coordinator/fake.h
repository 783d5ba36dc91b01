/*
 * fake.h - a federation in a folder, with sites that train nothing
 *
 * The coordinator is the real one (serve.h) over in-process links; a fake site
 * speaks the whole conversation, keeps its contributions as a client's outbox
 * does, and makes updates by a formula of model, site and round.  So a run
 * takes milliseconds, and a test can kill the coordinator anywhere.
 * Threads: one.
 */
#ifndef FAKE_H
#define FAKE_H

#include "coordinator/roster.h"
#include "coordinator/serve.h"
#include "fed/transport.h"
#include "fed/update.h"

enum { FAKE_MAX_SITES = 40, FAKE_MAX_KEPT = 64 };

typedef struct fake fake;

/* A contribution in a site's outbox. */
typedef struct {
    fed_offer offer;
    fed_encoding enc;
    void *items;  // owned
    uint64_t n;   // items
    bool answered;  // a Verdict came
} fake_kept;

typedef struct fake_site {
    fake *fake;
    char name[FED_SITE_BYTES];
    int number;
    fed_identity *id;
    fed_invitation invitation;
    fed_link *link;
    bool one_time;  // the link speaks with the invitation's key
    bool enrolled, welcome;
    uint32_t n_connected;  // the connection that was greeted
    int64_t greeted_ms, offered_ms, beat_ms;
    fed_order order;
    bool has_order;
    fed_inbox *inbox;  // of the order's model
    fed_digest inbox_object;
    int64_t fetched_ms;
    uint32_t asked;  // pieces before this one
    fake_kept kept[FAKE_MAX_KEPT];
    size_t n_kept;
    bool done;  // its `done` was accepted
    int n_accepted, n_refused, n_orders;
    char last_verdict[FED_TEXT_BYTES], refused[FED_TEXT_BYTES], wait_text[FED_TEXT_BYTES];
    /* What a test may change. */
    bool asleep;  // says nothing
    bool refuse_check, misfit, pending, refuse_train;
    bool idle_beats;  // beats without ever contributing
    const char *own_model;  // of its policy: "leaves", "stays"; NULL: it says none, as an older one
    bool keeps_own;         // says so when it is asked for it
    bool has_no_own;
    bool tells_no_looks;    // at its test split, as an older one
    uint32_t version;       // of the protocol that it speaks; 0: the newest
    /* In this round it makes its update and says that it failed, so that it is absent at once, with
     * an update for later; 0: never. */
    uint32_t late_in;
    bool keeps_late;  // for the moment
    bool deaf_to_rotated;
    int n_told;  // how often it was told the coordinator's new keys, and answered
    /* A rotation that is under way (fake_rotate), and how many there were. */
    fed_identity *next;
    fed_rotation rotation;
    int64_t rotated_ms;
    int n_rotated;
    char not_rotated[FED_TEXT_BYTES];
    /* Changes an offer and its payload before it is signed. */
    void (*spoil)(struct fake_site *s, fake_kept *k);
    fed_encoding enc;  // of its updates
} fake_site;

struct fake {
    char *dir, *job_path;
    federation fed;
    serve *serve;
    fake_site site[FAKE_MAX_SITES];
    size_t n_sites;
    run_probe probe;
    void *probe_ctx;
    bool one_at_a_time;  // one site has its turn in each step
    size_t turn;
    bool (*drop)(void *ctx, bool to_server);  // loses messages
    void *drop_ctx;
};

/* A federation with n invited sites "site-a", "site-b" ...; job: YAML of the job. */
fake *fake_new(size_t n_sites, const char *yaml);
void fake_free(fake **f);
/* The usual job; features: inputs of a logistic regression; more: further lines. */
char *fake_job(int rounds, int quorum, const char *strategy_yaml, int features,
               const char *patience, const char *more);
/* Invites one more site. */
fake_site *fake_invite(fake *f, const char *name, int days, bool confirm);

/* The federation's roster, as another process opens it; the caller's. */
roster *fake_roster(const fake *f);
/* As `coordinator remove` from another process. */
void fake_remove(const fake *f, const char *site);

/* Starts the coordinator on the job (created when it is new), or without one. */
fl_status fake_start(fake *f, bool with_job, fl_err *err);
/* As SIGKILL: what was not committed is gone.  Sites stay. */
void fake_kill(fake *f);
/* One turn of everybody; *done: the run has finished. */
fl_status fake_step(fake *f, bool *done, fl_err *err);
/* Until the run has finished; fails the test after 60 s. */
fl_status fake_run(fake *f, fl_err *err);
/* Steps until cond(f) or 20 s; false: it did not become true. */
bool fake_until(fake *f, bool (*cond)(fake *f), fl_err *err);
/* One turn of a site alone. */
void fake_site_step(fake_site *s);
/* Sends a message as this site, whatever it is. */
fl_status fake_say(fake_site *s, const fed_msg *m, const void *payload, size_t n);
/* Fresh keys for the site, said until they are answered. */
void fake_rotate(fake_site *s);
/* The site forgets what it knows but its keys and its outbox, as a killed client. */
void fake_site_kill(fake_site *s);
/* What the site says of a model that is judged there: its accuracy, by a formula of model,
 * threshold and site. */
double fake_judged(float first, double threshold, int number);
/* The first number and the threshold of the site's own model. */
float fake_own_first(int number);
double fake_own_threshold(int number);
/* The site's update of a round; NULL: it has none. */
fake_kept *fake_update_of(fake_site *s, uint32_t round);
/* Signs and keeps a contribution to the site's order. */
fake_kept *fake_keep(fake_site *s, fed_encoding enc, const void *items, uint64_t n);
void fake_sign(fake_site *s, fed_offer *o);
/* runs/NAME/PART of the job's run; caller's. */
char *fake_run_path(const fake *f, const char *part);
/* report.json of the job's run; new reference. */
json_t *fake_report(const fake *f);

#endif
