#!/usr/bin/env python3
"""Writes fed_golden.json: what common/fed must compute, from the standard
library alone (hashlib's BLAKE2b, Ed25519 after RFC 8032 section 6, exact
fractions), so that the C code is not its own witness.

    python3 tests/vectors/fed_vectors.py > tests/vectors/fed_golden.json
"""
import hashlib
import json
import struct
from fractions import Fraction


# ---- Ed25519, RFC 8032 section 6 (slow and plain)
P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
Q = 2**252 + 27742317777372353535851937790883648493
I = pow(2, (P - 1) // 4, P)


def add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e = (y1 - x1) * (y2 - x2) % P
    f = (y1 + x1) * (y2 + x2) % P
    g = 2 * t1 * t2 * D % P
    h = 2 * z1 * z2 % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(s, point):
    out = (0, 1, 1, 0)
    while s > 0:
        if s & 1:
            out = add(out, point)
        point = add(point, point)
        s >>= 1
    return out


def compress(point):
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def recover_x(y):
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P != 0:
        x = x * I % P
    return x if x % 2 == 0 else P - x


BY = 4 * pow(5, P - 2, P) % P
BX = recover_x(BY)
BASE = (BX, BY, 1, BX * BY % P)


def expand(seed):
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little")
    return (a & (1 << 254) - 8) | 1 << 254, h[32:]


def public_of(seed):
    return compress(times(expand(seed)[0], BASE))


def ed25519(seed, message):
    a, prefix = expand(seed)
    public = public_of(seed)
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % Q
    big_r = compress(times(r, BASE))
    h = int.from_bytes(hashlib.sha512(big_r + public + message).digest(), "little") % Q
    return big_r + ((r + h * a) % Q).to_bytes(32, "little")


# RFC 8032, section 7.1, test 3.
seed3 = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
assert ed25519(seed3, b"\xaf\x82").hex() == (
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a")


# ---- X25519, RFC 7748 section 5
def x25519_public(secret):
    k = bytearray(secret)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    scalar = int.from_bytes(k, "little")
    x1, x2, z2, x3, z3 = 9, 1, 0, 9, 1
    swap = 0
    for t in reversed(range(255)):
        bit = scalar >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b = x2 + z2, x2 - z2
        e = a * a - b * b
        da, cb = (x3 - z3) * a % P, (x3 + z3) * b % P
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = a * a * b * b % P, e * (a * a + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


# RFC 7748, section 6.1: Alice's keys.
assert x25519_public(bytes.fromhex(
    "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")).hex() == (
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")


# ---- ours
def blake2b(label, data):
    return hashlib.blake2b(data, digest_size=32, key=label.encode().ljust(16, b"\0")).digest()


def pieces(encoding, items):
    """items: bytes of all values; yields packed pieces."""
    size = 4 if encoding == 1 else 1
    for at in range(0, len(items), 4 * 65536):
        part = items[at:at + 4 * 65536]
        yield struct.pack("<B3xI", encoding, len(part) // size) + part


def tree(encoding, items):
    all_pieces = list(pieces(encoding, items))
    n_bytes = sum(map(len, all_pieces))
    leaves = b"".join(blake2b("consilium piece", p) for p in all_pieces)
    digest = blake2b("consilium tree", struct.pack("<QI", n_bytes, len(all_pieces)) + leaves)
    return n_bytes, len(all_pieces), digest


def text(t):
    return bytes([len(t)]) + t.encode()


def signature(seed, label, data):
    return ed25519(seed, blake2b("consilium sign", text(label) + data))


def varint(x):
    out = b""
    while True:
        out += bytes([x & 127 | (128 if x > 127 else 0)])
        x >>= 7
        if x == 0:
            return out


def field(number, value):
    """Protobuf: bytes and text, or a number that is left out when zero."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value if value else b""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value) if value else b""
    return varint(number << 3) + varint(value) if value else b""


def values(n):
    """float32: 0.5, -1.5, 2.5, ... small enough to be exact."""
    return struct.pack("<%df" % n, *[(i % 1000 + 0.5) * (-1 if i % 2 else 1) for i in range(n)])


out = {}
out["tree"] = []
for encoding, n in ((1, 1), (1, 65536), (1, 65536 * 2 + 5), (0, 1), (0, 262144), (0, 262149)):
    items = values(n) if encoding == 1 else bytes(i * 7 % 256 for i in range(n))
    n_bytes, n_pieces, digest = tree(encoding, items)
    out["tree"].append({"encoding": encoding, "n": n, "n_bytes": n_bytes,
                        "n_pieces": n_pieces, "digest": digest.hex()})

curve_secret = bytes(range(1, 33))
sign_seed = bytes(range(101, 133))
curve_public = x25519_public(curve_secret)
sign_public = public_of(sign_seed)
finger = blake2b("consilium finger", curve_public + sign_public)[:16].hex()
out["identity"] = {
    "curve_secret": curve_secret.hex(), "sign_seed": sign_seed.hex(),
    "curve_public": curve_public.hex(), "sign_public": sign_public.hex(),
    "fingerprint": "-".join(finger[i:i + 4] for i in range(0, 32, 4)),
}

enrol_body = bytes(range(16)) + text("nord") + sign_public + curve_public
out["enrol"] = {"bytes": enrol_body.hex(),
                "signature": signature(sign_seed, "consilium enrol 1", enrol_body).hex()}

job, base, table, payload = (bytes([x]) * 32 for x in (1, 2, 3, 4))
scalars = [("loss", 0.75), ("n_train", 640.0), ("steps", 20.0)]
offer_body = (struct.pack("<I", 2) + job + struct.pack("<I", 7) + base + text("nord") +
              struct.pack("<I", len(scalars)) +
              b"".join(text(name) + struct.pack("<d", v) for name, v in scalars) +
              table + struct.pack("<QI", 40000, 1) + payload)
offer_signature = signature(sign_seed, "consilium contribution 1", offer_body)
wire = field(1, 2) + field(18, b"".join(
    [field(1, 2), field(2, job), field(3, 7), field(4, base), field(5, "nord")] +
    [field(6, field(1, name) + field(2, v)) for name, v in scalars] +
    [field(7, table), field(8, 40000), field(9, 1), field(10, payload),
     field(11, offer_signature)]))
# Two lines of an audit record and the head behind them.
line_1 = b'{"prev":"%s","seq":1,"what":"run"}' % (b"0" * 64)
line_2 = b'{"prev":"%s","seq":2,"what":"state"}' % hashlib.sha256(line_1).hexdigest().encode()
last = hashlib.sha256(line_2).digest()
head = text("chest") + job + struct.pack("<Q", 2) + last
out["audit"] = {"lines": [line_1.decode(), line_2.decode()], "last": last.hex(),
                "signature": signature(sign_seed, "consilium audit 1", head).hex()}

out["offer"] = {"bytes": offer_body.hex(), "signature": offer_signature.hex(),
                "wire": wire.hex()}


# ---- the exact sum
def float32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def rint(x):
    """Half to even, exactly."""
    floor = x.numerator // x.denominator
    rest = x - floor
    up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2 == 1)
    return floor + up


def nearest_float32(x):
    """The float32 nearest to an exact fraction, half to even."""
    if x == 0:
        return 0.0
    exponent = -149
    while abs(x) >= Fraction(2) ** (exponent + 24):
        exponent += 1
    return float(rint(x / Fraction(2) ** exponent) * Fraction(2) ** exponent)


state = 12345


def noise():
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return state >> 33


out["accum"] = []
for scale, bits, exponents in (("trained", 32, range(-40, 7)), ("stat", 16, range(-20, 23))):
    weights = [1, 3, 640, 65536, 2**24 - 66180]
    n = 60
    d = [[float32((noise() / 2**31 - 0.5) * 2.0 ** (exponents[noise() % len(exponents)]))
          for _ in range(n)] for _ in weights]
    d[0][0] = d[1][0] = d[2][0] = d[3][0] = d[4][0] = -float32(2.0**(exponents[-1] + 1) * (1 - 2**-24))
    sums = [sum(rint(w * Fraction(row[i]) * 2**bits) for w, row in zip(weights, d))
            for i in range(n)]
    mean = [nearest_float32(Fraction(q, 2**bits * sum(weights))) for q in sums]
    out["accum"].append({"scale": scale, "weights": weights, "values": d,
                         "sums": [str(q) for q in sums], "mean": mean})

lines = (json.dumps(key) + ":" + json.dumps(value, separators=(",", ":"))
         for key, value in out.items())
print("{" + ",\n".join(lines) + "}")
