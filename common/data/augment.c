/*
 * augment.c - see augment.h
 */
#include "data/augment.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

// -------------------------------------------------------------------- reading

static void read_flip(data_augment *out, fl_node map)
{
    fl_node node = fl_cfg_get(map, "flip",
                              "horizontal, vertical or a list of both; only where a mirrored "
                              "patient could be one");
    size_t n = fl_cfg_is_list(node) ? fl_cfg_count(node) : fl_cfg_present(node);
    for (size_t i = 0; i < n; i++) {
        fl_node item = fl_cfg_is_list(node) ? fl_cfg_item(node, i) : node;
        const char *word = fl_node_text(item, "flip");
        if (strcmp(word, "horizontal") == 0) {
            out->flip_horizontal = true;
        } else if (strcmp(word, "vertical") == 0) {
            out->flip_vertical = true;
        } else {
            fl_cfg_complain(item, "augment.flip: expected horizontal or vertical, found %.40s",
                            word);
        }
    }
}

void data_augment_read(data_augment *out, fl_node map)
{
    *out = (data_augment){.rotate = 0};
    read_flip(out, map);
    out->rotate = fl_cfg_num(map, "rotate", 0, 180, 0, "degrees to either side, at most");
    out->shift = fl_cfg_num(map, "shift", 0, 0.5, 0, "share of the side, at most");
    out->scale = fl_cfg_num(map, "scale", 0, 1, 0, "0.1: from 1/1.1 to 1.1 times as large");
    out->gamma = fl_cfg_num(map, "gamma", 0, 2, 0, "0.2: brightness to the power 1/1.2 to 1.2");
    out->noise = fl_cfg_num(map, "noise", 0, 0.5, 0,
                            "standard deviation at most, where 1 is white");
}

fl_status data_augment_parse(data_augment *out, const char *text, fl_err *err)
{
    fl_cfg *c = NULL;
    *out = (data_augment){.rotate = 0};
    fl_status st = fl_cfg_parse(&c, text, strlen(text), "augment", ".", err);
    if (st != FL_OK) {
        return st;
    }
    data_augment_read(out, fl_cfg_root(c));
    st = fl_cfg_finish(c, err);
    fl_cfg_destroy(&c);
    return st;
}

bool data_augment_does_something(const data_augment *a)
{
    return a->flip_horizontal || a->flip_vertical || a->rotate > 0 || a->shift > 0 ||
           a->scale > 0 || a->gamma > 0 || a->noise > 0;
}

// ------------------------------------------------------------------- geometry

/* Pixel (row, col) of the result lies at m (row, col, 1) of what was there. */
typedef struct {
    double m[2][3];
    bool is_identity;
} motion;

static double between(fl_rng *rng, double most)
{
    return fl_rng_range(rng, -most, most);
}

/* All is drawn, also what is 0, so that one setting does not move another's draws. */
static motion draw_motion(const data_augment *a, int64_t rows, int64_t cols, fl_rng *rng)
{
    double angle = between(rng, a->rotate) * 3.14159265358979323846 / 180;
    double size = exp(between(rng, log1p(a->scale)));
    double down = between(rng, a->shift) * (double)rows;
    double right = between(rng, a->shift) * (double)cols;
    double flip_rows = a->flip_vertical && fl_rng_uniform(rng) < 0.5 ? -1 : 1;
    double flip_cols = a->flip_horizontal && fl_rng_uniform(rng) < 0.5 ? -1 : 1;
    double centre_row = ((double)rows - 1) / 2, centre_col = ((double)cols - 1) / 2;
    double c = cos(angle) / size, s = sin(angle) / size;
    motion t = {.m = {{flip_rows * c, flip_rows * -s, 0}, {flip_cols * s, flip_cols * c, 0}}};
    for (int i = 0; i < 2; i++) {
        t.m[i][2] = (i == 0 ? centre_row : centre_col) - t.m[i][0] * (centre_row + down) -
                    t.m[i][1] * (centre_col + right);
    }
    t.is_identity = angle == 0 && size == 1 && down == 0 && right == 0 && flip_rows > 0 &&
                    flip_cols > 0;
    return t;
}

static double clamp(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

static float linear_at(const float *x, int64_t rows, int64_t cols, double row, double col)
{
    row = clamp(row, 0, (double)rows - 1);
    col = clamp(col, 0, (double)cols - 1);
    int64_t r = (int64_t)row, c = (int64_t)col;
    int64_t below = r + 1 < rows ? r + 1 : r, beside = c + 1 < cols ? c + 1 : c;
    double dr = row - (double)r, dc = col - (double)c;
    double top = (1 - dc) * (double)x[r * cols + c] + dc * (double)x[r * cols + beside];
    double bottom = (1 - dc) * (double)x[below * cols + c] + dc * (double)x[below * cols + beside];
    return (float)((1 - dr) * top + dr * bottom);
}

static void move_planes(float *x, int64_t planes, int64_t rows, int64_t cols, const motion *t,
                        float *scratch)
{
    memcpy(scratch, x, (size_t)(planes * rows * cols) * sizeof *x);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            double row = t->m[0][0] * (double)r + t->m[0][1] * (double)c + t->m[0][2];
            double col = t->m[1][0] * (double)r + t->m[1][1] * (double)c + t->m[1][2];
            for (int64_t p = 0; p < planes; p++) {
                x[(p * rows + r) * cols + c] = linear_at(scratch + p * rows * cols, rows, cols,
                                                         row, col);
            }
        }
    }
}

static void move_masks(uint8_t *mask, int64_t planes, int64_t rows, int64_t cols, const motion *t,
                       uint8_t *scratch)
{
    memcpy(scratch, mask, (size_t)(planes * rows * cols));
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            double row = t->m[0][0] * (double)r + t->m[0][1] * (double)c + t->m[0][2];
            double col = t->m[1][0] * (double)r + t->m[1][1] * (double)c + t->m[1][2];
            int64_t i = (int64_t)floor(row + 0.5), j = (int64_t)floor(col + 0.5);
            bool inside = i >= 0 && i < rows && j >= 0 && j < cols;
            for (int64_t p = 0; p < planes; p++) {
                mask[(p * rows + r) * cols + c] = inside ? scratch[(p * rows + i) * cols + j] : 0;
            }
        }
    }
}

// ----------------------------------------------------------------- brightness

static void change_values(const data_augment *a, float *x, size_t n, fl_rng *rng)
{
    double power = exp(between(rng, log1p(a->gamma)));
    double sd = fl_rng_range(rng, 0, a->noise);
    if (power != 1) {
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)pow(clamp(x[i], 0, 1), power);
        }
    }
    if (sd > 0) {
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)clamp(x[i] + sd * fl_rng_normal(rng), 0, 1);
        }
    }
}

void data_augment_apply(const data_augment *a, float *x, uint8_t *mask, const nn_shape *shape,
                        fl_rng *rng, float *scratch)
{
    FL_REQUIRE(shape->rank == 3 || shape->rank == 4);
    int64_t rows = shape->dim[shape->rank - 2], cols = shape->dim[shape->rank - 1];
    int64_t slices = shape->rank == 4 ? shape->dim[1] : 1;
    motion t = draw_motion(a, rows, cols, rng);
    if (!t.is_identity) {
        move_planes(x, shape->dim[0] * slices, rows, cols, &t, scratch);
        if (mask != NULL) {
            move_masks(mask, slices, rows, cols, &t, (uint8_t *)scratch);
        }
    }
    change_values(a, x, (size_t)nn_shape_count(shape, 1), rng);
}
