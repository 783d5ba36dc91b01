/*
 * nifti.c - NIfTI-1 and NIfTI-2 volumes: .nii, .nii.gz and .hdr + .img pairs
 *
 * The header is a fixed struct in either byte order, so it is read here, with
 * zlib below it: nifticlib prints to stderr, opens files by name only and
 * allocates what a header asks for before looking whether the bytes are there.
 *
 * Axis i of the file becomes columns, j rows, k frames; time and whatever comes
 * behind it becomes channels, which is the order of the file's bytes.  Nothing
 * is flipped: where the axes point is told by affine and orientation.
 * Real files hold NaN outside the brain; it is kept, and stored_* leave it out.
 * https://nifti.nimh.nih.gov, nifti1.h (2011) and nifti2.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/sys.h"
#include "data/image.h"

enum {
    HEADER_1 = 348,
    HEADER_2 = 540,
    HEADER_MAX = HEADER_2,
    EXTENSION_FLAG = 4,  // bytes behind either header, before pixels may begin
    MAX_DIM = 7,
    DEFLATE_MOST = 1032,  // bytes that one byte of deflate can become, at most
    UNIT_METRE = 1,
    UNIT_MICRON = 3
};

/* What is used of either header. */
typedef struct {
    const uint8_t *at;  // the header; borrowed
    bool swapped;       // big-endian
    int version;
    bool is_pair;  // pixels are in a file of their own
    int64_t dim[MAX_DIM + 1];
    int datatype, bitpix;
    double pixdim[MAX_DIM + 1];
    uint64_t offset;  // of the pixels
    double slope, inter;
    int qform_code, sform_code, units;
    double quatern[3], qoffset[3];
    double srow[12];
} nifti_header;

typedef struct {
    int code;
    char kind;  // 'u' 'i' 'f'
    int bytes;  // of a sample
    int samples;
} nifti_type;

static const nifti_type types[] = {
    {2, 'u', 1, 1},    {4, 'i', 2, 1},    {8, 'i', 4, 1},   {16, 'f', 4, 1},
    {64, 'f', 8, 1},   {256, 'i', 1, 1},  {512, 'u', 2, 1}, {768, 'u', 4, 1},
    {1024, 'i', 8, 1}, {1280, 'u', 8, 1}, {128, 'u', 1, 3}, {2304, 'u', 1, 4},
};

/* --- numbers in the file's byte order --- */

static uint64_t get_uint(const uint8_t *p, int bytes, bool swapped)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) {
        v = v << 8 | p[swapped ? i : bytes - 1 - i];
    }
    return v;
}

static int64_t get_int(const uint8_t *p, int bytes, bool swapped)
{
    uint64_t v = get_uint(p, bytes, swapped);
    uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    return (int64_t)((v ^ sign) - sign);
}

