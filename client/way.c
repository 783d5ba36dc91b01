/*
 * way.c - see way.h
 */
#include "client/way.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

fl_status way_proxy(fed_proxy *out, bool *has_proxy, const home *h, const char *proxy, fl_err *err)
{
    bool is_option = proxy != NULL;
    const char *url = is_option ? proxy : h->proxy;
    *has_proxy = url[0] != '\0' && strcmp(url, "none") != 0;
    if (!*has_proxy) {
        memset(out, 0, sizeof *out);
        return FL_OK;
    }
    fl_status st = fed_proxy_parse(out, url, err);
    if (st == FL_OK) {
        return st;
    }
    *has_proxy = false;
    return is_option ? fl_wrap(err, FL_EUSAGE, "--proxy")
                     : fl_wrap(err, st, "%s/client.yaml: proxy", h->dir);
}

/* The earlier home whose door leads to the same place through the same proxy. */
static const home *same_way(home *const *homes, size_t n, const home *h, const char *proxy)
{
    for (size_t i = 0; i < n; i++) {
        bool same = proxy != NULL || strcmp(homes[i]->proxy, h->proxy) == 0;
        if (same && homes[i]->via[0] != '\0' && strcmp(homes[i]->address, h->address) == 0) {
            return homes[i];
        }
    }
    return NULL;
}

fl_status ways_open(ways *w, home *const *homes, size_t n, const char *proxy, fl_err *err)
{
    w->n = n;
    w->forward = fl_xcalloc(n, sizeof *w->forward);
    for (size_t i = 0; i < n; i++) {
        home *h = homes[i];
        fed_proxy p;
        bool has_proxy;
        fl_status st = way_proxy(&p, &has_proxy, h, proxy, err);
        const home *earlier = st == FL_OK && has_proxy ? same_way(homes, i, h, proxy) : NULL;
        if (st == FL_OK && has_proxy && earlier == NULL) {
            st = fed_forward_new(&w->forward[i], &p, h->address, err);
        }
        if (st != FL_OK) {
            return st;
        }
        if (has_proxy) {
            fed_proxy_name(h->via, &p);
            snprintf(h->dial, sizeof h->dial, "%s",
                     earlier != NULL ? earlier->dial : fed_forward_address(w->forward[i]));
        }
    }
    return FL_OK;
}

void ways_close(ways *w)
{
    for (size_t i = 0; i < w->n; i++) {
        fed_forward_destroy(&w->forward[i]);
    }
    FL_FREE(w->forward);
    w->n = 0;
}
