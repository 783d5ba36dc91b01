#!/usr/bin/env python3
"""Golden vectors of common/data, by NumPy, Pillow and pandas.

Writes small files to tests/fuzz/corpus/{image,npz,csv}, which are also the
seeds of the fuzz harnesses, and what independent readers see in them to
tests/vectors/data_files.json.  With CONSILIUM_DATA set it also writes
data_real.json: sums over real data sets (never a row of them), where the
heart-disease features follow FLamby's Fed-Heart-Disease
(Ogier du Terrail et al. 2022, flamby/datasets/fed_heart_disease/dataset.py).

    python3 -m venv /tmp/v && /tmp/v/bin/pip install numpy pillow pandas
    CONSILIUM_DATA=... /tmp/v/bin/python tests/vectors/data_vectors.py

Made with NumPy 2.x, Pillow 11+, pandas 2+; the JPEG pixels are libjpeg-turbo's.
"""
import hashlib
import io
import json
import os
import zipfile

import numpy as np
from PIL import Image, PngImagePlugin

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CORPUS = os.path.join(TOP, "fuzz", "corpus")


def save(folder, name, data):
    path = os.path.join(CORPUS, folder)
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, name), "wb") as f:
        f.write(data)


def facts(array, bits, photometric):
    """array: (rows, cols[, channels]) of uint8 or uint16."""
    a = np.atleast_3d(array)
    order = np.transpose(a, (2, 0, 1)).ravel().astype(float)
    return {
        "rows": a.shape[0], "cols": a.shape[1], "channels": a.shape[2],
        "bits": bits, "photometric": photometric,
        "min": float(a.min()), "max": float(a.max()), "mean": float(a.mean()),
        "sum_by_place": float((order * np.arange(1, order.size + 1)).sum()),
        "sha256": hashlib.sha256(a.astype(a.dtype.newbyteorder("<")).tobytes()).hexdigest(),
    }


def smooth(rows, cols, channels, top):
    """A picture without noise, so that JPEG is nearly lossless."""
    r, c, k = np.meshgrid(np.arange(rows), np.arange(cols), np.arange(channels), indexing="ij")
    return top * (0.5 + 0.4 * np.sin(0.3 * r + k) * np.cos(0.2 * c - k))


def images():
    out = {}
    rng = np.random.default_rng(1)

    def png(name, image, array, bits, photometric, **options):
        b = io.BytesIO()
        image.save(b, "PNG", **options)
        save("image", name, b.getvalue())
        out[name] = facts(array, bits, photometric)

    gray = rng.integers(0, 256, (7, 9), dtype=np.uint8)
    png("gray8.png", Image.fromarray(gray), gray, 8, "gray")
    deep = rng.integers(0, 65536, (6, 5), dtype=np.uint16)
    png("gray16.png", Image.fromarray(deep), deep, 16, "gray")
    rgb = rng.integers(0, 256, (8, 5, 3), dtype=np.uint8)
    png("rgb8.png", Image.fromarray(rgb), rgb, 8, "RGB")
    rgba = rng.integers(0, 256, (4, 6, 4), dtype=np.uint8)
    png("rgba8.png", Image.fromarray(rgba), rgba, 8, "RGB, alpha")
    la = rng.integers(0, 256, (5, 5, 2), dtype=np.uint8)
    png("gray-alpha.png", Image.fromarray(la, "LA"), la, 8, "gray, alpha")
    flat = Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    png("palette.png", flat, np.array(flat.convert("RGB")), 4, "palette")
    mask = Image.fromarray((gray > 127).astype(np.uint8) * 255).convert("1")
    png("mask1.png", mask, np.array(mask.convert("L")), 1, "gray")

    # Adam7, which Pillow reads but does not write: made by hand below.
    save("image", "interlaced.png", interlaced(gray))
    assert (np.array(Image.open(io.BytesIO(interlaced(gray)))) == gray).all()
    out["interlaced.png"] = facts(gray, 8, "gray")

    for name, mode, options in (("gray.jpg", 1, {}), ("rgb.jpg", 3, {"subsampling": 0}),
                                ("rgb420.jpg", 3, {"subsampling": 2}),
                                ("progressive.jpg", 3, {"progressive": True})):
        b = io.BytesIO()
        picture = smooth(24, 20, mode, 255).astype(np.uint8)
        Image.fromarray(picture.squeeze()).save(b, "JPEG", quality=90, **options)
        save("image", name, b.getvalue())
        seen = np.array(Image.open(io.BytesIO(b.getvalue())))
        out[name] = facts(seen, 8, "gray" if mode == 1 else "RGB")
        out[name]["values"] = np.transpose(np.atleast_3d(seen), (2, 0, 1)).ravel().tolist()

    for name, array in (("slice.npy", rng.normal(size=(5, 6)).astype(np.float32)),
                        ("stack.npy", rng.integers(-1000, 1000, (3, 4, 5), dtype=np.int16)),
                        ("no-float.npy", np.array([[0, 1e300]]))):
        b = io.BytesIO()
        np.save(b, array)
        save("image", name, b.getvalue())
    return out


