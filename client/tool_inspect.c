/*
 * tool_inspect.c - `client inspect`: what an image file holds
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "client/tools.h"
#include "data/formats.h"

static struct {
    bool json;
} options;

const fl_opt *client_inspect_options(void)
{
    static const fl_opt table[] = {
        {.name = "json", .kind = FL_OPT_FLAG, .help = "print JSON",
         .out = &options.json},
        {0},
    };
    return table;
}

typedef struct {
    double min, max, mean;  // of the finite ones
    size_t n_not_finite;
} value_range;

static value_range range_of(const data_image *image)
{
    size_t n = (size_t)image->frames * (size_t)image->rows *
               (size_t)image->cols * (size_t)image->channels;
    value_range r = {INFINITY, -INFINITY, 0, 0};
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(image->data[i])) {
            r.n_not_finite++;
            continue;
        }
        r.min = fmin(r.min, image->data[i]);
        r.max = fmax(r.max, image->data[i]);
        r.mean += image->data[i];
    }
    r.mean /= (double)(n - r.n_not_finite);
    return r;
}

/* [row, column] of an image, [depth, row, column] of a volume; null where the
 * file does not say. */
static json_t *spacing_json(const data_image *image)
{
    json_t *list = json_array();
    for (int i = image->frames > 1 ? 0 : 1; i < 3; i++) {
        double mm = image->spacing_mm[i];
        json_array_append_new(list, mm > 0 ? json_real(mm) : json_null());
    }
    return list;
}

/* "LAS" and the affine by rows; null where the file does not say. */
static void add_place(json_t *json, const data_image *image)
{
    bool known = image->orientation[0] != '\0';
    json_t *rows = known ? json_array() : json_null();
    for (size_t i = 0; known && i < 3; i++) {
        const double *a = image->affine + 4 * i;
        json_array_append_new(rows,
                              json_pack("[ffff]", a[0], a[1], a[2], a[3]));
    }
    json_object_set_new(json, "orientation",
                        known ? json_string(image->orientation)
                              : json_null());
    json_object_set_new(json, "affine", rows);
}

static json_t *image_json(const data_image *image)
{
    value_range r = range_of(image);
    char sha256[2 * sizeof image->sha256 + 1];
    fl_hex(sha256, image->sha256, sizeof image->sha256);
    const char *sample = image->is_float    ? "float"
                         : image->is_signed ? "signed"
                                            : "unsigned";
    json_t *json = json_object();
    json_object_set_new(json, "format", json_string(image->format));
    json_object_set_new(json, "rows", json_integer(image->rows));
    json_object_set_new(json, "cols", json_integer(image->cols));
    json_object_set_new(json, "frames", json_integer(image->frames));
    json_object_set_new(json, "channels", json_integer(image->channels));
    json_object_set_new(json, "bits", json_integer(image->bits));
    json_object_set_new(json, "type", json_string(sample));
    json_object_set_new(json, "photometric", json_string(image->photometric));
    json_object_set_new(json, "min_stored", fl_json_number(image->stored_min));
    json_object_set_new(json, "max_stored", fl_json_number(image->stored_max));
    json_object_set_new(json, "mean_stored",
                        fl_json_number(image->stored_mean));
    json_object_set_new(json, "min", fl_json_number(r.min));
    json_object_set_new(json, "max", fl_json_number(r.max));
    json_object_set_new(json, "mean", fl_json_number(r.mean));
    json_object_set_new(json, "n_not_finite",
                        json_integer((json_int_t)r.n_not_finite));
    json_object_set_new(json, "spacing_mm", spacing_json(image));
    add_place(json, image);
    json_object_set_new(json, "slice_thickness_mm",
                        image->thickness_mm > 0
                            ? json_real(image->thickness_mm)
                            : json_null());
    json_object_set_new(json, "window",
                        image->window_width > 0
                            ? json_pack("{sf sf}", "centre",
                                        image->window_centre, "width",
                                        image->window_width)
                            : json_null());
    json_object_set_new(json, "sha256", json_string(sha256));
    return json;
}

static void print_image(const data_image *image, const json_t *json)
{
    printf("%s, %lld x %lld pixels", image->format, (long long)image->cols,
           (long long)image->rows);
    if (image->frames > 1) {
        printf(", %lld frames", (long long)image->frames);
    }
    printf(", %lld channel%s (%s), %d bits %s\n", (long long)image->channels,
           image->channels == 1 ? "" : "s", image->photometric, image->bits,
           fl_json_get_string(json, "type", ""));
    long long n_odd = fl_json_get_int(json, "n_not_finite", 0);
    if (n_odd > 0) {
        printf("%lld values are not finite numbers; they are left out below\n",
               n_odd);
    }
    printf("stored  %g to %g, mean %.10g\n", image->stored_min,
           image->stored_max, image->stored_mean);
    printf("values  %g to %g, mean %.10g\n", fl_json_get_number(json, "min"),
           fl_json_get_number(json, "max"), fl_json_get_number(json, "mean"));
    if (image->spacing_mm[1] > 0) {
        printf("spacing %g x %g mm", image->spacing_mm[1],
               image->spacing_mm[2]);
        if (image->spacing_mm[0] > 0) {
            printf(", slices %g mm apart", image->spacing_mm[0]);
        }
        printf("\n");
    }
    if (image->thickness_mm > 0) {
        printf("slices  %g mm thick\n", image->thickness_mm);
    }
    if (image->window_width > 0) {
        printf("window  centre %g, width %g (the file's own advice)\n",
               image->window_centre, image->window_width);
    }
    if (image->orientation[0] != '\0') {
        printf("axes    %s: columns, rows, slices point to the patient's "
               "Right/Left, Anterior/Posterior, Superior/Inferior\n",
               image->orientation);
    }
    printf("sha256  %s  (of the samples)\n",
           fl_json_get_string(json, "sha256", ""));
}

fl_status client_inspect(int argc, char **argv, fl_err *err)
{
    fl_texts files;
    fl_status st = fl_cli_parse(argc, argv, client_inspect_options(), 1, 1,
                                &files, err);
    if (st != FL_OK) {
        return st;
    }
    data_image image = {0};
    st = data_image_read(&image, files.items[0], err);
    if (st == FL_OK) {
        json_t *json = image_json(&image);
        if (options.json) {
            tool_print_json(json);
        } else {
            print_image(&image, json);
            json_decref(json);
        }
    }
    data_image_clear(&image);
    free(files.items);
    return st;
}
