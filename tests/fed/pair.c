/*
 * pair.c - see pair.h
 */
#include "fed/pair.h"

#include "check.h"

enum { PATIENCE_MS = 10000 };

void pair_allow(pair_list *list, const fed_identity *id)
{
    check(list->n < PAIR_MAX_ALLOWED);
    list->keys[list->n] = fed_identity_public(id);
    list->n++;  // after the key, for the thread that reads it
}

bool pair_is_allowed(void *ctx, const fed_public_key *key)
{
    pair_list *list = ctx;
    for (int i = 0; i < list->n; i++) {
        if (memcmp(list->keys[i].bytes, key->bytes, sizeof key->bytes) == 0) {
            return true;
        }
    }
    return false;
}

void pair_receive(fed_link *l, fed_packet *out)
{
    int64_t deadline = fl_now_ms() + PATIENCE_MS;
    while (!fed_receive(l, out)) {
        if (fl_now_ms() > deadline) {
            check_fail("no message came");
        }
        fed_wait(&l, 1, NULL, 100);
    }
}

void pair_send(fed_link *l, const fed_route *to, const char *text)
{
    fl_err err = FL_ERR_INIT;
    check_ok(fed_send(l, to, text, strlen(text), NULL, 0, &err), err);
}

void pair_expect(const fed_packet *p, const char *text)
{
    char *found = fl_xstrndup((const char *)p->header, p->n_header);
    check_str(found, text);
    free(found);
}

void pair_talk(fed_link *client, fed_link *server, const fed_identity *who)
{
    fed_packet p;
    pair_send(client, NULL, "question");
    pair_receive(server, &p);
    pair_expect(&p, "question");
    fed_public_key key = fed_identity_public(who);
    check_bytes(p.peer.bytes, key.bytes, FED_KEY_BYTES);
    fed_route route = p.route;
    pair_send(server, &route, "answer");
    pair_receive(client, &p);
    pair_expect(&p, "answer");
}

void pair_wait_up(fed_link *client)
{
    int64_t deadline = fl_now_ms() + PATIENCE_MS;
    while (!fed_link_up(client)) {
        if (fl_now_ms() > deadline) {
            check_fail("not connected: %s", fed_link_state(client));
        }
        fed_wait(&client, 1, NULL, 100);
    }
}

void pair_wait_refusal(fed_link *server, fed_refusal *out, const char *part)
{
    int64_t deadline = fl_now_ms() + PATIENCE_MS;
    while (!fed_link_refusal(server, out)) {
        if (fl_now_ms() > deadline) {
            check_fail("no refusal with \"%s\" was recorded", part);
        }
        fed_wait(&server, 1, NULL, 5);
    }
    check_has(out->reason, part);
}
