/*
 * onnx_file.c - an ONNX file, mapped, its tensors' numbers left where they lie
 *
 * protobuf-c copies every byte of a field.  So that a model of 500 MB does not
 * need 1 GB, what it unpacks is a copy of the file without the numbers of the
 * larger initializers; raw_data of those then points into the file.  So it does
 * for external data, which PyTorch's exporter writes by default: a file that
 * must lie in the model's own folder.
 */
#define _XOPEN_SOURCE 700  // realpath
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "ckpt/onnx.h"

enum {
    LEAST_CUT = 1024,  // bytes of numbers; less is copied
    MAX_EXTERNAL = 64  // files
};
#define MAX_EXTERNAL_BYTES ((size_t)1 << 33)

/* Fields of ONNX's messages. */
enum {
    MODEL_GRAPH = 7,
    GRAPH_INITIALIZER = 5,
    TENSOR_FLOAT_DATA = 4,
    TENSOR_RAW_DATA = 9,
    TENSOR_DOUBLE_DATA = 10
};

/* ----------------------------------------------------------------- mapping */

static fl_status map_file(onnx_bytes *out, const char *path, size_t max, fl_err *err)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    fl_status st = FL_OK;

    *out = (onnx_bytes){0};
    if (fd < 0 || fstat(fd, &info) != 0) {
        st = fl_fail_errno(err, errno, path);
    } else if (!S_ISREG(info.st_mode)) {
        st = fl_fail(err, FL_EIO, "%s: not a file", path);
    } else if ((uintmax_t)info.st_size > max) {
        st = fl_fail(err, FL_ELIMIT, "%s: %lld bytes; at most %zu are read", path,
                     (long long)info.st_size, max);
    } else if (info.st_size > 0) {
        void *at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED) {
            st = fl_fail(err, FL_EIO, "%s: %s", path, strerror(errno));
        } else {
            *out = (onnx_bytes){at, (size_t)info.st_size, NULL};
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return st;
}

static void add_mapping(onnx_file *f, onnx_bytes b, const char *name)
{
    f->mapped = fl_xrealloc(f->mapped, f->n_mapped + 1, sizeof *f->mapped);
    b.name = fl_xstrdup(name);
    f->mapped[f->n_mapped++] = b;
}

static void point(onnx_file *f, Onnx__TensorProto *t, const uint8_t *at, size_t n)
{
    if (t->has_raw_data && t->raw_data.data != NULL) {
        free(t->raw_data.data);
    }
    t->has_raw_data = 1;
    t->raw_data = (ProtobufCBinaryData){n, (uint8_t *)at};
    f->patched = fl_xrealloc(f->patched, f->n_patched + 1, sizeof *f->patched);
    f->patched[f->n_patched++] = t;
}

/* ------------------------------------------------------------ cutting out */

/* The numbers of an initializer, which are left out of what is unpacked. */
typedef struct {
    size_t tensor;     // which initializer
    onnx_field whole;  // it, as a field of the graph
    onnx_field numbers;
} cut;

typedef struct {
    onnx_field graph;
    cut *cuts;
    size_t n_cuts;
    size_t bytes;  // that are left out
} plan;

/* A tensor that gives its numbers once, in one stretch that is worth it. */
static bool find_numbers(onnx_field *out, const uint8_t *bytes, const onnx_field *tensor)
{
    size_t at = tensor->value, n_found = 0;
    onnx_field f;

    while (onnx_field_next(&f, bytes, &at, tensor->end)) {
        bool is_packed = f.number == TENSOR_FLOAT_DATA || f.number == TENSOR_DOUBLE_DATA;
        if (f.number == TENSOR_RAW_DATA || is_packed) {
            *out = f;
            n_found++;
        }
    }
    return n_found == 1 && out->type == 2 && out->length >= LEAST_CUT;
}

/* False when there is not exactly one graph: then nothing is left out. */
static bool plan_cuts(plan *p, const uint8_t *bytes, size_t n)
{
    size_t at = 0, n_graphs = 0, tensor = 0;
    onnx_field f;

    *p = (plan){0};
    while (onnx_field_next(&f, bytes, &at, n)) {
        if (f.number == MODEL_GRAPH) {
            p->graph = f;
            n_graphs++;
        }
    }
    if (n_graphs != 1 || p->graph.type != 2) {
        return false;
    }
    at = p->graph.value;
    while (onnx_field_next(&f, bytes, &at, p->graph.end)) {
        onnx_field numbers;
        if (f.number != GRAPH_INITIALIZER || f.type != 2) {
            continue;
        }
        if (find_numbers(&numbers, bytes, &f)) {
            p->cuts = fl_xrealloc(p->cuts, p->n_cuts + 1, sizeof *p->cuts);
            p->cuts[p->n_cuts++] = (cut){tensor, f, numbers};
            p->bytes += numbers.end - numbers.start;
        }
        tensor++;
    }
    return true;
}