def interlaced(gray):
    """A gray PNG in Adam7 order."""
    import struct
    import zlib

    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))

    h, w = gray.shape
    raw = b""
    for r0, c0, dr, dc in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4),
                           (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)):
        part = gray[r0::dr, c0::dc]
        if part.size:
            raw += b"".join(b"\0" + row.tobytes() for row in part)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 0, 0, 0, 1)) +
            chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def arrays():
    rng = np.random.default_rng(2)
    all_types = {}
    for kind in ("u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8", "b1", "u8", "i8"):
        for order in "<>":
            if kind[0] == "f":
                a = rng.normal(size=(2, 3)).astype(order + kind)
            elif kind[0] == "b":
                a = rng.integers(0, 2, (2, 3)).astype(bool)
            else:
                info = np.iinfo(kind)
                top = min(info.max, 2**53)
                a = rng.integers(max(info.min, -2**53), top, (2, 3)).astype(order + kind)
            all_types[kind + ("_le" if order == "<" else "_be")] = a
    all_types["fortran"] = np.asfortranarray(rng.normal(size=(2, 3, 4)))
    all_types["scalar"] = np.array(3.5)
    all_types["empty"] = np.zeros((0, 4), np.float32)

    b = io.BytesIO()
    np.savez(b, **all_types)
    save("npz", "types-stored.npz", b.getvalue())
    small = {k: all_types[k] for k in ("u1_le", "f4_be", "fortran")}
    b = io.BytesIO()
    np.savez_compressed(b, **small)
    save("npz", "deflated.npz", b.getvalue())

    for version in ((1, 0), (2, 0), (3, 0)):
        b = io.BytesIO()
        np.lib.format.write_array(b, np.arange(6, dtype="<i4").reshape(2, 3), version=version)
        save("npz", "version%d.npy" % version[0], b.getvalue())

    b = io.BytesIO()
    with zipfile.ZipFile(b, "w") as z:
        for split, n in (("train", 6), ("val", 2), ("test", 2)):
            for what, a in (("images", rng.integers(0, 256, (n, 4, 4), dtype=np.uint8)),
                            ("labels", (np.arange(n) % 2).astype(np.uint8).reshape(n, 1))):
                m = io.BytesIO()
                np.save(m, a)
                z.writestr(zipfile.ZipInfo("%s_%s.npy" % (split, what)), m.getvalue())
    save("npz", "medmnist.npz", b.getvalue())
    return {k: {"shape": list(a.shape), "values": a.astype(float).ravel(order="C").tolist()}
            for k, a in all_types.items()}


def tables():
    save("csv", "plain.csv", b"case,patient,value\n1,a,3.5\n2,b,4\n")
    save("csv", "quoted.csv", b'\xef\xbb\xbfname,"a ""b""",c\r\n"x, y","line\nbreak", z \r\n,"",\r\n')
    save("csv", "no-header.csv", b"63.0,1.0,?,145.0\n67.0,1.0,4.0,160.0\n\n")


def resizing():
    rng = np.random.default_rng(3)
    x = rng.random((12, 10)).astype(np.float32)

    def coverage(n, m):
        """(m, n): part of output cell i that input cell j covers."""
        w = np.zeros((m, n))
        for i in range(m):
            for j in range(n):
                w[i, j] = max(0, min((i + 1) * n / m, j + 1) - max(i * n / m, j)) * m / n
        return w

    out = {"x": x.ravel().tolist()}
    box = np.array(Image.fromarray(x).resize((5, 4), Image.Resampling.BOX))
    area = coverage(12, 4) @ x @ coverage(10, 5).T
    assert abs(box - area).max() < 1e-6  # Pillow's BOX is area averaging for whole ratios
    out["4x5"] = area.ravel().tolist()
    out["7x3"] = (coverage(12, 7) @ x @ coverage(10, 3).T).ravel().tolist()
    out["29x17"] = np.array(Image.fromarray(x).resize((17, 29), Image.Resampling.BILINEAR)).ravel().tolist()
    return out