static double get_float(const uint8_t *p, int bytes, bool swapped)
{
    uint64_t bits = get_uint(p, bytes, swapped);
    if (bytes == 4) {
        uint32_t half = (uint32_t)bits;
        float f;
        memcpy(&f, &half, sizeof f);
        return (double)f;
    }
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static void get_floats(double *out, int n, const uint8_t *p, int bytes, bool swapped)
{
    for (int i = 0; i < n; i++) {
        out[i] = get_float(p + i * bytes, bytes, swapped);
    }
}

/* --- recognising --- */

/* 1 or 2, or 0 when the first bytes are no header's. */
static int version_of(const uint8_t *head, size_t n, bool *swapped)
{
    for (int s = 0; n >= 4 && s < 2; s++) {
        uint64_t size = get_uint(head, 4, s == 1);
        *swapped = s == 1;
        if (size == HEADER_1 || size == HEADER_2) {
            return size == HEADER_1 ? 1 : 2;
        }
    }
    return 0;
}

static bool is_gzip(const uint8_t *head, size_t n)
{
    return n >= 3 && head[0] == 0x1f && head[1] == 0x8b && head[2] == 8;
}

static bool is_nifti(const uint8_t *head, size_t n)
{
    bool swapped;
    return is_gzip(head, n) || version_of(head, n, &swapped) != 0;
}

static const char *magic_of(int version, bool pair)
{
    static const char *const magics[] = {"n+1", "ni1", "n+2", "ni2"};
    return magics[2 * (version - 1) + (pair ? 1 : 0)];
}

static bool has_magic(const uint8_t *at, int version, bool pair)
{
    return memcmp(at + (version == 1 ? 344 : 4), magic_of(version, pair), 4) == 0;
}

/* --- the header --- */

static void read_fields_1(nifti_header *h)
{
    const uint8_t *p = h->at;
    bool s = h->swapped;
    for (int i = 0; i <= MAX_DIM; i++) {
        h->dim[i] = get_int(p + 40 + 2 * i, 2, s);
    }
    h->datatype = (int)get_int(p + 70, 2, s);
    h->bitpix = (int)get_int(p + 72, 2, s);
    get_floats(h->pixdim, MAX_DIM + 1, p + 76, 4, s);
    double offset = get_float(p + 108, 4, s);
    h->offset = offset >= 0 && offset <= DATA_MAX_FILE_BYTES ? (uint64_t)offset : UINT64_MAX;
    h->slope = get_float(p + 112, 4, s);
    h->inter = get_float(p + 116, 4, s);
    h->units = p[123];
    h->qform_code = (int)get_int(p + 252, 2, s);
    h->sform_code = (int)get_int(p + 254, 2, s);
    get_floats(h->quatern, 3, p + 256, 4, s);
    get_floats(h->qoffset, 3, p + 268, 4, s);
    get_floats(h->srow, 12, p + 280, 4, s);
}

static void read_fields_2(nifti_header *h)
{
    const uint8_t *p = h->at;
    bool s = h->swapped;
    h->datatype = (int)get_int(p + 12, 2, s);
    h->bitpix = (int)get_int(p + 14, 2, s);
    for (int i = 0; i <= MAX_DIM; i++) {
        h->dim[i] = get_int(p + 16 + 8 * i, 8, s);
    }
    get_floats(h->pixdim, MAX_DIM + 1, p + 104, 8, s);
    h->offset = get_uint(p + 168, 8, s);
    h->slope = get_float(p + 176, 8, s);
    h->inter = get_float(p + 184, 8, s);
    h->qform_code = (int)get_int(p + 344, 4, s);
    h->sform_code = (int)get_int(p + 348, 4, s);
    get_floats(h->quatern, 3, p + 352, 8, s);
    get_floats(h->qoffset, 3, p + 376, 8, s);
    get_floats(h->srow, 12, p + 400, 8, s);
    h->units = (int)get_uint(p + 500, 4, s);
}

static fl_status read_header(nifti_header *h, const uint8_t *bytes, size_t n, const char *name,
                             fl_err *err)
{
    *h = (nifti_header){.at = bytes};
    h->version = version_of(bytes, n, &h->swapped);
    if (h->version == 0) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: expected a NIfTI volume in the gzip file, found another kind", name);
    }
    if (n < (size_t)(h->version == 1 ? HEADER_1 : HEADER_2)) {
        return fl_fail(err, FL_EFORMAT, "%s: NIfTI: the header is cut off", name);
    }
    h->is_pair = has_magic(bytes, h->version, true);
    if (!h->is_pair && !has_magic(bytes, h->version, false)) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: NIfTI: expected the mark %s; an Analyze 7.5 header does not say "
                       "where left is and is not read",
                       name, magic_of(h->version, false));
    }
    if (h->version == 2 && memcmp(bytes + 8, "\r\n\032\n", 4) != 0) {
        return fl_fail(err, FL_EFORMAT, "%s: NIfTI: a transfer as text has damaged the file", name);
    }
    if (h->version == 1) {
        read_fields_1(h);
    } else {
        read_fields_2(h);
    }
    return FL_OK;
}

/* --- shape, scale, place --- */

static const nifti_type *find_type(const nifti_header *h)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].code == h->datatype && types[i].bytes * types[i].samples * 8 == h->bitpix) {
            return &types[i];
        }
    }
    return NULL;
}

