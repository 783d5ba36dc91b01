/*
 * shift.c - chains of image transforms: reading, checking, applying
 *
 * The transforms themselves stand in one file a family.  Every transform of a
 * chain draws from a stream of its own: changing one severity leaves the
 * others' noise alone.
 */
#include "data/shift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/shift_family.h"

static const data_shift_ops *const families[] = {
    data_shift_scanner, data_shift_artefact, data_shift_protocol,
    data_shift_stain,   data_shift_workflow,
};

const data_shift_ops *data_shift_at(size_t i)
{
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        for (const data_shift_ops *ops = families[f]; ops->name != NULL; ops++) {
            if (i-- == 0) {
                return ops;
            }
        }
    }
    return NULL;
}

const data_shift_ops *data_shift_find(const char *name)
{
    const data_shift_ops *ops;
    for (size_t i = 0; (ops = data_shift_at(i)) != NULL; i++) {
        if (strcmp(ops->name, name) == 0) {
            return ops;
        }
    }
    return NULL;
}

void data_shift_read(data_shift *out, fl_node list)
{
    const data_shift_ops *ops;

    *out = (data_shift){.n = 0};
    for (size_t i = 0; i < fl_cfg_count(list); i++) {
        fl_node item = fl_cfg_item(list, i);
        if (!fl_cfg_is_map(item) || fl_cfg_count(item) != 1) {
            fl_cfg_complain(item, "shift: expected one transform an item, such as blur: 2");
            return;
        }
        for (size_t k = 0; (ops = data_shift_at(k)) != NULL; k++) {
            if (!fl_cfg_has(item, ops->name)) {
                continue;
            }
            double severity = fl_cfg_num(item, ops->name, 0, 5, FL_CFG_REQUIRED_NUM, ops->help);
            if (out->n == DATA_SHIFT_MAX) {
                fl_cfg_complain(item, "shift: more than %d transforms", DATA_SHIFT_MAX);
                return;
            }
            out->ops[out->n] = ops;
            out->severity[out->n++] = severity;
        }
    }
}

fl_status data_shift_check(const data_shift *chain, const nn_shape *shape, fl_err *err)
{
    if (chain->n > 0 && shape->rank != 3 && shape->rank != 4) {
        return fl_fail(err, FL_EUNSUPPORTED, "shift: only for images and volumes");
    }
    for (size_t i = 0; i < chain->n; i++) {
        if (chain->ops[i]->needs_rgb && shape->dim[0] != 3) {
            return fl_fail(err, FL_EUNSUPPORTED,
                           "shift: %s is for colour images of 3 channels; this one has %lld",
                           chain->ops[i]->name, (long long)shape->dim[0]);
        }
    }
    return FL_OK;
}

static fl_status image_of(data_shift_image *out, const nn_shape *shape, fl_err *err)
{
    *out = (data_shift_image){
        .channels = shape->dim[0],
        .depth = shape->rank == 4 ? shape->dim[1] : 1,
        .rows = shape->dim[shape->rank - 2],
        .cols = shape->dim[shape->rank - 1],
        .pixel_size = 1,
    };
    out->scratch = fl_calloc((size_t)data_shift_count(out), sizeof *out->scratch, "shift", err);
    return out->scratch != NULL ? FL_OK : FL_ELIMIT;
}

/* Where only what moves is wanted, the others' streams are passed over. */
static void apply_all(data_shift_image *image, const data_shift *chain, bool moving, fl_rng *rng)
{
    for (size_t i = 0; i < chain->n; i++) {
        const data_shift_ops *ops = chain->ops[i];
        fl_rng own;
        fl_rng_init(&own, fl_rng_u64(rng), "shift", ops->name, i);
        if (chain->severity[i] > 0 && (!moving || ops->moves)) {
            ops->apply(image, chain->severity[i], &own);
        }
    }
}

fl_status data_shift_apply(const data_shift *chain, float *x, const nn_shape *shape, fl_rng *rng,
                           fl_err *err)
{
    data_shift_image image;
    fl_status st = data_shift_check(chain, shape, err);
    if (st != FL_OK || chain->n == 0 || (st = image_of(&image, shape, err)) != FL_OK) {
        return st;
    }
    image.x = x;
    apply_all(&image, chain, false, rng);
    free(image.scratch);
    return FL_OK;
}

bool data_shift_moves(const data_shift *chain)
{
    bool moves = false;
    for (size_t i = 0; i < chain->n; i++) {
        moves = moves || (chain->ops[i]->moves && chain->severity[i] > 0);
    }
    return moves;
}

double data_shift_pixel_size(const data_shift *chain)
{
    data_shift_image nothing = {.depth = 1, .rows = 1, .cols = 1, .pixel_size = 1};
    fl_rng rng;
    fl_rng_init(&rng, 0, "shift", "", 0);
    apply_all(&nothing, chain, true, &rng);
    return nothing.pixel_size;
}

fl_status data_shift_masks(const data_shift *chain, uint8_t *const *masks, size_t n,
                           const nn_shape *shape, fl_rng *rng, fl_err *err)
{
    data_shift_image image;
    fl_status st = data_shift_check(chain, shape, err);
    if (st != FL_OK || n == 0 || !data_shift_moves(chain) ||
        (st = image_of(&image, shape, err)) != FL_OK) {
        return st;
    }
    image.channels = 0;  // an image without values: its masks are all that moves
    image.masks = masks;
    image.n_masks = n;
    apply_all(&image, chain, true, rng);
    free(image.scratch);
    return FL_OK;
}
