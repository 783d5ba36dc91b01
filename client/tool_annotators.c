/*
 * tool_annotators.c - a model beside several annotators, as text
 */
#include <stdio.h>
#include <string.h>

#include "client/tools.h"

/* what: "reader-1 and reader-2"; cell: an entry with a Dice, or why it is hidden. */
static void print_cell(const char *what, const json_t *cell)
{
    const json_t *dice = json_object_get(cell, "dice");
    if (dice == NULL) {
        printf("%-44s not shown: %s\n", what, fl_json_get_string(cell, "why", ""));
        return;
    }
    tool_print_line(what, dice);
}

static void print_verdict(const json_t *comparison)
{
    const char *verdict = fl_json_get_string(comparison, "verdict", "");
    double margin = fl_json_get_number(comparison, "margin");
    if (strcmp(verdict, "as well") == 0) {
        printf("the model agrees with the annotators as well as they agree with each other (within "
               "%g)\n", margin);
    } else if (strcmp(verdict, "less well") == 0) {
        printf("the model agrees with the annotators less well than they agree with each other (by "
               "more than %g)\n", margin);
    } else {
        printf("cannot tell whether the model agrees with the annotators as well as they agree "
               "with each other (within %g)\n", margin);
    }
}

static void print_comparison(const json_t *comparison)
{
    const json_t *difference = json_object_get(comparison, "difference");
    if (difference != NULL) {
        printf("on cases that two or more drew\n");
        tool_print_line("  annotators with each other", json_object_get(comparison, "human"));
        tool_print_line("  the model with them", json_object_get(comparison, "model"));
        tool_print_line("  difference", difference);
    }
    print_verdict(comparison);
}

void tool_print_annotators(const json_t *annotators)
{
    const json_t *entry;
    char what[160];
    size_t i;
    if (annotators == NULL) {
        return;
    }
    printf("%lld annotators, Dice of two masks\n\n",
           (long long)fl_json_get_int(annotators, "annotators", 0));
    json_array_foreach(json_object_get(annotators, "pairs"), i, entry) {
        snprintf(what, sizeof what, "%.60s and %.60s", fl_json_get_string(entry, "a", ""),
                 fl_json_get_string(entry, "b", ""));
        print_cell(what, entry);
    }
    json_array_foreach(json_object_get(annotators, "model"), i, entry) {
        snprintf(what, sizeof what, "the model and %.60s",
                 fl_json_get_string(entry, "annotator", ""));
        print_cell(what, entry);
    }
    print_cell("the model and the vote of three or more", json_object_get(annotators, "consensus"));
    print_comparison(json_object_get(annotators, "comparison"));
    printf("\n");
}
