/*
 * maps.c - see maps.h
 */
#include "client/maps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/formats.h"

/* --- from the file's grid to the input's --- */

/* The inverse of view: the file's (frame, row, col, 1) to the input's.  false
 * when the input has no extent along an axis. */
static bool invert(double out[static 12], const double view[static 12])
{
    const double *m = view;
    double det = m[0] * (m[5] * m[10] - m[6] * m[9]) - m[1] * (m[4] * m[10] - m[6] * m[8]) +
                 m[2] * (m[4] * m[9] - m[5] * m[8]);
    if (det == 0 || !isfinite(det)) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            int a = (j + 1) % 3, b = (j + 2) % 3, c = (i + 1) % 3, d = (i + 2) % 3;
            out[4 * i + j] = (m[4 * a + c] * m[4 * b + d] - m[4 * a + d] * m[4 * b + c]) / det;
        }
    }
    for (int i = 0; i < 3; i++) {
        out[4 * i + 3] = -(out[4 * i] * m[3] + out[4 * i + 1] * m[7] + out[4 * i + 2] * m[11]);
    }
    return true;
}

/* A grid that covers the input, its own or a coarser one, and the classes on it. */
typedef struct {
    int64_t size[3];      // frames, rows, cols
    int64_t input[3];     // of the input
    const uint8_t *code;  // NULL: there are only maps
} predicted;

static double clamp(double v, int64_t n)
{
    return v < 0 ? 0 : v > (double)(n - 1) ? (double)(n - 1) : v;
}

static bool is_inside(const predicted *p, const double at[static 3])
{
    for (int i = 0; i < 3; i++) {
        if (at[i] < -0.5 - 1e-9 || at[i] > (double)p->input[i] - 0.5 + 1e-9) {
            return false;
        }
    }
    return true;
}

/* From the input's grid to that of what was predicted; both cover the same ground. */
static void to_grid(double at[static 3], const predicted *p)
{
    for (int i = 0; i < 3; i++) {
        double scale = (double)p->size[i] / (double)p->input[i];
        at[i] = (at[i] + 0.5) * scale - 0.5;
    }
}

static uint8_t nearest(const predicted *p, const double at[static 3])
{
    int64_t k[3];
    for (int i = 0; i < 3; i++) {
        k[i] = (int64_t)floor(clamp(at[i], p->size[i]) + 0.5);
    }
    return p->code[(k[0] * p->size[1] + k[1]) * p->size[2] + k[2]];
}

static double between(const predicted *p, const float *map, const double at[static 3])
{
    int64_t low[3];
    double part[3], sum = 0;
    for (int i = 0; i < 3; i++) {
        double v = clamp(at[i], p->size[i]);
        low[i] = (int64_t)v;
        part[i] = v - (double)low[i];
    }
    for (int corner = 0; corner < 8; corner++) {
        int64_t k[3];
        double weight = 1;
        for (int i = 0; i < 3; i++) {
            int up = corner >> i & 1;
            weight *= up ? part[i] : 1 - part[i];
            k[i] = low[i] + (up && low[i] + 1 < p->size[i]);
        }
        sum += weight * (double)map[(k[0] * p->size[1] + k[1]) * p->size[2] + k[2]];
    }
    return sum;
}

/* Fills out, on the file's grid: of a map of the grid, or, where that is NULL, the nearest
 * class.  What the input does not show is 0. */
static fl_status to_file(float *out, const predicted *p, const float *map, const data_place *place,
                         fl_err *err)
{
    double back[12];
    if (!invert(back, place->view)) {
        return fl_fail(err, FL_EUNSUPPORTED, "maps: the preprocessing cannot be undone");
    }
    size_t n = 0;
    for (int64_t d = 0; d < place->frames; d++) {
        for (int64_t r = 0; r < place->rows; r++) {
            for (int64_t c = 0; c < place->cols; c++, n++) {
                double at[3];
                for (int i = 0; i < 3; i++) {
                    const double *m = back + 4 * i;
                    at[i] = m[0] * (double)d + m[1] * (double)r + m[2] * (double)c + m[3];
                }
                bool inside = is_inside(p, at);
                to_grid(at, p);
                out[n] = !inside       ? 0
                         : map != NULL ? (float)between(p, map, at)
                                       : (float)nearest(p, at);
            }
        }
    }
    return FL_OK;
}

/* --- files --- */

/* "CASE", or "CASE-17" where a character had to be replaced. */
static char *name_of(const char *case_id, size_t i)
{
    char *name = fl_xstrdup(case_id);
    bool changed = false;
    for (char *c = name; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '_' || *c == '-' || (*c == '.' && c != name);
        changed = changed || !plain;
        *c = plain ? *c : '_';
    }
    if (changed || *name == '\0' || strlen(name) > 200) {
        char *numbered = fl_xasprintf("%.180s-%zu", name, i);
        free(name);
        name = numbered;
    }
    return name;
}

