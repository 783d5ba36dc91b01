#!/usr/bin/env python3
"""Golden vectors of common/data/nifti.c, by nibabel.

Writes tiny volumes of every sample type, byte order and version to
tests/fuzz/corpus/nifti, which are also the seeds of the fuzz harness, and what
nibabel sees in them, and in the samples of $CONSILIUM_DATA/nifti-nibabel, to
tests/vectors/data_nifti.json.  Sums and digests only, never a voxel.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install nibabel
    CONSILIUM_DATA=... /tmp/v/bin/python tests/vectors/data_nifti.py

Made with nibabel 5.4.2 and NumPy 2.4.6.
"""
import gzip
import hashlib
import json
import os
import struct

import nibabel as nib
import numpy as np

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CORPUS = os.path.join(TOP, "fuzz", "corpus", "nifti")
UNIT_MM = {"meter": 1000.0, "micron": 0.001}


def facts(path):
    """Everything that client inspect tells, or None where nibabel reads no NIfTI."""
    try:
        image = nib.load(path)
        if isinstance(image, nib.Cifti2Image):
            image = nib.Nifti2Image.from_filename(path)
        if not isinstance(image, nib.Nifti1Pair):
            return None
        stored = np.asanyarray(image.dataobj.get_unscaled())
    except Exception:
        return None
    header = image.header
    colour = stored.dtype.fields is not None
    if colour:
        stored = np.stack([stored[f] for f in stored.dtype.names], -1)
        values = stored.astype(np.float64)
    else:
        values = image.get_fdata(dtype=np.float64)
    shape = (tuple(header.get_data_shape()) + (1, 1, 1))[:3]
    stored = stored.reshape(shape + (-1,), order="F")
    values = values.reshape(shape + (-1,), order="F")
    # ours is (channels, frames, rows, cols) with axis i as columns
    ordered = np.transpose(values, (3, 2, 1, 0)).astype(np.float32)
    ordered[np.isnan(ordered)] = np.float32(np.nan)
    samples = np.transpose(stored, (2, 1, 0, 3))
    little = samples.dtype.newbyteorder("<")
    finite = stored[np.isfinite(stored)].astype(np.float64)
    mm = UNIT_MM.get(header.get_xyzt_units()[0], 1.0)
    out = {
        "format": "NIfTI-2" if header["sizeof_hdr"] == 540 else "NIfTI-1",
        "cols": shape[0], "rows": shape[1], "frames": shape[2],
        "channels": stored.shape[3], "bits": 8 * stored.dtype.itemsize,
        "photometric": {1: "gray", 3: "RGB", 4: "RGB, alpha"}[stored.shape[3]] if colour else "gray",
        "min": float(finite.min()), "max": float(finite.max()), "mean": float(finite.mean()),
        "values_sum": float(np.nansum(ordered.astype(np.float64))),
        "values_sha256": hashlib.sha256(ordered.astype("<f4").tobytes()).hexdigest(),
        "sha256": hashlib.sha256(np.ascontiguousarray(samples.astype(little)).tobytes()).hexdigest(),
    }
    zooms = [float(z) * mm for z in header.get_zooms()[:3]]
    out["spacing_mm"] = ([0.0] * (3 - len(zooms))) + zooms[::-1]
    if header["sform_code"] > 0 or header["qform_code"] > 0:
        affine = image.affine.copy()
        affine[:3] *= mm
        out["affine"] = [float(v) for v in affine[:3].ravel()]
        out["orientation"] = "".join(nib.aff2axcodes(affine))
    return out


def save(name, data):
    os.makedirs(CORPUS, exist_ok=True)
    with open(os.path.join(CORPUS, name), "wb") as f:
        f.write(data)


