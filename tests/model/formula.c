/*
 * formula.c - see formula.h
 */
#include "formula.h"

#include "check.h"
#include "model/model.h"

float formula_value(uint64_t stream, uint64_t i)
{
    const uint64_t mask = UINT32_MAX;
    uint64_t x = (i * 2654435761u + stream * 40503u * 65537u + 12345u) & mask;

    x = (x * 1664525u + 1013904223u) & mask;
    x = ((x ^ (x >> 15)) * 2246822519u) & mask;
    return (float)((double)(x >> 8) / 8388608.0 - 1);
}

/* FNV-1a, from 10000 to 59999. */
static uint64_t stream_of(const char *name)
{
    uint32_t h = 2166136261u;

    for (const char *c = name; *c != '\0'; c++) {
        h = (h ^ (unsigned char)*c) * 16777619u;
    }
    return 10000 + h % 50000;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);

    return n >= k && strcmp(text + n - k, end) == 0;
}

void formula_parameters(float *data, const nn_table *table)
{
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        bool is_scale = p->kind == NN_NORM && ends_with(p->name, ".weight");
        bool is_variance = ends_with(p->name, ".running_var");
        float middle = is_scale || is_variance ? 1 : 0;
        float spread = is_variance          ? 0.5f
                       : is_scale           ? 0.3f
                       : p->shape.rank == 1 ? 0.1f
                                            : sqrtf(6 / (float)(p->count / p->shape.dim[0]));
        uint64_t stream = stream_of(p->name);
        for (int64_t k = 0; k < p->count; k++) {
            data[p->offset + k] = middle + spread * formula_value(stream, (uint64_t)k);
        }
    }
}

nn_graph *formula_build(const char *model, const nn_shape *input, int64_t n_outputs)
{
    fl_err err = FL_ERR_INIT;
    model_config cfg;
    nn_graph *g;

    check_ok(model_config_parse(&cfg, model, &err), err);
    check_ok(model_build(&g, &cfg, &(model_io){*input, n_outputs}, &err), err);
    return g;
}