static fl_status write_one(const maps *m, const char *name, const char *what, float *values,
                           double png_factor, double nifti_factor, const data_place *place,
                           fl_err *err)
{
    bool as_nifti = place->has_affine || place->frames > 1;
    size_t n = (size_t)(place->frames * place->rows * place->cols);
    char *file = fl_xasprintf("%s.%s.%s", name, what, as_nifti ? "nii" : "png");
    char *path = fl_path_join(m->dir, file);
    for (size_t i = 0; i < n; i++) {
        values[i] *= (float)(as_nifti ? nifti_factor : png_factor);
    }
    fl_status st;
    if (!as_nifti) {
        st = data_png_write(path, values, place->rows, place->cols, 1, 8, err);
    } else if (place->has_affine) {
        st = data_nifti_write_at(path, values, place->frames, place->rows, place->cols,
                                 place->affine, err);
    } else {
        static const double unknown[3] = {1, 1, 1};
        st = data_nifti_write(path, values, place->frames, place->rows, place->cols, unknown, err);
    }
    free(path);
    free(file);
    return st;
}

/* One file of a case: how its numbers are written. */
typedef struct {
    const char *name;
    const float *map;  // NULL: the classes
    double png, nifti;
    bool halved;  // 1 from 0.5 on, 0 below
} layer;

static fl_status write_layer(const maps *m, const char *name, const predicted *p, const layer *l,
                             const data_place *place, fl_err *err)
{
    size_t n = (size_t)(place->frames * place->rows * place->cols);
    float *values = fl_calloc(n, sizeof *values, "a map", err);
    fl_status st = values == NULL ? FL_ELIMIT : to_file(values, p, l->map, place, err);
    for (size_t i = 0; st == FL_OK && l->halved && i < n; i++) {
        values[i] = values[i] >= 0.5f;
    }
    if (st == FL_OK) {
        st = write_one(m, name, l->name, values, l->png, l->nifti, place, err);
    }
    free(values);
    return st;
}

/* frames, rows, cols */
static void input_size(int64_t out[static 3], const data_spec *spec)
{
    const nn_shape *input = &spec->input;
    out[0] = input->rank == 4 ? input->dim[1] : 1;
    out[1] = input->dim[input->rank - 2];
    out[2] = input->dim[input->rank - 1];
}

static fl_status find_place(const data_place **out, const data_set *set, size_t i, fl_err *err)
{
    *out = data_set_place(set, i);
    return *out != NULL ? FL_OK
                        : fl_fail(err, FL_EUNSUPPORTED,
                                  "--maps: this data set names no image files");
}

fl_status maps_take_own(void *ctx, const data_set *set, size_t i, const char *what,
                        const float *map, const int64_t size[static 3], fl_err *err)
{
    const data_place *place;
    fl_status st = find_place(&place, set, i, err);
    if (st != FL_OK) {
        return st;
    }
    predicted p = {.size = {size[0], size[1], size[2]}};
    input_size(p.input, data_set_spec(set));
    char *name = name_of(data_set_case(set, i).case_id, i), *part = name_of(what, 0);
    st = write_layer(ctx, name, &p, &(layer){part, map, 1, 1000, false}, place, err);
    free(part);
    free(name);
    return st;
}

fl_status maps_take(void *ctx, const data_set *set, size_t i, const task_map *map, fl_err *err)
{
    maps *m = ctx;
    const data_spec *spec = data_set_spec(set);
    const data_place *place;
    bool two = spec->n_classes == 2;
    fl_status st = find_place(&place, set, i, err);
    if (st != FL_OK) {
        return st;
    }
    predicted p = {.code = map->code};
    input_size(p.size, spec);
    input_size(p.input, spec);
    const layer layers[] = {
        {"mask", two ? map->prob : NULL, two ? 1 : 1.0 / 255, 1, two},
        {"prob", map->prob, 1, 1000, false},
        {"entropy", map->entropy, 1 / log((double)spec->n_classes), 1000, false},
        {"variance", map->variance, 4, 100000, false},
    };
    char *name = name_of(data_set_case(set, i).case_id, i);
    for (size_t k = 0; k < sizeof layers / sizeof *layers && st == FL_OK; k++) {
        bool is_there = k < 2 || layers[k].map != NULL;
        st = is_there ? write_layer(m, name, &p, &layers[k], place, err) : FL_OK;
    }
    m->n += st == FL_OK;
    free(name);
    return st;
}
