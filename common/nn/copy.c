/*
 * copy.c - see copy.h
 */
#include "nn/copy.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

nn_copying nn_copying_of(const nn_graph *g, const char *name)
{
    nn_copying c = {.g = g, .to = nn_graph_new(name)};
    c.map = fl_xcalloc(nn_graph_n_values(g), sizeof *c.map);
    for (size_t v = 0; v < nn_graph_n_values(g); v++) {
        c.map[v] = -1;
    }
    return c;
}

void nn_copying_clear(nn_copying *c)
{
    nn_graph_destroy(&c->to);
    FL_FREE(c->map);
}

static nn_value copied(nn_copying *c, nn_value v, bool frozen)
{
    int64_t index = nn_graph_param_index(c->g, v);
    if (c->map[v] < 0 && index >= 0) {
        const nn_param *p = nn_table_at(nn_graph_table(c->g), (size_t)index);
        nn_kind kind = frozen && nn_kind_trainable(p->kind) ? NN_FROZEN : p->kind;
        c->map[v] = nn_graph_param(c->to, p->name, kind, &p->shape, NN_INIT_ZERO, 0);
    }
    return c->map[v];
}

void nn_copying_node(nn_copying *c, const nn_node *node, bool frozen)
{
    nn_value *in = fl_xcalloc(node->n_in, sizeof *in);
    for (size_t i = 0; i < node->n_in; i++) {
        in[i] = node->in[i] < 0 ? -1 : copied(c, node->in[i], frozen);
    }
    nn_value out = nn_graph_op(c->to, node->op, node->name, in, node->n_in, node->attrs,
                               node->n_attrs);
    for (size_t k = 0; k < node->n_out && out >= 0; k++) {
        if (node->out[k] >= 0) {
            c->map[node->out[k]] = out + (nn_value)k;
        }
    }
    free(in);
}

float *nn_copied_values(const nn_graph *copy, const nn_graph *g, const float *params)
{
    const nn_table *table = nn_graph_table(copy);
    float *values = fl_xcalloc((size_t)nn_table_count(table), sizeof *values);
    for (size_t i = 0; i < nn_table_n(table); i++) {
        const nn_param *p = nn_table_at(table, i);
        const nn_param *from = nn_table_find(nn_graph_table(g), p->name);
        if (from != NULL) {
            memcpy(values + p->offset, params + from->offset, (size_t)p->count * sizeof *values);
        }
    }
    return values;
}
