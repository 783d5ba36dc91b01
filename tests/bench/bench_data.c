/*
 * bench_data.c - how fast files become batches, and what a cache costs an epoch
 *
 * Decoding: a file of each format from memory, read again and again, in million
 * pixels a second of one thread.  The files are made here, of a smooth image with
 * noise; packed DICOM comes from $CONSILIUM_DATA, and without it those rows are
 * left out.  Epochs: the same images trained from memory and from a cache that the system
 * has just read, in turn, and the same batches only copied; `peer` is memory, so
 * the ratio is what is left with a cache, of which 0.95 is the least we want.
 *
 * Environment: BENCH_ROUNDS (5), BENCH_SECONDS (0.4) of each round, BENCH_CLOCK=cpu
 * counts CPU time of all threads instead of time, on a machine that others use.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// jpeglib.h needs stdio.h before it
#include <jpeglib.h>
#include <zip.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"
#include "bench/machine.h"
#include "data/ahead.h"
#include "data/formats.h"
#include "task/task.h"

enum { SIDE = 512, N_IMAGES = 4096, IMAGE_SIDE = 64, MAX_TIMES = 64 };

typedef struct {
    FILE *out;
    int rounds;
    double seconds;
    char *dir;  // of the files made here
} bench;

static void must(fl_status st, const fl_err *err)
{
    if (st != FL_OK) {
        fprintf(stderr, "bench_data: %s\n", err->text);
        exit(1);
    }
}

/* Seconds, as BENCH_CLOCK counts them. */
static double seconds_now(void)
{
    struct timespec t;
    const char *clock = getenv("BENCH_CLOCK");
    bool cpu = clock != NULL && strcmp(clock, "cpu") == 0;
    FL_REQUIRE(clock_gettime(cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_size);
    return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void print_row(const bench *b, const char *name, double ours, const char *unit, double peer,
                      const char *peer_name)
{
    printf("%-44s %10.1f %-9s", name, ours, unit);
    fprintf(b->out,
            "{\"name\": \"%s\", \"threads\": 1, \"precision\": null, \"ours\": %.2f, "
            "\"unit\": \"%s\", ",
            name, ours, unit);
    if (peer_name != NULL) {
        printf(" %10.1f %s, %.3f of it", peer, peer_name, ours / peer);
        fprintf(b->out, "\"peer\": %.2f, \"peer_name\": \"%s\", \"ratio\": %.4f, ", peer, peer_name,
                ours / peer);
    } else {
        fprintf(b->out, "\"peer\": null, \"peer_name\": null, \"ratio\": null, ");
    }
    printf("\n");
    fprintf(b->out, "\"ours_mb\": %.1f, \"peer_mb\": null, \"share_of_peak\": null}\n",
            (double)fl_peak_rss_bytes() / 1e6);
    fflush(b->out);
}

/* --- decoding --- */

/* Reads what context says once; returns how much that was, in the row's unit. */
typedef double reader(const void *context);

static void rate(const bench *b, const char *name, const char *unit, reader *read,
                 const void *context)
{
    double rates[MAX_TIMES];
    for (int r = 0; r < b->rounds; r++) {
        double amount = 0;
        double start = seconds_now();
        double now = start;
        while (now - start < b->seconds) {
            amount += read(context);
            now = seconds_now();
        }
        rates[r] = amount / (now - start);
    }
    print_row(b, name, median(rates, b->rounds), unit, 0, NULL);
}

typedef struct {
    const char *path;
    char *bytes;
    size_t n;
} file_bytes;

static double read_image(const void *context)
{
    fl_err err = FL_ERR_INIT;
    const file_bytes *f = context;
    data_image image;
    must(data_image_parse(&image, (const uint8_t *)f->bytes, f->n, f->path, &err), &err);
    double pixels = (double)(image.frames * image.rows * image.cols);
    data_image_clear(&image);
    return pixels / 1e6;
}

static double read_archive(const void *context)
{
    fl_err err = FL_ERR_INIT;
    const file_bytes *f = context;
    data_npz archive;
    must(data_npz_parse(&archive, (const uint8_t *)f->bytes, f->n, f->path, &err), &err);
    double numbers = (double)data_array_count(&archive.items[0]);
    data_npz_clear(&archive);
    return numbers / 1e6;
}

static double read_table(const void *context)
{
    fl_err err = FL_ERR_INIT;
    data_set *set = NULL;
    must(data_set_open(&set, context, NULL, &err), &err);
    double rows = (double)data_set_n(set);
    data_set_destroy(&set);
    return rows / 1e3;
}

static void decode_file(const bench *b, const char *name, const char *path)
{
    fl_err err = FL_ERR_INIT;
    file_bytes f = {.path = path};
    bool is_archive = strstr(path, ".npz") != NULL;
    must(is_archive ? fl_file_read(&f.bytes, &f.n, path, DATA_MAX_FILE_BYTES, &err)
                    : data_image_bytes(&f.bytes, &f.n, path, &err),
         &err);
    rate(b, name, "Mpixel/s", is_archive ? read_archive : read_image, &f);
    free(f.bytes);
}

static void decode_made(const bench *b, const char *name, const char *file)
{
    char *path = fl_path_join(b->dir, file);
    decode_file(b, name, path);
    free(path);
}

/* A smooth image with noise, as X-rays are, in [0, 1]. */
static float *make_pixels(size_t n)
{
    fl_rng rng;
    float *x = fl_xcalloc(n, sizeof *x);
    fl_rng_init(&rng, 1, "bench", "", 0);
    for (size_t i = 0; i < n; i++) {
        double smooth = (double)(i % SIDE) / SIDE * (double)(i / SIDE % SIDE) / SIDE;
        x[i] = (float)(0.1 + 0.7 * smooth + 0.05 * fl_rng_uniform(&rng));
    }
    return x;
}

static void write_bytes(const bench *b, const char *name, const void *bytes, size_t n)
{
    fl_err err = FL_ERR_INIT;
    char *path = fl_path_join(b->dir, name);
    must(fl_file_write(path, bytes, n, 0644, &err), &err);
    free(path);
}

/* DICOM, explicit, 16 bits. */
static void write_dicom(const bench *b, const float *x)
{
    static const uint8_t meta[] = {
        2,    0,   16,  0,    'U', 'I', 20,  0,   '1',  '.', '2',  '.', '8', '4',  '0',
        '.',  '1', '0', '0',  '0', '8', '.', '1', '.',  '2', '.',  '1', 0,   0x28, 0,
        2,    0,   'U', 'S',  2,   0,   1,   0,   0x28, 0,   4,    0,   'C', 'S',  12,
        0,    'M', 'O', 'N',  'O', 'C', 'H', 'R', 'O',  'M', 'E',  '2', ' ', 0x28, 0,
        0x10, 0,   'U', 'S',  2,   0,   0,   2,   0x28, 0,   0x11, 0,   'U', 'S',  2,
        0,    0,   2,   0x28, 0,   0,   1,   'U', 'S',  2,   0,    16,  0,   0x28, 0,
        1,    1,   'U', 'S',  2,   0,   16,  0,   0x28, 0,   2,    1,   'U', 'S',  2,
        0,    15,  0,   0x28, 0,   3,   1,   'U', 'S',  2,   0,    0,   0,   0xe0, 0x7f,
        0x10, 0,   'O', 'W',  0,   0,   0,   0,   8,    0};
    size_t n = 132 + sizeof meta + (size_t)SIDE * SIDE * 2;
    uint8_t *bytes = fl_xcalloc(n, 1);
    memcpy(bytes + 128, "DICM", 4);
    memcpy(bytes + 132, meta, sizeof meta);
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++) {
        unsigned v = (unsigned)(x[i] * 4095);
        bytes[132 + sizeof meta + 2 * i] = (uint8_t)v;
        bytes[132 + sizeof meta + 2 * i + 1] = (uint8_t)(v >> 8);
    }
    write_bytes(b, "native.dcm", bytes, n);
    free(bytes);
}

static void write_gzip(const bench *b)
{
    fl_err err = FL_ERR_INIT;
    char *from = fl_path_join(b->dir, "volume.nii");
    char *to = fl_path_join(b->dir, "volume.nii.gz");
    char *bytes = NULL;
    size_t n = 0;
    must(fl_file_read(&bytes, &n, from, DATA_MAX_FILE_BYTES, &err), &err);
    gzFile file = gzopen(to, "wb6");
    FL_REQUIRE(file != NULL && gzwrite(file, bytes, (unsigned)n) == (int)n);
    FL_REQUIRE(gzclose(file) == Z_OK);
    free(bytes);
    free(to);
    free(from);
}

static void write_npy(const bench *b, const char *name, int side, const float *x)
{
    size_t n = (size_t)side * (size_t)side;
    uint8_t *bytes = fl_xcalloc(128 + n, 1);
    char dict[118];
    int length = snprintf(dict, sizeof dict,
                          "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d), }", side,
                          side);
    memset(bytes, ' ', 128);
    memcpy(bytes, "\x93NUMPY\1\0\x76\0", 10);
    memcpy(bytes + 10, dict, (size_t)length);
    bytes[127] = '\n';
    for (size_t i = 0; i < n; i++) {
        bytes[128 + i] = (uint8_t)(x[i] * 255);
    }
    write_bytes(b, name, bytes, 128 + n);
    free(bytes);
}

/* libjpeg at quality 90. */
static void write_jpeg(const bench *b, const float *x)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr error;
    unsigned char *bytes = NULL;
    unsigned long n = 0;
    JSAMPLE line[SIDE];
    JSAMPROW row = line;

    c.err = jpeg_std_error(&error);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &bytes, &n);
    c.image_width = c.image_height = SIDE;
    c.input_components = 1;
    c.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 90, TRUE);
    jpeg_start_compress(&c, TRUE);
    for (size_t i = 0; i < SIDE; i++) {
        for (size_t k = 0; k < SIDE; k++) {
            line[k] = (JSAMPLE)(x[i * SIDE + k] * 255);
        }
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    write_bytes(b, "gray.jpg", bytes, n);
    jpeg_destroy_compress(&c);
    free(bytes);
}

