/*
 * sample.c - see sample.h
 */
#include "report/sample.h"

#include "check.h"

json_t *sample_read_of(const char *name)
{
    fl_err err = FL_ERR_INIT;
    json_t *json = NULL;
    char *path = fl_path_join("tests/report", name);
    check_ok(fl_json_read(&json, path, 4 << 20, &err), err);
    free(path);
    return json;
}

json_t *sample_read(void)
{
    return sample_read_of("sample.json");
}

/* Up to the last step of path, which is left in key or index (key empty). */
static json_t *parent_of(json_t *at, const char *path, char key[static 64], size_t *index)
{
    while (at != NULL) {
        key[0] = '\0';
        if (*path == '[') {
            char *end;
            *index = strtoul(path + 1, &end, 10);
            path = end + 1;
        } else {
            size_t n = strcspn(path, ".[");
            snprintf(key, 64, "%.*s", (int)n, path);
            path += n;
        }
        if (*path == '\0') {
            return at;
        }
        path += *path == '.';
        at = key[0] != '\0' ? json_object_get(at, key) : json_array_get(at, *index);
    }
    return NULL;
}

json_t *sample_at(json_t *report, const char *path)
{
    char key[64];
    size_t index = 0;
    json_t *parent = parent_of(report, path, key, &index);
    return key[0] != '\0' ? json_object_get(parent, key) : json_array_get(parent, index);
}

void sample_set(json_t *report, const char *path, json_t *value)
{
    char key[64];
    size_t index = 0;
    json_t *parent = parent_of(report, path, key, &index);
    check(parent != NULL);
    if (value == NULL) {
        json_object_del(parent, key);
    } else if (key[0] != '\0') {
        check_int(json_object_set_new(parent, key, value), 0);
    } else {
        check_int(json_array_set_new(parent, index, value), 0);
    }
}
