/*
 * annotate.c - see annotate.h
 */
#include "sim/annotate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/phantom_draw.h"

// ------------------------------------------------------------------- labels

/* Does the reader of this case see the finding? */
static bool is_seen(const annotate_rules *r, double conspicuity, double reader, fl_rng *rng)
{
    bool missed = fl_rng_uniform(rng) < r->missed * (1 - conspicuity);
    return !missed && (r->threshold <= 0 || conspicuity >= r->threshold + 0.15 * reader);
}

/* A reader's own strictness. */
static double strictness_of(const annotate_site *site, uint64_t who)
{
    fl_rng own;
    fl_rng_init(&own, site->seed, "reader", site->site, who);
    return fl_rng_normal(&own);
}

/* The readers share the cases evenly at random. */
static double draw_reader(const annotate_site *site, fl_rng *rng)
{
    return strictness_of(site, fl_rng_below(rng, (uint64_t)site->rules->annotators));
}

static bool is_labelled(const annotate_site *site, size_t index)
{
    fl_rng rng;
    fl_rng_init(&rng, site->seed, "labelled", site->site, index);
    return site->rules->labelled >= 1 || fl_rng_uniform(&rng) < site->rules->labelled;
}

/* Another class, as often as labels are wrong. */
static int mistaken(const annotate_site *site, int code, uint64_t n_classes, size_t index)
{
    fl_rng rng;
    fl_rng_init(&rng, site->seed, "label noise", site->site, index);
    if (site->rules->noise > 0 && fl_rng_uniform(&rng) < site->rules->noise) {
        return (int)(((uint64_t)code + 1 + fl_rng_below(&rng, n_classes - 1)) % n_classes);
    }
    return code;
}

int annotate_label(const annotate_site *site, const phantom_ops *phantom,
                   const phantom_patient *patient, size_t index)
{
    const annotate_rules *r = site->rules;
    int code = patient->code;
    fl_rng rng;
    if (!is_labelled(site, index)) {
        return -1;
    }
    fl_rng_init(&rng, site->seed, "report", site->site, index);
    double reader = draw_reader(site, &rng);
    if (code > 0 && !is_seen(r, patient->conspicuity[0], reader, &rng)) {
        code = 0;
    }
    if (fl_rng_uniform(&rng) < r->confused && phantom->confused[code] >= 0) {
        code = phantom->confused[code];
    }
    return mistaken(site, code, phantom_n_classes(phantom), index);
}

int annotate_code(const annotate_site *site, int code, size_t n_classes, size_t index)
{
    if (code < 0 || !is_labelled(site, index)) {
        return -1;
    }
    return mistaken(site, code, n_classes, index);
}

void annotate_flags(float *out, const annotate_site *site, const float *flags, size_t n,
                    size_t index)
{
    bool labelled = is_labelled(site, index);
    fl_rng rng;
    fl_rng_init(&rng, site->seed, "label noise", site->site, index);
    for (size_t k = 0; k < n; k++) {
        bool wrong = fl_rng_uniform(&rng) < site->rules->noise;
        out[k] = !labelled ? NAN : wrong ? 1 - flags[k] : flags[k];  // unknown stays unknown
    }
}

bool annotate_is_drawn(const annotate_site *site, size_t index)
{
    return is_labelled(site, index);
}

bool annotate_sees(const annotate_site *site, const phantom_patient *patient, size_t index,
                   int64_t reader)
{
    fl_rng rng;
    fl_rng_init(&rng, site->seed, "overlooked", site->site,
                (uint64_t)index * ANNOTATE_MAX_READERS + (uint64_t)reader);
    return patient->code == 0 || is_seen(site->rules, patient->conspicuity[0],
                                         strictness_of(site, (uint64_t)reader), &rng);
}

bool annotate_findings(unsigned *out, const annotate_site *site, const phantom_ops *phantom,
                       const phantom_patient *patient, size_t index)
{
    const annotate_rules *r = site->rules;
    fl_rng rng;
    *out = 0;
    if (!is_labelled(site, index)) {
        return false;
    }
    fl_rng_init(&rng, site->seed, "report", site->site, index);
    double reader = draw_reader(site, &rng);
    for (size_t k = 0; phantom->classes[k] != NULL; k++) {
        bool seen = is_seen(r, patient->conspicuity[k], reader, &rng);
        bool confused = fl_rng_uniform(&rng) < r->confused && phantom->confused[k] >= 0;
        if ((patient->findings >> k & 1) != 0 && seen) {
            *out |= 1u << (confused ? (size_t)phantom->confused[k] : k);
        }
    }
    fl_rng_init(&rng, site->seed, "label noise", site->site, index);
    for (size_t k = 0; phantom->classes[k] != NULL; k++) {
        *out ^= (unsigned)(fl_rng_uniform(&rng) < r->noise) << k;
    }
    return true;
}

// ----------------------------------------------------------------- outlines

#define FAR 1e12  // squared pixels; further than any picture is wide

/*
 * Squared distance to the nearest of the points with cost f, along one line: the
 * lower envelope of parabolas (Felzenszwalb & Huttenlocher 2012, algorithm 1).
 * at: n places, border: n + 1.
 */
