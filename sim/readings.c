/*
 * readings.c - see readings.h
 */
#include "sim/readings.h"

#include "base/buf.h"

void readings_add_outline(readings *r, const float *drawn, const float *truth, size_t n)
{
    double both = 0, true_sum = 0, drawn_sum = 0;
    for (size_t i = 0; i < n; i++) {
        both += (double)(drawn[i] * truth[i]);
        true_sum += (double)truth[i];
        drawn_sum += (double)drawn[i];
    }
    if (true_sum == 0) {
        return;
    }
    r->n_found++;
    r->n_overlooked += drawn_sum == 0;
    r->dice += drawn_sum > 0 ? 2 * both / (true_sum + drawn_sum) : 0;
}

char *readings_text(const readings *r, const annotate_rules *rules, const char *truth)
{
    fl_buf out = FL_BUF_INIT;
    size_t n_drawn = r->n_found - r->n_overlooked;
    double dice = n_drawn > 0 ? r->dice / (double)n_drawn : 0;
    if (n_drawn > 0 && rules->annotators > 1) {
        fl_buf_printf(&out, "outlines of %lld readers (mean Dice %.2f with %s)",
                      (long long)rules->annotators, dice, truth);
    } else if (n_drawn > 0 && rules->variation > 0) {
        fl_buf_printf(&out, "%s; training outlines are one reader's (mean Dice %.2f with it)",
                      truth, dice);
    } else {
        fl_buf_puts(&out, truth);
    }
    if (r->n_overlooked > 0) {
        fl_buf_printf(&out, "; %zu of %zu findings were overlooked in training", r->n_overlooked,
                      r->n_found);
    }
    if (r->n_wrong > 0) {
        fl_buf_printf(&out, "; readers wrote %zu of %zu training labels wrongly", r->n_wrong,
                      r->n_labels);
    }
    return fl_buf_take(&out);
}
