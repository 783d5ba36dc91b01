/*
 * fuzz_cfg.c - YAML text that is read, asked, changed and written back
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cfg.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Asks every node for everything. */
static void visit(fl_node n, int depth)
{
    FL_REQUIRE(depth <= 64);
    for (size_t i = 0; fl_cfg_is_map(n) && i < fl_cfg_count(n); i++) {
        const char *key;
        visit(fl_cfg_pair(n, i, &key), depth + 1);
        fl_cfg_int(n, key, 0, 10, 1, "");
        fl_cfg_num(n, key, 0, 10, 1, "");
        fl_cfg_duration_ms(n, key, 0, 1000, 1, "");
        fl_cfg_path(n, key, NULL, "");
    }
    for (size_t i = 0; fl_cfg_is_list(n) && i < fl_cfg_count(n); i++) {
        visit(fl_cfg_item(n, i), depth + 1);
    }
    fl_node_text(n, "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fl_cfg *c = NULL;
    fl_err err = FL_ERR_INIT;
    fl_buf text = FL_BUF_INIT;
    if (fl_cfg_parse(&c, (const char *)data, size, "fuzz.yaml", ".", &err) != FL_OK) {
        return 0;
    }
    visit(fl_cfg_root(c), 0);
    fl_status st = fl_cfg_set(c, "local.a.b", "[1, {c: d}]", &err);
    if (fl_cfg_emit(fl_cfg_root(c), false, &text, &err) == FL_OK) {
        // What was written is read again.
        fl_cfg *again = NULL;
        FL_REQUIRE(fl_cfg_parse(&again, text.data, text.n, "again", ".", &err) == FL_OK ||
                   text.n > 1024 * 1024);
        fl_cfg_destroy(&again);
    }
    FL_REQUIRE(fl_cfg_finish(c, &err) != FL_OK || st == FL_OK || err.text[0] != '\0');
    fl_buf_clear(&text);
    fl_cfg_destroy(&c);
    return 0;
}