/* The array image.npy, deflated. */
static void write_npz(const bench *b)
{
    char *to = fl_path_join(b->dir, "image.npz");
    char *from = fl_path_join(b->dir, "image.npy");
    zip_t *zip = zip_open(to, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    zip_source_t *source = zip_source_file(zip, from, 0, 0);
    zip_int64_t at = zip_file_add(zip, "image.npy", source, 0);
    FL_REQUIRE(at >= 0 && zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_DEFLATE, 6) == 0);
    FL_REQUIRE(zip_close(zip) == 0);
    free(from);
    free(to);
}

/* A table of 13 numbers a patient, as heart-disease registers are.  Its path. */
static char *write_table(const bench *b)
{
    enum { ROWS = 20000, COLUMNS = 13 };
    static const char *const splits[] = {"train", "train", "train", "val", "test"};
    fl_rng rng;
    fl_buf csv = FL_BUF_INIT;

    fl_rng_init(&rng, 1, "bench", "table", 0);
    fl_buf_puts(&csv, "patient");
    for (int k = 0; k < COLUMNS; k++) {
        fl_buf_printf(&csv, ",x%d", k);
    }
    fl_buf_puts(&csv, ",label,split\n");
    for (int i = 0; i < ROWS; i++) {
        fl_buf_printf(&csv, "p%d", i);
        for (int k = 0; k < COLUMNS; k++) {
            fl_buf_printf(&csv, ",%.2f", 100 * fl_rng_uniform(&rng));
        }
        fl_buf_printf(&csv, ",%d,%s\n", i % 2, splits[i % 5]);
    }
    write_bytes(b, "rows.csv", csv.data, csv.n);
    fl_buf_clear(&csv);
    return fl_path_join(b->dir, "rows.csv");
}

