#!/usr/bin/env python3
"""The first numbers of a random stream, made without our code.

Prints the constants of tests/base/test_rng.c: a stream is the ChaCha20 key
stream (RFC 7539's block function, 64-bit counter, zero nonce) under the
BLAKE2b digest of the stream's name.
"""
import hashlib
import struct

MASK = 0xFFFFFFFF


def quarter(s, a, b, c, d):
    for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & MASK
        s[z] ^= s[x]
        s[z] = ((s[z] << turn) | (s[z] >> (32 - turn))) & MASK


def block(key, counter):
    start = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    start += [counter & MASK, counter >> 32, 0, 0]
    s = start[:]
    for _ in range(10):
        quarter(s, 0, 4, 8, 12)
        quarter(s, 1, 5, 9, 13)
        quarter(s, 2, 6, 10, 14)
        quarter(s, 3, 7, 11, 15)
        quarter(s, 0, 5, 10, 15)
        quarter(s, 1, 6, 11, 12)
        quarter(s, 2, 7, 8, 13)
        quarter(s, 3, 4, 9, 14)
    return struct.pack("<16I", *((a + b) & MASK for a, b in zip(s, start)))


def text(value):
    return struct.pack("<Q", len(value)) + value


def key(seed, purpose, site, round_no):
    name = struct.pack("<Q", seed) + text(purpose) + text(site) + struct.pack("<Q", round_no)
    label = b"consilium-rng-1".ljust(16, b"\0")
    return hashlib.blake2b(name, digest_size=32, key=label).digest()


k = key(42, b"init", b"north", 5)
words = struct.unpack("<8Q", block(k, 0))
print(", ".join("0x%016x" % w for w in words[:4]))
print("0x%016x" % struct.unpack("<8Q", block(k, 8))[0])
