/*
 * known.c - CheXpert, NIH ChestX-ray14 and BUSI
 *
 * CheXpert: Irvin et al., AAAI 2019.  ChestX-ray14: Wang et al., CVPR 2017.
 * BUSI: Al-Dhabyani et al., Data in Brief 28 (2020).
 */
#include "data/known.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sys.h"

static void put_char(fl_buf *out, char c)
{
    fl_buf_add(out, &c, 1);
}

/* A quoted cell and what separates it from the next. */
static void put(fl_buf *out, const char *text, size_t n, char end)
{
    put_char(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"') {
            put_char(out, '"');
        }
        put_char(out, text[i]);
    }
    put_char(out, '"');
    put_char(out, end);
}

static void put_text(fl_buf *out, const char *text, char end)
{
    put(out, text, strlen(text), end);
}

static fl_status no_column(const data_recipe *r, const char *name, fl_err *err)
{
    return fl_fail(err, FL_ECONFIG, "%s:1: recipe: %s: there is no column %s", r->manifest,
                   r->known->name, name);
}

static bool is_among(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Columns that a manifest gives a meaning of its own must not come from the table. */
static bool is_copied(const char *name)
{
    static const char *const ours[] = {"case", "patient", "file", "label",
                                       "mask", "split",   "boxes"};
    return name[0] != '\0' && strchr(name, ':') == NULL &&
           !is_among(ours, sizeof ours / sizeof *ours, name);
}

/* --- CheXpert --- */

static const char *const chexpert_findings[] = {"No Finding",       "Enlarged Cardiomediastinum",
                                                "Cardiomegaly",     "Lung Opacity",
                                                "Lung Lesion",      "Edema",
                                                "Consolidation",    "Pneumonia",
                                                "Atelectasis",      "Pneumothorax",
                                                "Pleural Effusion", "Pleural Other",
                                                "Fracture",         "Support Devices"};
enum { N_CHEXPERT = sizeof chexpert_findings / sizeof *chexpert_findings };

/* Figure 1 of the paper. */
static const data_parent chexpert_parents[] = {{"Cardiomegaly", "Enlarged Cardiomediastinum"},
                                               {"Lung Lesion", "Lung Opacity"},
                                               {"Edema", "Lung Opacity"},
                                               {"Consolidation", "Lung Opacity"},
                                               {"Pneumonia", "Consolidation"},
                                               {"Atelectasis", "Lung Opacity"}};

/* ".../patient00001/study1/view1_frontal.jpg": its part that names the patient. */
static const char *patient_of(size_t *n, const char *path)
{
    for (const char *at = path; at != NULL; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, "patient", 7) == 0) {
            *n = strcspn(at, "/");
            return at;
        }
    }
    return NULL;
}

static void chexpert_header(const data_csv *t, fl_buf *out)
{
    fl_buf_puts(out, "case,patient,file");
    for (size_t i = 0; i < t->n_cols; i++) {
        bool finding = is_among(chexpert_findings, N_CHEXPERT, t->header[i]);
        if (finding || is_copied(t->header[i])) {
            put_char(out, ',');
            fl_buf_puts(out, finding ? "\"label:" : "\"");
            fl_buf_puts(out, t->header[i]);
            put_char(out, '"');
        }
    }
    put_char(out, '\n');
}