static void bench_decoding(const bench *b)
{
    static const struct {
        const char *name, *file;
    } packed[] = {{"DICOM, RLE, 16 bits", "MR_small_RLE.dcm"},
                  {"DICOM, JPEG, 8 bits, YBR 4:2:2", "examples_ybr_color.dcm"},
                  {"DICOM, JPEG, 12 bits", "JPEG-lossy.dcm"},
                  {"DICOM, JPEG lossless, RGB", "SC_rgb_jpeg_gdcm.dcm"},
                  {"DICOM, JPEG-LS, 16 bits", "MR_small_jpeg_ls_lossless.dcm"},
                  {"DICOM, JPEG 2000, RGB", "examples_jpeg2k.dcm"}};
    fl_err err = FL_ERR_INIT;
    float *x = make_pixels((size_t)SIDE * SIDE * 16);
    float *rgb = make_pixels((size_t)SIDE * SIDE * 3);
    char *png = fl_path_join(b->dir, "gray.png");
    char *deep = fl_path_join(b->dir, "deep.png");
    char *colour = fl_path_join(b->dir, "colour.png");
    char *volume = fl_path_join(b->dir, "volume.nii");

    must(data_png_write(png, x, SIDE, SIDE, 1, 8, &err), &err);
    must(data_png_write(deep, x, SIDE, SIDE, 1, 16, &err), &err);
    must(data_png_write(colour, rgb, SIDE, SIDE, 3, 8, &err), &err);
    write_dicom(b, x);
    write_npy(b, "image.npy", SIDE, x);
    write_npz(b);
    write_jpeg(b, x);
    for (size_t i = 0; i < (size_t)SIDE * SIDE * 16; i++) {
        x[i] *= 4095;
    }
    must(data_nifti_write(volume, x, 16, SIDE, SIDE, (const double[]){1, 1, 1}, &err), &err);
    write_gzip(b);

    decode_made(b, "PNG, 512 px, gray, 8 bits", "gray.png");
    decode_made(b, "PNG, 512 px, gray, 16 bits", "deep.png");
    decode_made(b, "PNG, 512 px, RGB", "colour.png");
    decode_made(b, "JPEG, 512 px, gray", "gray.jpg");
    decode_made(b, "npy, 512 px, uint8", "image.npy");
    decode_made(b, "npz, 512 px, uint8, deflated", "image.npz");
    decode_made(b, "DICOM, 512 px, native, 16 bits", "native.dcm");
    decode_made(b, "NIfTI, 16 x 512 px, int16", "volume.nii");
    decode_made(b, "NIfTI, 16 x 512 px, int16, gzip", "volume.nii.gz");
    char *table = write_table(b);
    rate(b, "CSV table, 13 numbers a row, opened whole", "krow/s", read_table, table);
    free(table);
    const char *data = getenv("CONSILIUM_DATA");
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++) {
        char *path = fl_xasprintf("%s/dicom-pydicom/src/pydicom/data/test_files/%s",
                                  data != NULL ? data : ".", packed[i].file);
        if (fl_file_exists(path)) {
            decode_file(b, packed[i].name, path);
        } else {
            printf("%-44s left out: CONSILIUM_DATA has no %s\n", packed[i].name, packed[i].file);
        }
        free(path);
    }
    free(volume);
    free(colour);
    free(deep);
    free(png);
    free(rgb);
    free(x);
}