static fl_status set_shape(data_image *out, const nifti_header *h, const nifti_type *type,
                           const char *name, fl_err *err)
{
    int64_t size[MAX_DIM + 1] = {0, 1, 1, 1, 1, 1, 1, 1};

    if (h->dim[0] < 1 || h->dim[0] > MAX_DIM) {
        return fl_fail(err, FL_EFORMAT, "%s: NIfTI: expected 1 to 7 dimensions, found %lld", name,
                       (long long)h->dim[0]);
    }
    for (int i = 1; i <= h->dim[0]; i++) {
        size[i] = h->dim[i];
    }
    out->cols = size[1];
    out->rows = size[2];
    out->frames = size[3];
    out->channels = type->samples;
    for (int i = 4; i <= MAX_DIM; i++) {
        if (size[i] > 1 && type->samples > 1) {
            return fl_fail(err, FL_EUNSUPPORTED, "%s: NIfTI: colour that changes with time", name);
        }
        if (size[i] < 1 || size[i] > DATA_MAX_SIDE || out->channels > DATA_MAX_SIDE) {
            return fl_fail(err, size[i] < 1 ? FL_EFORMAT : FL_ELIMIT,
                           "%s: NIfTI: dimension %d: expected 1 to %d, found %lld", name, i,
                           DATA_MAX_SIDE, (long long)size[i]);
        }
        out->channels *= size[i];
    }
    out->bits = 8 * type->bytes;
    out->is_signed = type->kind == 'i';
    out->is_float = type->kind == 'f';
    out->full_scale = type->samples > 1 ? 255.0f : 0.0f;
    snprintf(out->format, sizeof out->format, "NIfTI-%d", h->version);
    snprintf(out->photometric, sizeof out->photometric, "%s",
             type->samples == 1   ? "gray"
             : type->samples == 3 ? "RGB"
                                  : "RGB, alpha");
    return data_image_check_size(out, name, err);
}

/* A slope of 0 (or one that is no number) means: as stored. */
static fl_status set_scale(nifti_header *h, const nifti_type *type, const char *name, fl_err *err)
{
    if (h->slope == 0 || !isfinite(h->slope) || type->samples > 1) {
        h->slope = 1;
        h->inter = 0;
    } else if (!isfinite(h->inter)) {
        return fl_fail(err, FL_EFORMAT, "%s: NIfTI: scl_inter: expected a number, found %g", name,
                       h->inter);
    }
    return FL_OK;
}

/* Method 2 of nifti1.h: a unit quaternion, whose first part is not stored. */
static bool rotate_by_quaternion(double affine[static 12], const nifti_header *h)
{
    double b = h->quatern[0];
    double c = h->quatern[1];
    double d = h->quatern[2];
    double rest = 1 - (b * b + c * c + d * d);
    if (!(rest > -1e-5)) {  // NaN too
        return false;
    }
    double a = rest > 0 ? sqrt(rest) : 0;
    const double r[9] = {
        a * a + b * b - c * c - d * d, 2 * (b * c - a * d),           2 * (b * d + a * c),
        2 * (b * c + a * d),           a * a + c * c - b * b - d * d, 2 * (c * d - a * b),
        2 * (b * d - a * c),           2 * (c * d + a * b),           a * a + d * d - b * b - c * c,
    };
    double norm = a * a + b * b + c * c + d * d;
    double handed = h->pixdim[0] == -1 ? -1 : 1;
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            affine[4 * i + j] = r[3 * i + j] / norm * fabs(h->pixdim[j + 1]) *
                                (j == 2 ? handed : 1);
        }
        affine[4 * i + 3] = h->qoffset[i];
    }
    return true;
}

/* The sform where there is one, else the qform; neither: the place is unknown
 * and nothing is made up. */