static fl_status chexpert_rows(const data_recipe *r, const data_csv *t, fl_buf *out, int **line,
                               fl_err *err)
{
    size_t n_rows = 0;
    int path = data_csv_column(t, "Path");
    int view = data_csv_column(t, "Frontal/Lateral");
    if (path < 0 || (r->known_view != NULL && view < 0)) {
        return no_column(r, path < 0 ? "Path" : "Frontal/Lateral", err);
    }
    chexpert_header(t, out);
    *line = fl_xcalloc(t->n_rows, sizeof **line);
    for (size_t i = 0; i < t->n_rows; i++) {
        char **cell = t->cell[i];
        size_t n;
        const char *patient = patient_of(&n, cell[path]);
        if (patient == NULL) {
            return fl_fail(err, FL_ECONFIG, "%s:%d: Path: no part of it begins with patient",
                           r->manifest, t->line[i]);
        }
        if (r->known_view != NULL && strcmp(cell[view], r->known_view) != 0) {
            continue;
        }
        (*line)[n_rows++] = t->line[i];
        put_text(out, cell[path], ',');
        put(out, patient, n, ',');
        put_text(out, cell[path], ',');
        for (size_t k = 0; k < t->n_cols; k++) {
            if (is_among(chexpert_findings, N_CHEXPERT, t->header[k]) || is_copied(t->header[k])) {
                put_text(out, cell[k], ',');
            }
        }
        out->data[out->n - 1] = '\n';
    }
    return FL_OK;
}

static fl_status write_chexpert(const data_recipe *r, fl_buf *out, int **line, fl_err *err)
{
    data_csv t;
    fl_status st = data_csv_read(&t, r->manifest, true, err);
    if (st != FL_OK) {
        return st;
    }
    st = chexpert_rows(r, &t, out, line, err);
    data_csv_clear(&t);
    return st;
}

/* --- ChestX-ray14 --- */

static const char *const nih_findings[] = {
    "Atelectasis", "Cardiomegaly", "Effusion",           "Infiltration",  "Mass",
    "Nodule",      "Pneumonia",    "Pneumothorax",       "Consolidation", "Edema",
    "Emphysema",   "Fibrosis",     "Pleural_Thickening", "Hernia"};
enum { N_NIH = sizeof nih_findings / sizeof *nih_findings };

/* The archives unpack to images_001/images ... images_012/images. */
static char *nih_file(const char *dir, const char *name, int *last)
{
    enum { N_ARCHIVES = 12 };
    for (int turn = 0; turn <= N_ARCHIVES + 1; turn++) {
        int k = (*last + turn) % (N_ARCHIVES + 2);
        char *file = k == 0   ? fl_xstrdup(name)
                     : k == 1 ? fl_xasprintf("images/%s", name)
                              : fl_xasprintf("images_%03d/images/%s", k - 1, name);
        char *path = fl_path_join(dir, file);
        bool found = fl_file_exists(path);
        free(path);
        if (found) {
            *last = k;
            return file;
        }
        free(file);
    }
    return fl_xstrdup(name);  // which will be told to be missing
}

/* Whether the list "A|B" has it. */
static bool nih_has(const char *list, const char *finding)
{
    size_t length = strlen(finding);
    for (const char *at = list; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strcspn(at, "|") == length && strncmp(at, finding, length) == 0) {
            return true;
        }
    }
    return false;
}

static fl_status nih_check(const data_recipe *r, const char *list, int line, fl_err *err)
{
    for (const char *at = list; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        size_t n = strcspn(at, "|");
        bool known = n == 10 && strncmp(at, "No Finding", 10) == 0;
        for (size_t k = 0; k < N_NIH && !known; k++) {
            known = strlen(nih_findings[k]) == n && strncmp(at, nih_findings[k], n) == 0;
        }
        if (!known) {
            return fl_fail(err, FL_ECONFIG, "%s:%d: Finding Labels: %.*s is none of the fourteen",
                           r->manifest, line, (int)n, at);
        }
    }
    return FL_OK;
}