/* --- epochs --- */

static data_set *open_images(const bench *b, const char *cache)
{
    fl_err err = FL_ERR_INIT;
    data_set *s = NULL;
    char *yaml = fl_xasprintf("task: classify\nclasses: {no: 0, yes: 1}\npositive: yes\n"
                              "split: {val: 0.1, test: 0.1}\ncache: %s\n",
                              cache);
    write_bytes(b, "dataset.yaml", yaml, strlen(yaml));
    must(data_set_open(&s, b->dir, NULL, &err), &err);
    free(yaml);
    return s;
}

static void make_images(const bench *b)
{
    enum { N_FILES = 64 };
    fl_buf csv = FL_BUF_INIT;
    float *x = make_pixels((size_t)SIDE * SIDE);
    fl_buf_puts(&csv, "case,patient,file,label\n");
    for (int i = 0; i < N_FILES; i++) {
        char *name = fl_xasprintf("i%d.npy", i);
        write_npy(b, name, IMAGE_SIDE, x + 1000 * i);
        free(name);
    }
    for (int i = 0; i < N_IMAGES; i++) {
        fl_buf_printf(&csv, "c%d,p%d,i%d.npy,%d\n", i, i, i % N_FILES, i % 2);
    }
    write_bytes(b, "manifest.csv", csv.data, csv.n);
    fl_buf_clear(&csv);
    free(x);
}

typedef struct {
    const data_set *set;
    task_model *model;
    task_trainer *trainer;
    float *params;
    size_t *order;
    float *x;
    data_ahead *ahead;
} runner;