static fl_status set_place(data_image *out, const nifti_header *h, const char *name, fl_err *err)
{
    int unit = h->units & 7;
    double mm = unit == UNIT_METRE ? 1000 : unit == UNIT_MICRON ? 0.001 : 1;

    for (int i = 0; i < 3; i++) {  // pixdim is column, row, depth
        double side = fabs(h->pixdim[3 - i]) * mm;
        bool has = h->dim[0] >= 3 - i && isfinite(side);
        out->spacing_mm[i] = has ? side : 0;
    }
    if (h->sform_code > 0) {
        memcpy(out->affine, h->srow, sizeof out->affine);
    } else if (h->qform_code > 0) {
        if (!rotate_by_quaternion(out->affine, h)) {
            return fl_fail(err, FL_EFORMAT, "%s: NIfTI: the quaternion is longer than 1", name);
        }
    } else {
        return FL_OK;
    }
    for (int i = 0; i < 12; i++) {
        out->affine[i] *= mm;
        if (!isfinite(out->affine[i])) {
            return fl_fail(err, FL_EFORMAT, "%s: NIfTI: the affine holds no finite numbers", name);
        }
    }
    data_image_set_orientation(out);
    return FL_OK;
}

/* --- pixels --- */

static double sample_at(const uint8_t *p, const nifti_type *type, bool swapped)
{
    switch (type->kind) {
    case 'f':
        return get_float(p, type->bytes, swapped);
    case 'i':
        return (double)get_int(p, type->bytes, swapped);
    default:
        return (double)get_uint(p, type->bytes, swapped);
    }
}

/* The digest is of the order all formats share: channels innermost. */
static void hash_samples(data_image *out, const uint8_t *pixels, const nifti_type *type,
                         bool swapped)
{
    size_t plane = (size_t)(out->frames * out->rows * out->cols);
    size_t channels = (size_t)out->channels;
    size_t size = (size_t)type->bytes;
    bool interleaved = type->samples > 1;
    uint8_t block[4096];
    size_t n = 0;
    fl_sha256 hash;

    fl_sha256_init(&hash);
    for (size_t i = 0; i < plane; i++) {
        for (size_t c = 0; c < channels; c++) {
            const uint8_t *p = pixels + size * (interleaved ? i * channels + c : c * plane + i);
            for (size_t b = 0; b < size; b++) {
                block[n++] = p[swapped ? size - 1 - b : b];
            }
            if (n + sizeof(uint64_t) > sizeof block) {
                fl_sha256_add(&hash, block, n);
                n = 0;
            }
        }
    }
    fl_sha256_add(&hash, block, n);
    fl_sha256_done(&hash, out->sha256);
}

static fl_status fill(data_image *out, const nifti_header *h, const nifti_type *type,
                      const uint8_t *pixels, const char *name, fl_err *err)
{
    size_t plane = (size_t)(out->frames * out->rows * out->cols);
    size_t channels = (size_t)out->channels;
    bool interleaved = type->samples > 1;
    double sum = 0;
    size_t n_finite = 0;

    out->data = fl_calloc(plane * channels, sizeof *out->data, name, err);
    if (out->data == NULL) {
        return FL_ELIMIT;
    }
    for (size_t i = 0; i < plane * channels; i++) {
        double v = sample_at(pixels + i * (size_t)type->bytes, type, h->swapped);
        size_t to = interleaved ? i % channels * plane + i / channels : i;
        out->data[to] = (float)(v * h->slope + h->inter);
        if (isfinite(v)) {
            out->stored_min = n_finite == 0 ? v : fmin(out->stored_min, v);
            out->stored_max = n_finite == 0 ? v : fmax(out->stored_max, v);
            sum += v;
            n_finite++;
        }
    }
    if (n_finite == 0) {
        return fl_fail(err, FL_EFORMAT, "%s: NIfTI: not one voxel is a finite number", name);
    }
    out->stored_mean = sum / (double)n_finite;
    hash_samples(out, pixels, type, h->swapped);
    return FL_OK;
}

