/*
 * known.h - public collections' tables and folders as a manifest
 *
 * `recipe:` of dataset.yaml names one; what comes out is the manifest that somebody
 * would have written: case, patient, file, labels or masks, and all other
 * columns under their own names, for attributes.  Known to this folder only.
 */
#ifndef DATA_KNOWN_H
#define DATA_KNOWN_H

#include "base/buf.h"
#include "data/recipe.h"

struct data_known {
    const char *name;            // as in dataset.yaml
    const char *what;            // for make docs
    bool is_folder;              // `from` is one
    const data_parent *parents;  // of its findings, where dataset.yaml names none
    size_t n_parents;
    /* Appends the manifest's text; line: the table's of each row, may grow by one a row; owned. */
    fl_status (*write)(const data_recipe *r, fl_buf *out, int **line, fl_err *err);
};

const data_known *data_known_at(size_t i);  // NULL behind the last
/* The manifest of r->known. */
fl_status data_known_read(data_csv *out, const data_recipe *r, fl_err *err);

#endif