static void distance_line(double *out, const double *f, int64_t n, int64_t *at, double *border)
{
    int64_t k = 0;
    at[0] = 0;
    border[0] = -INFINITY;
    border[1] = INFINITY;
    for (int64_t q = 1; q < n; q++) {
        double s;
        for (;;) {
            int64_t v = at[k];
            s = ((f[q] + (double)(q * q)) - (f[v] + (double)(v * v))) / (double)(2 * q - 2 * v);
            if (s > border[k]) {
                break;
            }
            k--;
        }
        at[++k] = q;
        border[k] = s;
        border[k + 1] = INFINITY;
    }
    k = 0;
    for (int64_t q = 0; q < n; q++) {
        while (border[k + 1] < (double)q) {
            k++;
        }
        out[q] = (double)((q - at[k]) * (q - at[k])) + f[at[k]];
    }
}

/* Distance in pixels of every pixel to the nearest one that is `value`. */
static void distance_to(double *out, const float *mask, float value, int64_t rows, int64_t cols)
{
    size_t side = (size_t)(rows > cols ? rows : cols);
    double *f = fl_xcalloc(side, sizeof *f), *d = fl_xcalloc(side, sizeof *d);
    double *border = fl_xcalloc(side + 1, sizeof *border);
    int64_t *at = fl_xcalloc(side, sizeof *at);
    for (int64_t c = 0; c < cols; c++) {
        for (int64_t r = 0; r < rows; r++) {
            f[r] = mask[r * cols + c] == value ? 0 : FAR;
        }
        distance_line(d, f, rows, at, border);
        for (int64_t r = 0; r < rows; r++) {
            out[r * cols + c] = d[r];
        }
    }
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            f[c] = out[r * cols + c];
        }
        distance_line(d, f, cols, at, border);
        for (int64_t c = 0; c < cols; c++) {
            out[r * cols + c] = sqrt(d[c]);
        }
    }
    free(f);
    free(d);
    free(border);
    free(at);
}

static bool is_empty(const float *slice, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (slice[i] > 0) {
            return false;
        }
    }
    return true;
}

/* How a person draws, in parts of the side. */
typedef struct {
    double grow, right, down, rough;
} habit;

static habit draw_habit(const annotate_site *site, int64_t reader)
{
    double v = site->rules->variation;
    fl_rng rng;
    fl_rng_init(&rng, site->seed, "outliner", site->site, (uint64_t)reader);
    habit h = {.grow = v * fl_rng_normal(&rng),
               .right = 0.6 * v * fl_rng_normal(&rng),
               .down = 0.6 * v * fl_rng_normal(&rng)};
    h.rough = v * fl_rng_range(&rng, 0.8, 2.0);
    return h;
}

/* Distances of a slice's pixels to its outside and to its inside. */
typedef struct {
    double *inside, *outside;
    int64_t rows, cols;
} border_map;

/* Positive inside, in pixels from the border between two pixels. */
static double signed_at(const border_map *m, double r, double c)
{
    int64_t i = (int64_t)floor(r + 0.5), j = (int64_t)floor(c + 0.5);
    i = i < 0 ? 0 : i >= m->rows ? m->rows - 1 : i;
    j = j < 0 ? 0 : j >= m->cols ? m->cols - 1 : j;
    double in = m->inside[i * m->cols + j], out = m->outside[i * m->cols + j];
    return in > 0 ? in - 0.5 : 0.5 - out;
}

static void draw_slice(float *to, const float *from, border_map *m, const habit *h,
                       const draw_noise *wobble)
{
    double side = (double)(m->rows < m->cols ? m->rows : m->cols);
    distance_to(m->inside, from, 0, m->rows, m->cols);
    distance_to(m->outside, from, 1, m->rows, m->cols);
    for (int64_t i = 0; i < m->rows * m->cols; i++) {
        int64_t r = i / m->cols, c = i % m->cols;
        double at = signed_at(m, (double)r - h->down * side, (double)c - h->right * side);
        double moved = h->grow + h->rough * draw_fractal_at(wobble, draw_centre(c, m->cols),
                                                            draw_centre(r, m->rows), 3, 2);
        to[i] = at + moved * side > 0 ? 1.0f : 0.0f;
    }
}

void annotate_mask(float *out, const annotate_site *site, const float *truth, int64_t depth,
                   int64_t rows, int64_t cols, size_t index, int64_t reader)
{
    int64_t plane = rows * cols;
    habit h = draw_habit(site, reader);
    border_map m = {.inside = fl_xcalloc((size_t)plane, sizeof *m.inside),
                    .outside = fl_xcalloc((size_t)plane, sizeof *m.outside),
                    .rows = rows,
                    .cols = cols};
    draw_noise wobble;
    fl_rng rng;
    fl_rng_init(&rng, site->seed, "outline", site->site,
                (uint64_t)index * ANNOTATE_MAX_READERS + (uint64_t)reader);
    for (int64_t d = 0; d < depth; d++) {
        const float *from = truth + d * plane;
        float *to = out + d * plane;
        draw_noise_init(&wobble, &rng);
        if (is_empty(from, plane)) {
            memset(to, 0, (size_t)plane * sizeof *to);
        } else {
            draw_slice(to, from, &m, &h, &wobble);
        }
    }
    free(m.inside);
    free(m.outside);
}