# ------------------------------------------------------------ real data sets

HEART = "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num".split()
SITES = "cleveland hungarian switzerland va".split()


def heart(folder):
    import pandas as pd
    frames = []
    for site in SITES:
        f = pd.read_csv(os.path.join(folder, "processed.%s.data" % site), names=HEART, na_values="?")
        f["site"], f["row"] = site, range(len(f))
        frames.append(f)
    all_sites = pd.concat(frames).drop(columns=["slope", "ca", "thal"]).dropna()
    y = (all_sites["num"] > 0).astype(int).to_numpy()
    keys = all_sites[["site", "row"]].reset_index(drop=True)
    x = pd.get_dummies(all_sites.drop(columns=["num", "site", "row"]), columns=["cp", "restecg"],
                       drop_first=True).to_numpy(dtype=float)
    split = pd.read_csv(os.path.join(folder, "flamby_split_seed43.csv"))
    sets = keys.merge(split, left_on=["site", "row"], right_on=["centre", "row_in_processed_file"],
                      how="left", validate="one_to_one")
    assert sets["set"].notna().all() and (sets["label"].to_numpy() == y).all()
    train = (sets["set"] == "train").to_numpy()
    site = keys["site"].to_numpy()

    def summary(chosen):
        mean = x[chosen & train].mean(axis=0)
        sd = x[chosen & train].std(axis=0, ddof=1)
        z = (x - mean) / np.where(sd > 0, sd, 1)
        out = {"n": int(chosen.sum()), "features": x.shape[1]}
        for name, which in (("train", chosen & train), ("test", chosen & ~train)):
            w = np.sin(np.arange(1, which.sum() + 1))
            out[name] = {"n": int(which.sum()), "positive": int(y[which].sum()),
                         "squares": (z[which] ** 2).sum(axis=0).tolist(),
                         "waves": (w[:, None] * z[which]).sum(axis=0).tolist(),
                         "label_wave": float((w * y[which]).sum())}
        return out

    out = {s: summary(site == s) for s in SITES}
    out["pooled"] = summary(np.ones(len(y), bool))
    return out


def medmnist(path):
    z = np.load(path)
    out = {}
    for split in ("train", "val", "test"):
        images, labels = z[split + "_images"], z[split + "_labels"]
        flat = images.reshape(len(images), -1).astype(float)
        out[split] = {"n": len(images), "sum": float(flat.sum()),
                      "wave": float((np.sin(np.arange(1, flat.size + 1)) * flat.ravel()).sum()),
                      "positive": int(labels.sum())}
    return out


def photographs(data):
    """Real PNG and JPEG files: shape, digest (PNG) and mean."""
    out = {}
    for name in ("busi-subset/data/benign/images", "bccd/BCCD/JPEGImages"):
        folder = os.path.join(data, name)
        if not os.path.isdir(folder):
            continue
        for f in sorted(os.listdir(folder))[:5]:
            a = np.array(Image.open(os.path.join(folder, f)))
            entry = {"shape": list(np.atleast_3d(a).shape), "mean": float(a.mean())}
            if f.endswith(".png"):
                entry["sha256"] = hashlib.sha256(a.tobytes()).hexdigest()
            out[name + "/" + f] = entry
    return out


def write(name, value):
    with open(os.path.join(TOP, "vectors", name), "w") as f:
        sections = []
        for section, entries in value.items():
            lines = ["  %s: %s" % (json.dumps(k), json.dumps(v)) for k, v in entries.items()]
            sections.append("%s: {\n%s\n}" % (json.dumps(section), ",\n".join(lines)))
        f.write("{\n%s\n}\n" % ",\n".join(sections))  # a line an entry


def main():
    tables()
    write("data_files.json", {"images": images(), "arrays": arrays(), "resize": resizing()})
    data = os.environ.get("CONSILIUM_DATA")
    if data:
        write("data_real.json", {
            "heart": heart(os.path.join(data, "uci-heart")),
            "breastmnist": medmnist(os.path.join(data, "breastmnist", "breastmnist.npz")),
            "photographs": photographs(data),
        })


main()
