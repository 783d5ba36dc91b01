/*
 * test_offer.c - a contribution's scalars, and the bytes that its signature covers
 */
#include "fed/msg.h"

#include <math.h>

#include "check.h"
#include "fed/draw.h"
#include "fed/golden.h"

static void scalars_stay_sorted_and_unique(void **state)
{
    (void)state;
    static fed_offer o;
    fed_offer_set(&o, "steps", 20);
    fed_offer_set(&o, "loss", 0.5);
    fed_offer_set(&o, "n_train", 640);
    fed_offer_set(&o, "loss", 0.75);
    fed_offer_set(&o, "zero", -0.0);
    check_int(o.n_scalars, 4);
    check_str(o.scalars[0].name, "loss");
    check_str(o.scalars[1].name, "n_train");
    check_str(o.scalars[2].name, "steps");
    check_near(fed_offer_get(&o, "loss", -1), 0.75, 0);
    check_near(fed_offer_get(&o, "absent", -1), -1, 0);
    check(!signbit(fed_offer_get(&o, "zero", 1)));
}

static void an_offer_is_written_byte_for_byte_as_written_down(void **state)
{
    (void)state;
    fl_err err = FL_ERR_INIT;
    json_t *golden = golden_read();
    const json_t *expected = json_object_get(golden, "offer");
    static fed_msg m;
    memset(&m, 0, sizeof m);
    m.type = FED_MSG_OFFER;
    fed_offer *o = &m.u.offer;
    o->key.kind = FED_TRAIN;
    memset(&o->key.job, 1, sizeof o->key.job);
    o->key.round.n = 7;
    memset(&o->base_model, 2, sizeof o->base_model);
    check_ok(fed_site_id_parse(&o->site, "nord", &err), err);
    fed_offer_set(o, "steps", 20);
    fed_offer_set(o, "n_train", 640);
    fed_offer_set(o, "loss", 0.75);
    memset(o->table_hash, 3, sizeof o->table_hash);
    o->n_bytes = 40000;
    o->n_pieces = 1;
    memset(&o->digest, 4, sizeof o->digest);
    golden_bytes(o->signature.bytes, sizeof o->signature.bytes, expected, "signature");

    fl_buf bytes = FL_BUF_INIT;
    fed_offer_bytes(o, &bytes);
    size_t n;
    unsigned char *blob = golden_blob(&n, expected, "bytes");
    check_int(bytes.n, n);
    check_bytes(bytes.data, blob, n);
    free(blob);

    fed_verify_key key;
    golden_bytes(key.bytes, sizeof key.bytes, json_object_get(golden, "identity"), "sign_public");
    check(fed_verify(&o->signature, &key, "consilium contribution 1", bytes.data, bytes.n));

    fl_buf_reset(&bytes);
    fed_msg_pack_as(&m, 2, &bytes);
    blob = golden_blob(&n, expected, "wire");
    check_int(bytes.n, n);
    check_bytes(bytes.data, blob, n);
    free(blob);
    fl_buf_clear(&bytes);
    json_decref(golden);
}

/* No two offers share their signed bytes: each field changes them. */
static void every_field_of_an_offer_is_signed(void **state)
{
    (void)state;
    draw_seed();
    static fed_msg a, b;
    fl_buf a_bytes = FL_BUF_INIT, b_bytes = FL_BUF_INIT;
    draw_message(&a, FED_MSG_OFFER);
    a.u.offer.n_scalars = 0;
    fed_offer_set(&a.u.offer, "loss", 1);
    fed_offer_bytes(&a.u.offer, &a_bytes);
    for (int field = 0; field < 11; field++) {
        b = a;
        fed_offer *o = &b.u.offer;
        switch (field) {
        case 0:
            o->key.kind = (fed_order_kind)(o->key.kind % 5 + 1);
            break;
        case 1:
            o->key.job.bytes[31] ^= 1;
            break;
        case 2:
            o->key.round.n++;
            break;
        case 3:
            o->base_model.bytes[0] ^= 1;
            break;
        case 4:
            o->site.text[0] = o->site.text[0] == 'a' ? 'b' : 'a';
            break;
        case 5:
            o->scalars[0].value = nextafter(1, 2);
            break;
        case 6:
            strcpy(o->scalars[0].name, "lost");
            break;
        case 7:
            o->table_hash[5] ^= 0x80;
            break;
        case 8:
            o->n_bytes++;
            break;
        case 9:
            o->n_pieces++;
            break;
        default:
            o->digest.bytes[7] ^= 4;
            break;
        }
        fl_buf_reset(&b_bytes);
        fed_offer_bytes(o, &b_bytes);
        check(b_bytes.n != a_bytes.n || memcmp(a_bytes.data, b_bytes.data, a_bytes.n) != 0);
    }
    fl_buf_clear(&a_bytes);
    fl_buf_clear(&b_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_stay_sorted_and_unique),
        cmocka_unit_test(an_offer_is_written_byte_for_byte_as_written_down),
        cmocka_unit_test(every_field_of_an_offer_is_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
