/*
 * copy.h - a graph, or a part of one, made again
 *
 * For whoever wants other outputs than a model has, or a model cut in two: nodes are added to a
 * new graph one by one, and what was a value of the old graph is looked up in map.
 *
 *     nn_copying c = nn_copying_of(g, "trunk");
 *     c.map[input] = nn_graph_input(c.to, "input", shape);
 *     nn_copying_node(&c, nn_graph_node(g, i), false);
 *     nn_graph_output(c.to, "maps", c.map[v]);
 *     st = nn_graph_finish(c.to, err);
 *     values = nn_copied_values(c.to, g, params);
 */
#ifndef NN_COPY_H
#define NN_COPY_H

#include <stdbool.h>

#include "nn/graph.h"

typedef struct {
    const nn_graph *g;  // borrowed
    nn_graph *to;       // its own until it is taken
    nn_value *map;      // (values of g) value of g to value of to; -1 unknown
} nn_copying;

nn_copying nn_copying_of(const nn_graph *g, const char *name);
/* Destroys to, unless it was taken (NULL). */
void nn_copying_clear(nn_copying *c);

/* Adds a node of g whose inputs are in the map or parameters.  frozen: its parameters are not
 * trained in the copy. */
void nn_copying_node(nn_copying *c, const nn_node *node, bool frozen);

/* The numbers of a finished copy's parameters, by name; what g lacks is 0.  Caller's, free(). */
float *nn_copied_values(const nn_graph *copy, const nn_graph *g, const float *params);

#endif
