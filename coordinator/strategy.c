/*
 * strategy.c - the registry; see strategy.h
 */
#include "coordinator/strategy.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"

extern const strategy_ops strategy_fedavg, strategy_fedprox;                        // fedavg.c
extern const strategy_ops strategy_fedavgm;                                         // fedavgm.c
extern const strategy_ops strategy_fedadam, strategy_fedyogi, strategy_fedadagrad;  // fedopt.c
extern const strategy_ops strategy_median, strategy_trimmed_mean;                   // robust.c
extern const strategy_ops strategy_krum, strategy_multi_krum;                               // krum.c

static const strategy_ops *const registry[] = {
    &strategy_fedavg,  &strategy_fedprox, &strategy_fedavgm,
    &strategy_fedadam, &strategy_fedyogi, &strategy_fedadagrad,
    &strategy_median,  &strategy_trimmed_mean, &strategy_krum, &strategy_multi_krum,
};
enum { N_STRATEGIES = sizeof registry / sizeof *registry };

const strategy_ops *strategy_at(size_t i)
{
    return i < N_STRATEGIES ? registry[i] : NULL;
}

const strategy_ops *strategy_find(const char *name)
{
    for (size_t i = 0; i < N_STRATEGIES; i++) {
        if (strcmp(registry[i]->name, name) == 0) {
            return registry[i];
        }
    }
    return NULL;
}

static fl_status unknown_strategy(const char *name, fl_err *err)
{
    fl_buf known = FL_BUF_INIT;
    for (size_t i = 0; i < N_STRATEGIES; i++) {
        fl_buf_printf(&known, "%s%s", i == 0 ? "" : " ", registry[i]->name);
    }
    fl_status st = fl_fail(err, FL_ECONFIG, "strategy: expected one of %s, found %s", known.data,
                           name);
    fl_buf_clear(&known);
    return st;
}

static fl_status set_value(strategy *s, const char *key, double value, fl_err *err)
{
    for (const strategy_param *p = s->ops->params; p->key != NULL; p++) {
        if (strcmp(p->key, key) != 0) {
            continue;
        }
        if (!(value >= p->min && value <= p->max)) {
            return fl_fail(err, FL_ECONFIG,
                           "strategy.%s: expected a number from %g to %g, found %g", key, p->min,
                           p->max, value);
        }
        if (p->whole && value != floor(value)) {
            return fl_fail(err, FL_ECONFIG, "strategy.%s: expected a whole number, found %g", key,
                           value);
        }
        s->value[p - s->ops->params] = value;
        return FL_OK;
    }
    return fl_fail(err, FL_ECONFIG, "strategy.%s: %s has no such setting", key, s->ops->name);
}

fl_status strategy_init(strategy *out, const job_strategy *cfg, fl_err *err)
{
    *out = (strategy){.ops = strategy_find(cfg->name), .uniform = cfg->uniform};
    if (out->ops == NULL) {
        return unknown_strategy(cfg->name, err);
    }
    for (const strategy_param *p = out->ops->params; p->key != NULL; p++) {
        out->value[p - out->ops->params] = p->dflt;
    }
    for (size_t i = 0; i < cfg->n_params; i++) {
        fl_status st = set_value(out, cfg->param[i].key, cfg->param[i].value, err);
        if (st != FL_OK) {
            return st;
        }
    }
    return FL_OK;
}

float strategy_vector_start(const strategy *s, int vector)
{
    int param = s->ops->vector_start[vector];
    return param < 0 ? 0.0f : (float)s->value[param];
}

strategy_least strategy_least_of(const strategy *s)
{
    return s->ops->least != NULL ? s->ops->least(s->value) : (strategy_least){.n = 1};
}

void strategy_describe(FILE *out)
{
    for (size_t i = 0; i < N_STRATEGIES; i++) {
        fprintf(out, "strategy: {name: %s}  # %s\n", registry[i]->name, registry[i]->paper);
        for (const strategy_param *p = registry[i]->params; p->key != NULL; p++) {
            fprintf(out, "  %s: %s from %g to %g, default %g  # %s\n", p->key,
                    p->whole ? "whole number" : "number", p->min, p->max, p->dflt, p->help);
        }
    }
}