static void nih_header(const data_csv *t, bool has_split, fl_buf *out)
{
    fl_buf_puts(out, has_split ? "case,patient,file,split" : "case,patient,file");
    for (size_t k = 0; k < N_NIH; k++) {
        fl_buf_printf(out, ",label:%s", nih_findings[k]);
    }
    for (size_t i = 0; i < t->n_cols; i++) {
        if (is_copied(t->header[i])) {
            put_char(out, ',');
            put_text(out, t->header[i], ' ');  // blanks around a cell do not count
        }
    }
    put_char(out, '\n');
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static fl_status nih_rows(const data_recipe *r, const data_csv *t, const data_csv *tests,
                          fl_buf *out, int **line, fl_err *err)
{
    int name = data_csv_column(t, "Image Index");
    int list = data_csv_column(t, "Finding Labels");
    int patient = data_csv_column(t, "Patient ID");
    int archive = 0;
    const char **test = fl_xcalloc(tests->n_rows, sizeof *test);
    fl_status st = FL_OK;

    if (name < 0 || list < 0 || patient < 0) {
        free(test);
        return no_column(r,
                         name < 0   ? "Image Index"
                         : list < 0 ? "Finding Labels"
                                    : "Patient ID",
                         err);
    }
    for (size_t i = 0; i < tests->n_rows; i++) {
        test[i] = tests->cell[i][0];
    }
    qsort(test, tests->n_rows, sizeof *test, by_text);
    nih_header(t, r->known_test != NULL, out);
    *line = fl_xcalloc(t->n_rows, sizeof **line);
    for (size_t i = 0; i < t->n_rows && st == FL_OK; i++) {
        char **cell = t->cell[i];
        if ((st = nih_check(r, cell[list], t->line[i], err)) != FL_OK) {
            break;
        }
        (*line)[i] = t->line[i];
        char *file = nih_file(r->known_images, cell[name], &archive);
        put_text(out, cell[name], ',');
        put_text(out, cell[patient], ',');
        put_text(out, file, ',');
        free(file);
        if (r->known_test != NULL) {
            const char *key = cell[name];
            bool is_test = bsearch(&key, test, tests->n_rows, sizeof *test, by_text) != NULL;
            fl_buf_puts(out, is_test ? "test," : "train,");
        }
        for (size_t k = 0; k < N_NIH; k++) {
            fl_buf_puts(out, nih_has(cell[list], nih_findings[k]) ? "1," : "0,");
        }
        for (size_t k = 0; k < t->n_cols; k++) {
            if (is_copied(t->header[k])) {
                put_text(out, cell[k], ',');
            }
        }
        out->data[out->n - 1] = '\n';
    }
    free(test);
    return st;
}

/* Some editions end every line with a comma, behind which there is no column. */
static fl_status nih_read(data_csv *out, const char *path, fl_err *err)
{
    char *text = NULL;
    size_t n = 0;
    fl_status st = fl_file_read(&text, &n, path, DATA_MAX_FILE_BYTES, err);
    if (st != FL_OK) {
        return st;
    }
    size_t header = strcspn(text, "\r\n");
    bool ends = header > 0 && text[header - 1] == ',';
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool at_end = i + 1 == n || text[i + 1] == '\r' || text[i + 1] == '\n';
        if (!(ends && text[i] == ',' && at_end)) {
            text[kept++] = text[i];
        }
    }
    st = data_csv_parse(out, text, kept, path, true, err);
    free(text);
    return st;
}

static fl_status write_nih(const data_recipe *r, fl_buf *out, int **line, fl_err *err)
{
    data_csv t;
    data_csv tests = {.n_rows = 0};
    fl_status st = nih_read(&t, r->manifest, err);
    if (st != FL_OK) {
        return st;
    }
    if (r->known_test != NULL) {
        st = data_csv_read(&tests, r->known_test, false, err);
    }
    if (st == FL_OK) {
        st = nih_rows(r, &t, &tests, out, line, err);
    }
    data_csv_clear(&tests);
    data_csv_clear(&t);
    return st;
}

/* --- BUSI --- */

static bool ends_with_image(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && (strcmp(name + n - 4, ".png") == 0 || strcmp(name + n - 4, ".jpg") == 0);
}

/* The names in a folder, none where it is not there. */
static void list_folder(char ***names, size_t *n, const char *dir)
{
    *names = NULL;
    *n = 0;
    if (fl_is_dir(dir) && fl_list_dir(names, n, dir, NULL) != FL_OK) {
        *n = 0;
    }
}