static runner make_runner(const data_set *s)
{
    enum { BATCH = 32 };
    fl_err err = FL_ERR_INIT;
    model_config model;
    task_train_config cfg;
    runner r = {.set = s};

    task_train_defaults(&cfg);
    must(model_config_parse(&model, "cnn", &err), &err);
    must(task_model_new(&r.model, data_set_spec(s), &model, &err), &err);
    r.params = fl_xcalloc((size_t)nn_table_count(task_model_table(r.model)), sizeof *r.params);
    nn_graph_init(task_model_graph(r.model), r.params, 1);
    must(task_trainer_new(&r.trainer, r.model, s, &cfg, &err), &err);
    r.order = fl_xcalloc(data_set_n_split(s, DATA_TRAIN), sizeof *r.order);
    r.x = fl_xcalloc(BATCH * data_set_n_features(s), sizeof *r.x);
    r.ahead = data_ahead_new(s);
    return r;
}

static void clear_runner(runner *r)
{
    data_ahead_destroy(&r->ahead);
    task_trainer_destroy(&r->trainer);
    task_model_destroy(&r->model);
    free(r->params);
    free(r->order);
    free(r->x);
}

/* Images a second of one epoch of training. */
static double train_epoch(runner *r, uint64_t epoch)
{
    fl_err err = FL_ERR_INIT;
    task_train_result result;
    double start = seconds_now();
    must(task_trainer_run(r->trainer, r->params, 1, "bench", epoch + 1, false, NULL, &result, &err),
         &err);
    return (double)result.samples / (seconds_now() - start);
}

/* Images a second of an epoch whose batches are only copied. */
static double copy_epoch(runner *r, uint64_t epoch)
{
    enum { BATCH = 32 };
    size_t n = data_set_n_split(r->set, DATA_TRAIN);
    double start = seconds_now();
    data_set_shuffle(r->set, DATA_TRAIN, 1, "bench", epoch, r->order);
    data_ahead_start(r->ahead, r->order, n);
    for (size_t at = 0; at + BATCH <= n; at += BATCH) {
        data_ahead_at(r->ahead, at);
        data_set_batch(r->set, r->order + at, BATCH, r->x);
    }
    return (double)n / (seconds_now() - start);
}

/* In turn, so that what else the machine does meets both. */
static void race(const bench *b, const char *name, runner *memory, runner *cache,
                 double (*epoch)(runner *r, uint64_t epoch))
{
    double of_memory[MAX_TIMES];
    double of_cache[MAX_TIMES];
    for (int r = -1; r < b->rounds; r++) {  // the first is not counted
        int at = r < 0 ? 0 : r;
        of_memory[at] = epoch(memory, (uint64_t)at);
        of_cache[at] = epoch(cache, (uint64_t)at);
    }
    double peer = median(of_memory, b->rounds);
    print_row(b, name, median(of_cache, b->rounds), "images/s", peer, "from memory");
}

static void bench_epochs(const bench *b)
{
    make_images(b);
    data_set *memory = open_images(b, "none");
    data_set *cache = open_images(b, "cache");
    runner from_memory = make_runner(memory);
    runner from_cache = make_runner(cache);
    race(b, "epoch from a cache, cnn, 64 px, batch 32", &from_memory, &from_cache, train_epoch);
    race(b, "batches from a cache, 64 px, batch 32", &from_memory, &from_cache, copy_epoch);
    clear_runner(&from_cache);
    clear_runner(&from_memory);
    data_set_destroy(&cache);
    data_set_destroy(&memory);
}

int main(int argc, char **argv)
{
    const char *rounds = getenv("BENCH_ROUNDS");
    const char *seconds = getenv("BENCH_SECONDS");
    char machine[256];
    bench b = {.rounds = rounds != NULL ? atoi(rounds) : 5,
               .seconds = seconds != NULL ? atof(seconds) : 0.4};
    char template[] = "/tmp/consilium-bench-XXXXXX";

    if (argc != 2 || b.rounds < 1 || b.rounds > MAX_TIMES) {
        fprintf(stderr, "usage: bench_data OUT.json\n");
        return 2;
    }
    b.dir = mkdtemp(template);
    b.out = fopen(argv[1], "w");
    if (b.dir == NULL || b.out == NULL) {
        perror("bench_data");
        return 1;
    }
    machine_text(machine, sizeof machine);
    printf("reading files: %s\n", machine);
    bench_decoding(&b);
    bench_epochs(&b);
    (void)fl_remove_tree(b.dir, NULL);
    return fclose(b.out) == 0 ? 0 : 1;
}
