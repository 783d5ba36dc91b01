/*
 * msg.h - wire bytes and plain structs
 *
 * The only user of the generated protobuf code; all validation of outside bytes
 * is here: sizes, ranges, names, finiteness.  Code behind this border trusts a
 * fed_msg.  proto/fed.proto says what each field means.
 */
#ifndef FED_MSG_H
#define FED_MSG_H

#include "base/buf.h"
#include "fed/fed.h"
#include "fed/identity.h"
#include "fed/rotation.h"

typedef enum {
    FED_WAIT, FED_CHECK, FED_TRAIN, FED_SCORE, FED_TEST, FED_DONE,
    FED_LEND, FED_CROSS, // from version 4 on
    FED_N_ORDERS
} fed_order_kind;
/* "wait" "check" "train" "score" "test" "done" "lend" "cross" */
const char *fed_order_name(fed_order_kind kind);
/* The first version of the protocol that has such an order. */
uint32_t fed_order_since(fed_order_kind kind);
typedef enum { FED_IDLE, FED_QUEUED, FED_FETCHING, FED_WORKING, FED_SENDING } fed_phase;
const char *fed_phase_name(fed_phase phase);
typedef enum { FED_ACCEPT, FED_PENDING, FED_REFUSE } fed_answer;

/* What names an order, and the one contribution that answers it. */
typedef struct {
    fed_order_kind kind;
    fed_digest job;      // zeros: no job
    fed_round_no round;
} fed_order_key;
bool fed_order_key_equal(const fed_order_key *a, const fed_order_key *b);
/* In the round of a SCORE order that asks for a histogram: it is another order. */
#define FED_HISTOGRAM_BIT 0x80000000u
uint32_t fed_plain_round(fed_round_no round); // without it, for people

typedef struct { char name[FED_SCALAR_NAME_BYTES]; double value; } fed_scalar;

/* A contribution without its payload.  Unique by (key, site). */
typedef struct {
    fed_order_key key;
    fed_model_id base_model;
    fed_site_id site;
    fed_scalar scalars[FED_MAX_SCALARS]; // sorted by name
    size_t n_scalars;
    uint8_t table_hash[32];
    uint64_t n_bytes;       // payload
    uint32_t n_pieces;
    fed_digest digest;      // tree digest of the payload (update.h)
    fed_signature signature;
} fed_offer;

/* Scalars stay sorted; replaces a value of that name. FL_REQUIREs room and a good name. */
void fed_offer_set(fed_offer *o, const char *name, double value);
/* value, or fallback. */
double fed_offer_get(const fed_offer *o, const char *name, double fallback);
/* The canonical bytes that the signature covers. */
void fed_offer_bytes(const fed_offer *o, fl_buf *out);
/* The inverse; the signature stays zero.  FL_EFORMAT for anything else. */
fl_status fed_offer_parse(fed_offer *out, const void *bytes, size_t n, fl_err *err);
/* Fills in the signature, over these bytes. */
void fed_offer_sign(fed_offer *o, const fed_identity *id);
bool fed_offer_verify(const fed_offer *o, const fed_verify_key *key) FL_MUST_CHECK;

typedef enum {
    FED_MSG_ENROL, FED_MSG_ENROLLED, FED_MSG_HELLO, FED_MSG_WELCOME, FED_MSG_ORDER,
    FED_MSG_BEAT, FED_MSG_REPLY, FED_MSG_FETCH, FED_MSG_OFFER, FED_MSG_GRANT,
    FED_MSG_PIECE, FED_MSG_VERDICT, FED_MSG_REFUSED, FED_MSG_BYE,
    FED_MSG_ROTATE, FED_MSG_ROTATED // from version 3 on
} fed_msg_type;
enum { FED_N_MSGS = FED_MSG_ROTATED + 1 };
const char *fed_msg_name(fed_msg_type type);

typedef struct {
    uint8_t invitation[FED_INVITATION_BYTES];
    fed_site_id site;
    fed_verify_key sign_key;
    fed_public_key curve_key;
    fed_signature signature;
} fed_enrol;
void fed_enrol_bytes(const fed_enrol *e, fl_buf *out); // what the signature covers

typedef struct {
    fed_order_key key;
    bool has_model;
    fed_digest model;        // object
    fed_model_id model_id;
    uint8_t table_hash[32];
    fed_round_no committed;
    double threshold;
    double temperature, conformal;  // of the job's uncertainty; 0 = none
    uint32_t histogram_bins;
    bool has_report;
    fed_digest report;       // object
    bool has_head;           // with every order of a run
    fed_audit_head head;     // of its audit record
    fed_signature head_signature;
    char run[FED_NAME_BYTES];
    char text[FED_TEXT_BYTES];
} fed_order;

/* How the text of an order to WAIT begins whose site a person at the coordinator has not confirmed. */
extern const char fed_unconfirmed[];

typedef struct {
    uint32_t version; // that it came in; 0 in one that is made
    fed_msg_type type;
    union {
        fed_enrol enrol;
        struct { fed_site_id site; char federation[FED_NAME_BYTES]; bool confirmed; } enrolled;
        struct { char software[65]; fed_digest job; fed_round_no committed; char environment[257]; } hello;
        struct { char federation[FED_NAME_BYTES]; fed_site_id site; int64_t time_ms; uint32_t beat_ms; } welcome;
        fed_order order;
        struct { fed_order_key key; fed_phase phase; uint64_t steps_done, steps_total; } beat;
        struct { fed_order_key key; fed_answer answer; bool mismatch; char text[FED_TEXT_BYTES]; } reply;
        struct { fed_digest object; uint32_t first, count; } fetch;
        fed_offer offer;
        struct { fed_digest digest; uint32_t next, credits; } grant;
        struct { fed_digest object; uint32_t index, n_pieces; uint64_t n_bytes; } piece;
        struct { fed_digest digest; bool accepted; char text[FED_TEXT_BYTES]; } verdict;
        fed_rotation rotate;
        struct { fed_verify_key sign; bool accepted; char text[FED_TEXT_BYTES]; } rotated;
        struct { uint32_t code; char text[FED_TEXT_BYTES]; } refused;
        struct { char text[FED_TEXT_BYTES]; } bye;
    } u;
} fed_msg;

/* Appends the packed header to out. */
void fed_msg_pack(const fed_msg *m, fl_buf *out);
/* For a peer that speaks an older version, FED_PROTOCOL_OLDEST at least. */
void fed_msg_pack_as(const fed_msg *m, uint32_t version, fl_buf *out);
/* FL_EFORMAT or FL_ELIMIT with the field's name; FL_EUNSUPPORTED for another
 * protocol version ("speaks protocol 2, this coordinator 1: upgrade ..."). */
fl_status fed_msg_unpack(fed_msg *out, const uint8_t *bytes, size_t n, fl_err *err) FL_MUST_CHECK;

/*
 * Copies what a text may hold (UTF-8 that can be printed), puts a blank for
 * each other byte, and cuts between two characters, before size.  Returns out.
 */
char *fed_msg_clean_text(char *out, size_t size, const char *in);

#endif