/* "x (1).png" has "x (1)_mask.png", "x (1)_mask_1.png" ...; joined by "|" into out. */
static void put_masks(fl_buf *out, const char *prefix, char *const *names, size_t n,
                      const char *image)
{
    size_t stem = strlen(image) - 4;
    bool first = true;
    fl_buf cell = FL_BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(names[i], image, stem) == 0 && strncmp(names[i] + stem, "_mask", 5) == 0) {
            fl_buf_printf(&cell, "%s%s%s", first ? "" : "|", prefix, names[i]);
            first = false;
        }
    }
    put(out, cell.data != NULL ? cell.data : "", cell.n, '\n');
    fl_buf_clear(&cell);
}

/* A class's folder: images and masks side by side, or in images and mask. */
static size_t busi_class(const char *top, const char *name, fl_buf *out)
{
    char *folder = fl_path_join(top, name);
    char *inner = fl_path_join(folder, "images");
    char *masks = fl_path_join(folder, "mask");
    bool apart = fl_is_dir(inner);
    char *image_prefix = fl_xasprintf(apart ? "%s/images/" : "%s/", name);
    char *mask_prefix = fl_xasprintf(apart ? "%s/mask/" : "%s/", name);
    char **images;
    char **drawn;
    size_t n;
    size_t n_drawn;
    size_t n_rows = 0;

    list_folder(&images, &n, apart ? inner : folder);
    list_folder(&drawn, &n_drawn, apart ? masks : folder);
    for (size_t i = 0; i < n; i++) {
        if (!ends_with_image(images[i]) || strstr(images[i], "_mask") != NULL) {
            continue;
        }
        char *file = fl_xasprintf("%s%s", image_prefix, images[i]);
        put_text(out, file, ',');  // one image a patient: BUSI names none
        put_text(out, file, ',');
        put_text(out, file, ',');
        put_text(out, name, ',');
        put_masks(out, mask_prefix, drawn, n_drawn, images[i]);
        free(file);
        n_rows++;
    }
    fl_names_free(&images, n);
    fl_names_free(&drawn, n_drawn);
    free(mask_prefix);
    free(image_prefix);
    free(masks);
    free(inner);
    free(folder);
    return n_rows;
}

static fl_status write_busi(const data_recipe *r, fl_buf *out, int **line, fl_err *err)
{
    static const char *const classes[] = {"benign", "malignant", "normal"};
    size_t n = 0;
    fl_buf_puts(out, "case,patient,file,label,mask\n");
    for (size_t k = 0; k < 3; k++) {
        n += busi_class(r->manifest, classes[k], out);
    }
    if (n == 0) {
        return fl_fail(err, FL_ENOTFOUND,
                       "%s: recipe: busi: expected the folders benign, malignant and normal",
                       r->manifest);
    }
    *line = fl_xcalloc(n, sizeof **line);
    for (size_t i = 0; i < n; i++) {
        (*line)[i] = (int)i + 1;
    }
    return FL_OK;
}

/* --- the registry --- */

const data_known *data_known_at(size_t i)
{
    static const data_known all[] = {
        {"chexpert", "CheXpert's train.csv or valid.csv", false, chexpert_parents,
         sizeof chexpert_parents / sizeof *chexpert_parents, write_chexpert},
        {"chestxray14", "NIH ChestX-ray14's Data_Entry_2017.csv", false, NULL, 0, write_nih},
        {"busi", "BUSI's folder of benign, malignant and normal", true, NULL, 0, write_busi},
    };
    return i < sizeof all / sizeof *all ? &all[i] : NULL;
}

fl_status data_known_read(data_csv *out, const data_recipe *r, fl_err *err)
{
    fl_buf text = FL_BUF_INIT;
    int *line = NULL;

    *out = (data_csv){.n_rows = 0};
    fl_status st = r->known->write(r, &text, &line, err);
    if (st == FL_OK) {
        st = data_csv_parse(out, text.data, text.n, r->manifest, true, err);
    }
    for (size_t i = 0; st == FL_OK && i < out->n_rows; i++) {
        out->line[i] = line[i];
    }
    free(line);
    fl_buf_clear(&text);
    return st;
}
