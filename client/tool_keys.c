/*
 * tool_keys.c - `client keys`: the reference of the keys people write
 */
#include <stdio.h>
#include <stdlib.h>

#include "client/policy.h"
#include "client/tools.h"
#include "data/dataset.h"
#include "data/label_map.h"
#include "job/job.h"

fl_status client_keys(int argc, char **argv, fl_err *err)
{
    fl_texts none;
    fl_status st = fl_cli_parse(argc, argv, NULL, 0, 0, &none, err);
    if (st != FL_OK) {
        return st;
    }
    free(none.items);
    printf("dataset.yaml: what one hospital has\n\n");
    data_set_keys(stdout);
    printf("\na label map: what a hospital's labels are among a model's classes\n\n");
    data_label_map_keys(stdout);
    printf("\npolicy.yaml: what one hospital allows\n\n");
    policy_describe(stdout);
    printf("\njob.yaml: what the consortium trains\n\n");
    job_describe(stdout);
    return FL_OK;
}