typedef struct {
    uint8_t *at;
    size_t n;
} sink;

static void copy(sink *s, const uint8_t *bytes, size_t from, size_t to)
{
    memcpy(s->at + s->n, bytes + from, to - from);
    s->n += to - from;
}

static size_t length_bytes(size_t length)
{
    size_t n = 1;

    while (length >>= 7) {
        n++;
    }
    return n;
}

static void put_header(sink *s, unsigned number, size_t length)
{
    s->at[s->n++] = (uint8_t)(number << 3 | 2);
    do {
        s->at[s->n++] = (uint8_t)((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
        length >>= 7;
    } while (length > 0);
}

static size_t lean_tensor(const cut *c)
{
    return c->whole.length - (c->numbers.end - c->numbers.start);
}

/* bytes without what p cuts out; s has room for it. */
static void write_lean(sink *s, const uint8_t *bytes, size_t n, const plan *p)
{
    size_t graph = p->graph.length, done = p->graph.value;

    for (size_t i = 0; i < p->n_cuts; i++) {
        const onnx_field *whole = &p->cuts[i].whole;
        size_t left = lean_tensor(&p->cuts[i]);
        graph -= whole->end - whole->start;
        graph += 1 + length_bytes(left) + left;
    }
    copy(s, bytes, 0, p->graph.start);
    put_header(s, MODEL_GRAPH, graph);
    for (size_t i = 0; i < p->n_cuts; i++) {
        const cut *c = &p->cuts[i];
        copy(s, bytes, done, c->whole.start);
        put_header(s, GRAPH_INITIALIZER, lean_tensor(c));
        copy(s, bytes, c->whole.value, c->numbers.start);
        copy(s, bytes, c->numbers.end, c->whole.end);
        done = c->whole.end;
    }
    copy(s, bytes, done, n);
}

/* Points the initializers that were left without numbers at them. */
static fl_status restore(onnx_file *f, const uint8_t *bytes, const plan *p, fl_err *err)
{
    for (size_t i = 0; i < p->n_cuts; i++) {
        const cut *c = &p->cuts[i];
        FL_REQUIRE(f->model->graph != NULL && c->tensor < f->model->graph->n_initializer);
        Onnx__TensorProto *t = f->model->graph->initializer[c->tensor];
        int32_t packed_type = c->numbers.number == TENSOR_FLOAT_DATA
                                  ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
                                  : ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
        if (c->numbers.number != TENSOR_RAW_DATA && t->data_type != packed_type) {
            return fl_fail(err, FL_EFORMAT,
                           "tensor %.80s holds numbers of another type than it says",
                           t->name != NULL ? t->name : "?");
        }
        point(f, t, bytes + c->numbers.value, c->numbers.length);
    }
    return FL_OK;
}

/* ----------------------------------------------------------- external data */

static const char *entry_of(const Onnx__TensorProto *t, const char *key)
{
    for (size_t i = 0; i < t->n_external_data; i++) {
        const Onnx__StringStringEntryProto *e = t->external_data[i];
        if (e->key != NULL && e->value != NULL && strcmp(e->key, key) == 0) {
            return e->value;
        }
    }
    return NULL;
}

/* A file of the folder or below: no way up, no absolute path. */
static bool stays_inside(const char *location)
{
    if (location[0] == '\0' || location[0] == '/' || strchr(location, '\\') != NULL) {
        return false;
    }
    for (const char *part = location; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) {
            return false;
        }
    }
    return true;
}

/* Where links lead must be inside too. */
static bool is_really_inside(const char *path, const char *folder)
{
    char *file = realpath(path, NULL), *top = realpath(folder, NULL);
    size_t n = top != NULL ? strlen(top) : 0;
    bool yes = file != NULL && top != NULL &&
               (strcmp(top, "/") == 0 || (strncmp(file, top, n) == 0 && file[n] == '/'));

    free(file);
    free(top);
    return yes;
}

static fl_status open_external(const onnx_bytes **out, onnx_file *f, const char *location,
                               fl_err *err)
{
    onnx_bytes bytes = {0};

    for (size_t i = 0; i < f->n_mapped; i++) {
        if (f->mapped[i].name != NULL && strcmp(f->mapped[i].name, location) == 0) {
            *out = &f->mapped[i];
            return FL_OK;
        }
    }
    if (f->n_mapped > MAX_EXTERNAL) {
        return fl_fail(err, FL_ELIMIT, "more than %d files of external data", MAX_EXTERNAL);
    }
    char *path = fl_path_join(f->folder, location);
    fl_status st = fl_file_exists(path) && !is_really_inside(path, f->folder)
                       ? fl_fail(err, FL_EFORMAT,
                                 "external data %.200s leads out of the model's folder", location)
                       : map_file(&bytes, path, MAX_EXTERNAL_BYTES, err);
    if (st == FL_OK) {
        add_mapping(f, bytes, location);
        *out = &f->mapped[f->n_mapped - 1];
    }
    free(path);
    return st;
}

/* A count of bytes; dflt when it is not given.  False: no such number. */
static bool read_count(size_t *out, const char *text, size_t dflt)
{
    char *end;

    *out = dflt;
    if (text == NULL) {
        return true;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    *out = (size_t)value;
    return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && value <= SIZE_MAX;
}

static fl_status attach_external(onnx_file *f, Onnx__TensorProto *t, fl_err *err)
{
    const char *name = t->name != NULL ? t->name : "?", *location = entry_of(t, "location");
    const onnx_bytes *bytes = NULL;
    size_t offset, length;

    if (location == NULL || !stays_inside(location)) {
        return fl_fail(err, FL_EFORMAT,
                       "tensor %.80s: its external data must be a file in the model's folder, not "
                       "\"%.200s\"",
                       name, location != NULL ? location : "");
    }
    if (f->folder == NULL) {
        return fl_fail(err, FL_EUNSUPPORTED,
                       "tensor %.80s lies in another file (%.200s), which cannot be had here; save "
                       "the model as one file",
                       name, location);
    }
    fl_status st = open_external(&bytes, f, location, err);
    if (st != FL_OK) {
        return fl_wrap(err, st, "tensor %.80s: external data", name);
    }
    if (!read_count(&offset, entry_of(t, "offset"), 0) || offset > bytes->n ||
        !read_count(&length, entry_of(t, "length"), bytes->n - offset) ||
        length > bytes->n - offset) {
        return fl_fail(err, FL_EFORMAT, "tensor %.80s: %.200s has no such bytes (it holds %zu)",
                       name, location, bytes->n);
    }
    point(f, t, bytes->at + offset, length);
    t->has_data_location = 0;
    return FL_OK;
}

static fl_status attach_all_external(onnx_file *f, fl_err *err)
{
    Onnx__GraphProto *g = f->model->graph;
    fl_status st = FL_OK;

    for (size_t i = 0; g != NULL && i < g->n_initializer && st == FL_OK; i++) {
        Onnx__TensorProto *t = g->initializer[i];
        if (t->has_data_location &&
            t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
            st = attach_external(f, t, err);
        }
    }
    return st;
}

/* ----------------------------------------------------------------- opening */

static fl_status unpack(onnx_file *f, const uint8_t *bytes, size_t n, fl_err *err)
{
    plan p;
    fl_status st = onnx_scan(bytes, n, err);

    if (st != FL_OK) {
        return st;
    }
    if (!plan_cuts(&p, bytes, n) || p.n_cuts == 0) {
        f->model = onnx__model_proto__unpack(NULL, n, bytes);
    } else {
        sink s = {fl_calloc(n - p.bytes, 1, "the model", err), 0};
        if (s.at == NULL) {
            free(p.cuts);
            return FL_ELIMIT;
        }
        write_lean(&s, bytes, n, &p);
        f->model = onnx__model_proto__unpack(NULL, s.n, s.at);
        free(s.at);
    }
    st = f->model == NULL ? fl_fail(err, FL_EFORMAT, "no ONNX model, or a damaged one")
                          : restore(f, bytes, &p, err);
    free(p.cuts);
    return st == FL_OK ? attach_all_external(f, err) : st;
}

fl_status onnx_file_view(onnx_file *f, const uint8_t *bytes, size_t n, const char *folder,
                         fl_err *err)
{
    *f = (onnx_file){.folder = folder};
    fl_status st = unpack(f, bytes, n, err);
    if (st != FL_OK) {
        onnx_file_close(f);
    }
    return st;
}

fl_status onnx_file_open(onnx_file *f, const char *path, const char *folder, fl_err *err)
{
    onnx_bytes bytes = {0};

    *f = (onnx_file){.folder = folder};
    fl_status st = map_file(&bytes, path, ONNX_MAX_FILE, err);
    if (st != FL_OK) {
        return st;
    }
    add_mapping(f, bytes, NULL);
    st = unpack(f, bytes.at, bytes.n, err);
    if (st != FL_OK) {
        onnx_file_close(f);
    }
    return st;
}

void onnx_file_close(onnx_file *f)
{
    for (size_t i = 0; i < f->n_patched; i++) {
        f->patched[i]->raw_data = (ProtobufCBinaryData){0, NULL};
    }
    if (f->model != NULL) {
        onnx__model_proto__free_unpacked(f->model, NULL);
    }
    for (size_t i = 0; i < f->n_mapped; i++) {
        if (f->mapped[i].at != NULL) {
            munmap((void *)f->mapped[i].at, f->mapped[i].n);
        }
        free(f->mapped[i].name);
    }
    free(f->mapped);
    free(f->patched);
    *f = (onnx_file){0};
}