/* n_total: bytes of the file, unpacked.  *size: of the pixels. */
static fl_status check_bytes(size_t *size, const nifti_header *h, const data_image *image,
                             const nifti_type *type, const char *name, fl_err *err)
{
    size_t header = (size_t)(h->version == 1 ? HEADER_1 : HEADER_2);
    size_t count = (size_t)(image->frames * image->rows * image->cols * image->channels);
    *size = count * (size_t)type->bytes;  // at most 2^28 * 8
    if (*size > DATA_MAX_FILE_BYTES) {
        return fl_fail(err, FL_ELIMIT, "%s: NIfTI: more than %d bytes of pixels", name,
                       DATA_MAX_FILE_BYTES);
    }
    if (!h->is_pair && (h->offset < header + EXTENSION_FLAG || h->offset > DATA_MAX_FILE_BYTES)) {
        return fl_fail(err, FL_EFORMAT, "%s: NIfTI: the pixels begin inside the header", name);
    }
    return FL_OK;
}

static fl_status read_plain(data_image *out, const uint8_t *bytes, size_t n, const char *name,
                            fl_err *err)
{
    nifti_header h;
    size_t size;
    fl_status st = read_header(&h, bytes, n, name, err);
    if (st != FL_OK) {
        return st;
    }
    if (h.is_pair) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: NIfTI: the header of a pair; its pixels are in the .img file", name);
    }
    const nifti_type *type = find_type(&h);
    if (type == NULL) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "%s: NIfTI: expected integers, float, double or RGB, found datatype %d "
                       "of %d bits",
                       name, h.datatype, h.bitpix);
    }
    if ((st = set_shape(out, &h, type, name, err)) != FL_OK ||
        (st = set_scale(&h, type, name, err)) != FL_OK ||
        (st = set_place(out, &h, name, err)) != FL_OK ||
        (st = check_bytes(&size, &h, out, type, name, err)) != FL_OK) {
        return st;
    }
    if (h.offset > n || n - h.offset != size) {
        return fl_fail(err, FL_EFORMAT, "%s: NIfTI: expected %zu bytes of pixels, found %zu", name,
                       size, h.offset > n ? (size_t)0 : n - (size_t)h.offset);
    }
    return fill(out, &h, type, bytes + h.offset, name, err);
}

/* --- gzip --- */

/* Unpacks at most cap bytes; *got of them.  *ended: that was the whole file,
 * and its checksums hold. */
static bool inflate_into(uint8_t *out, size_t cap, size_t *got, bool *ended, const uint8_t *bytes,
                         size_t n)
{
    z_stream z = {.next_in = (Bytef *)bytes, .avail_in = (uInt)n};

    *got = 0;
    *ended = false;
    if (inflateInit2(&z, 15 + 16) != Z_OK) {  // 16: a gzip wrapper
        return false;
    }
    z.next_out = out;
    z.avail_out = (uInt)cap;
    int rc = Z_OK;
    while (rc == Z_OK) {
        rc = inflate(&z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END && z.avail_in > 0) {  // several members are one file
            rc = inflateReset(&z);
        }
    }
    *got = cap - z.avail_out;
    *ended = rc == Z_STREAM_END;
    inflateEnd(&z);
    return *ended || (rc == Z_BUF_ERROR && z.avail_out == 0);
}

/* The header first: it says how many bytes there must be. */
static fl_status unpacked_size(size_t *total, const uint8_t *bytes, size_t n, const char *name,
                               fl_err *err)
{
    uint8_t head[HEADER_MAX];
    size_t got;
    bool ended;
    nifti_header h;
    data_image shape = {0};
    size_t size;
    fl_status st;

    if (!inflate_into(head, sizeof head, &got, &ended, bytes, n)) {
        return fl_fail(err, FL_EFORMAT, "%s: NIfTI: the gzip file is damaged", name);
    }
    if ((st = read_header(&h, head, got, name, err)) != FL_OK) {
        return st;
    }
    *total = got;
    const nifti_type *type = find_type(&h);
    if (h.is_pair || type == NULL) {
        return FL_OK;  // read_plain says why not
    }
    if ((st = set_shape(&shape, &h, type, name, err)) != FL_OK ||
        (st = check_bytes(&size, &h, &shape, type, name, err)) != FL_OK) {
        return st;
    }
    *total = (size_t)h.offset + size;
    if (*total > DATA_MAX_FILE_BYTES || *total / DEFLATE_MOST > n) {
        return fl_fail(err, *total / DEFLATE_MOST > n ? FL_EFORMAT : FL_ELIMIT,
                       "%s: NIfTI: %zu bytes of gzip cannot hold the volume", name, n);
    }
    return FL_OK;
}

