/*
 * dicom_jpeg.h - what the JPEG decoders of our own share
 *
 * Two processes of T.81 that DICOM files hold and no library in Debian 12 reads:
 * lossless (dicom_lossless.c) and sequential with 12 bits (dicom_dct.c).
 * Known to this folder only.
 */
#ifndef DATA_DICOM_JPEG_H
#define DATA_DICOM_JPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    JPEG_SOI = 0xd8,
    JPEG_EOI = 0xd9,
    JPEG_SOS = 0xda,
    JPEG_DHT = 0xc4,
    JPEG_DQT = 0xdb,
    JPEG_DRI = 0xdd,
    JPEG_RST0 = 0xd0,
    JPEG_MAX_CODE_BITS = 16,
    JPEG_SLOTS = 4,  // of tables of a kind
    JPEG_MAX_COMPONENTS = 3
};

/* One marker segment; body and n are its contents. */
typedef struct {
    int marker;
    const uint8_t *body;
    size_t n;
} jpeg_segment;

/* The segment at *at, which is then behind it; false where there is none. */
bool data_jpeg_next_segment(jpeg_segment *s, size_t *at, const uint8_t *bytes, size_t n);
bool data_jpeg_is_frame_header(int marker);  // SOFn
int data_jpeg_get_16(const uint8_t *p);

typedef struct {
    bool is_set;
    int first_code[JPEG_MAX_CODE_BITS + 1];  // smallest code of each length
    int n_codes[JPEG_MAX_CODE_BITS + 1];
    int first_value[JPEG_MAX_CODE_BITS + 1];  // where its values begin
    uint8_t value[256];
} huffman_table;

typedef struct {
    huffman_table dc[JPEG_SLOTS], ac[JPEG_SLOTS];  // lossless: dc only
} jpeg_tables;

/* Of a DHT segment; false when it is malformed. */
bool data_jpeg_read_tables(jpeg_tables *out, const jpeg_segment *s);

/* Entropy-coded bytes. */
typedef struct {
    const uint8_t *p, *end;
    uint32_t bits;
    int n_bits;
    bool starved;  // asked for more bits than there are
} jpeg_bits;

/* The next code's value, or -1 when there is no such code. */
int data_jpeg_next_value(jpeg_bits *b, const huffman_table *t);
/* The number of a category, that many bits: T.81 F.2.2.1, EXTEND. */
int data_jpeg_next_number(jpeg_bits *b, int category);
/* Steps over RST of this number; false when it is not there. */
bool data_jpeg_take_restart(jpeg_bits *b, int number);

#endif