def make():
    rng = np.random.default_rng(3)

    def volume(name, kind, version=1, order="<", shape=(4, 3, 2), slope=None, inter=0.0,
               place="sform", units="mm"):
        dtype = np.dtype(kind)
        if dtype.kind == "f":
            array = rng.normal(0, 100, shape).astype(dtype)
        else:
            i = np.iinfo(dtype)
            array = rng.integers(i.min, i.max, shape, dtype=dtype, endpoint=True)
        cls = nib.Nifti1Image if version == 1 else nib.Nifti2Image
        head = (nib.Nifti1Header if version == 1 else nib.Nifti2Header)(
            endianness=order)
        head.set_data_dtype(dtype)
        image = cls(array, None, head)
        write(name, image, array, order, slope, inter, place, units)

    def write(name, image, array, order, slope, inter, place, units):
        head = image.header
        c, s = np.cos(0.3), np.sin(0.3)
        affine = np.array([[-2 * c, 1.5 * s, 0, 10], [2 * s, 1.5 * c, 0, -20.5], [0, 0, 3, 7],
                           [0, 0, 0, 1.0]])
        if place == "sform":
            image.set_sform(affine, 1)
            image.set_qform(None, 0)
            head["pixdim"][1:4] = [2, 1.5, 3]
        elif place == "qform":
            image.set_sform(None, 0)
            image.set_qform(affine, 2)
        else:
            image.set_sform(None, 0)
            image.set_qform(None, 0)
        head.set_xyzt_units(units, "sec")
        if slope is not None:
            head["scl_slope"], head["scl_inter"] = slope, inter
        flat = array.astype(array.dtype.newbyteorder(order)) if array.dtype.fields is None else array
        head["vox_offset"] = 544 if head["sizeof_hdr"] == 540 else 352
        data = head.binaryblock + b"\0\0\0\0" + flat.tobytes(order="F")
        if name.endswith(".gz"):
            data = gzip.compress(data, mtime=0)
        save(name, data)

    for kind in ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]:
        for order, label in (("<", "le"), (">", "be")):
            volume(f"{kind}-{label}.nii", kind, order=order)
    volume("nifti2-be.nii", "i2", version=2, order=">", slope=0.5, inter=-3)
    volume("nifti2.nii.gz", "f4", version=2)
    volume("scaled.nii.gz", "i2", slope=0.1, inter=-1024)
    volume("qform.nii", "u1", place="qform")
    volume("nowhere.nii", "u1", place="none")
    volume("flat.nii", "u1", shape=(5, 4))
    volume("time.nii", "i2", shape=(4, 3, 2, 3))
    volume("metres.nii", "u1", units="meter")
    colour = np.zeros((4, 3, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    for f in colour.dtype.names:
        colour[f] = rng.integers(0, 256, colour.shape)
    head = nib.Nifti1Header()
    head.set_data_dtype(colour.dtype)
    write("colour.nii", nib.Nifti1Image(colour, None, head), colour, "<", None, 0, "sform", "mm")
    # a pair: the header of time.nii with the pixels elsewhere
    with open(os.path.join(CORPUS, "time.nii"), "rb") as f:
        data = bytearray(f.read())
    data[344:348] = b"ni1\0"
    data[108:112] = struct.pack("<f", 16)
    save("pair.hdr", bytes(data[:348]))
    save("pair.img", b"\0" * 16 + bytes(data[352:]))
    return {name: facts(os.path.join(CORPUS, name)) for name in sorted(os.listdir(CORPUS))
            if not name.endswith(".img")}


def samples(top):
    out, refused = {}, []
    for folder, _, names in os.walk(os.path.join(top, "nifti-nibabel")):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name in ("COPYING", "README.txt", "README.rst"):
                continue
            found = facts(path)
            if found is None:
                refused.append(os.path.relpath(path, top))
            else:
                out[os.path.relpath(path, top)] = found
    return out, refused


def rows(items):
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in items.items()) + "\n}"


def main():
    made = make()
    real, refused = samples(os.environ["CONSILIUM_DATA"])
    with open(os.path.join(TOP, "vectors", "data_nifti.json"), "w") as f:
        f.write('{"made": ' + rows(made) + ',\n"samples": ' + rows(real) +
                ',\n"refused": ' + json.dumps(sorted(refused)) + "}\n")


main()