static fl_status read_packed(data_image *out, const uint8_t *bytes, size_t n, const char *name,
                             fl_err *err)
{
    size_t total = 0;
    size_t got;
    bool ended;
    fl_status st = unpacked_size(&total, bytes, n, name, err);
    if (st != FL_OK) {
        return st;
    }
    uint8_t *plain = fl_calloc(total + 1, 1, name, err);  // 1: room to see trailing bytes
    if (plain == NULL) {
        return FL_ELIMIT;
    }
    bool whole = inflate_into(plain, total + 1, &got, &ended, bytes, n);
    st = whole ? read_plain(out, plain, got, name, err)
               : fl_fail(err, FL_EFORMAT, "%s: NIfTI: the gzip file is damaged", name);
    if (st == FL_OK && !ended) {
        st = fl_fail(err, FL_EFORMAT, "%s: NIfTI: the gzip file goes on behind the pixels", name);
    }
    free(plain);
    return st;
}

static fl_status read_nifti(data_image *out, const uint8_t *bytes, size_t n, const char *name,
                            fl_err *err)
{
    *out = (data_image){0};
    fl_status st = is_gzip(bytes, n) ? read_packed(out, bytes, n, name, err)
                                     : read_plain(out, bytes, n, name, err);
    if (st != FL_OK) {
        data_image_clear(out);
    }
    return st;
}

const data_format data_format_nifti = {"NIfTI", is_nifti, read_nifti};

/* --- pairs --- */

/* "x.hdr" -> "x.img"; NULL for other names. */
static char *image_beside(const char *path)
{
    size_t n = strlen(path);
    if (n < 4 || (strcmp(path + n - 4, ".hdr") != 0 && strcmp(path + n - 4, ".HDR") != 0)) {
        return NULL;
    }
    char *image = fl_xstrdup(path);
    strcpy(image + n - 4, path[n - 1] == 'R' ? ".IMG" : ".img");
    return image;
}

/* The offset field, in the file's byte order. */
static void set_offset(uint8_t *at, const nifti_header *h, uint64_t offset)
{
    float f = (float)offset;  // exact: 352
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint64_t v = h->version == 1 ? bits : offset;
    int bytes = h->version == 1 ? 4 : 8;
    uint8_t *p = at + (h->version == 1 ? 108 : 168);
    for (int i = 0; i < bytes; i++) {
        p[h->swapped ? bytes - 1 - i : i] = (uint8_t)(v >> 8 * i);
    }
}

fl_status data_nifti_join_pair(char **bytes, size_t *n, const char *path, fl_err *err)
{
    nifti_header h;
    fl_err ignored = FL_ERR_INIT;
    char *pixels = NULL;
    size_t n_pixels = 0;

    char *image = image_beside(path);
    if (image == NULL || read_header(&h, (const uint8_t *)*bytes, *n, path, &ignored) != FL_OK ||
        !h.is_pair) {
        free(image);
        return FL_OK;
    }
    size_t header = (size_t)(h.version == 1 ? HEADER_1 : HEADER_2);
    fl_status st = fl_file_read(&pixels, &n_pixels, image, DATA_MAX_FILE_BYTES, err);
    free(image);
    if (st != FL_OK) {
        return st;
    }
    size_t skip = h.offset < n_pixels ? (size_t)h.offset : n_pixels;
    size_t begin = header + EXTENSION_FLAG;
    uint8_t *joined = fl_calloc(begin + n_pixels - skip, 1, path, err);
    if (joined == NULL) {
        free(pixels);
        return FL_ELIMIT;
    }
    memcpy(joined, *bytes, header);
    memcpy(joined + begin, pixels + skip, n_pixels - skip);
    memcpy(joined + (h.version == 1 ? 344 : 4), magic_of(h.version, false), 4);
    set_offset(joined, &h, begin);
    free(pixels);
    free(*bytes);
    *bytes = (char *)joined;
    *n = begin + n_pixels - skip;
    return FL_OK;
}
