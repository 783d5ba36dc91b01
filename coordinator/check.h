/*
 * check.h - is a contribution what it says, and what was asked for?
 *
 * Three looks: at the Offer before a byte of payload moves, at each piece as it
 * arrives, at the whole document.  Nothing that failed one of them is stored as
 * accepted.  Every refusal is one sentence for the site and for the report.
 */
#ifndef COORDINATOR_CHECK_H
#define COORDINATOR_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "fed/msg.h"
#include "fed/update.h"
#include "nn/params.h"
#include "task/task.h"

enum { CHECK_MAX_DOCUMENT = 8 << 20 };  // bytes of a test's figures; others are smaller

/* What contributions to a job must match. */
typedef struct {
    fed_digest job;
    const nn_table *table;  // borrowed
    fed_encoding enc;              // of updates
    uint8_t table_hash[32];
    size_t n_classes;
    int64_t histogram_bins;  // a site sends so many, or a divisor of it
    const task_train_config *partial;  // a round's training, where part of it counts; or NULL
} check_job;

/* Is the payload the numbers of a model: an update, or a site's own model? */
bool check_is_numbers(const fed_offer *o);
fed_encoding check_encoding(const check_job *c, const fed_offer *o);
/*
 * base: model_sha256 of the order, NULL for CHECK.  FL_EDENIED: not signed by
 * who sends it, or for another model; FL_EFORMAT: of another shape.
 */
fl_status check_offer(const check_job *c, const fed_offer *o, const fed_site_id *site,
                      const fed_verify_key *key, const fed_model_id *base, fl_err *err);
/* Counts that a site's contribution rests on are those it joined with (its CHECK), or fewer. */
fl_status check_counts(const check_job *c, const fed_offer *o, const fed_offer *joined,
                       fl_err *err);
/* Piece index of o's numbers (8-byte aligned): finite, an update's in range, complete. */
fl_status check_piece(const check_job *c, const fed_offer *o, const uint8_t *piece, size_t n,
                      uint32_t index, fl_err *err);
/* The payload of everything but numbers.  A site may keep its histogram to itself. */
fl_status check_document(const check_job *c, const fed_offer *o, const char *text, size_t n,
                         fl_err *err);

#endif
