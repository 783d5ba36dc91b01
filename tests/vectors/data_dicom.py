#!/usr/bin/env python3
"""Golden vectors of common/data/dicom.c, by pydicom and its codecs.

Writes tiny images of every transfer syntax and pixel layout to
tests/fuzz/corpus/dicom, which are also the seeds of the fuzz harness, and what
pydicom decodes in them, and in the samples of $CONSILIUM_DATA/dicom-pydicom
and dicom-nibabel, to tests/vectors/data_dicom.json: digests, sums, spacing.
For pixels with loss, which no two decoders give alike, the mean of 16 parts
of the image stands for the digest.  `refused` lists what pydicom does not
decode.  Never a pixel, never a field that names a person.
What pydicom has no decoder for is decoded by imagecodecs (retired JPEG, JPEG 2000 of
the second part), and the two makers' own syntaxes by NumPy.  HTJ2K is packed by OpenJPH,
retired JPEG by libjpeg's cjpeg (Debian: libjpeg-turbo-progs).  HTJ2K is a sample that
the reader refuses.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install pydicom numpy pillow \\
        pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg pylibjpeg-rle \\
        pyjpegls imagecodecs
    CONSILIUM_DATA=... /tmp/v/bin/python tests/vectors/data_dicom.py

Made with pydicom 3.0.2, pylibjpeg 2.1.0 and NumPy 2.4.6.
"""
import hashlib
import json
import logging
import os
import subprocess
import warnings

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.pixels.encoders import RLELosslessEncoder

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CORPUS = os.path.join(TOP, "fuzz", "corpus", "dicom")
UID = "1.2.840.10008.1.2"
LOSSY = {".4.50", ".4.51", ".4.52", ".4.53", ".4.54", ".4.55", ".4.56", ".4.81", ".4.91"}
GE, PHILIPS = "1.2.840.113619.5.2", "1.3.46.670589.33.1.4.1"
PARTS = 16


def number(d, *path):
    for key in path:
        value = d.get(key)
        if value not in (None, ""):
            return [float(v) for v in (value if hasattr(value, "__len__") else [value])]
    return None


def otherwise(d):
    """What pydicom does not decode; extended JPEG whose scan header is not quite right, too."""
    syntax = d.file_meta.TransferSyntaxUID if "file_meta" in dir(d) else ""
    if syntax in (GE, PHILIPS):
        return np.frombuffer(d.PixelData, (">" if syntax == GE else "<") + "i2")
    if syntax[len(UID):] in {".4.51", ".4.52", ".4.53", ".4.54", ".4.55", ".4.56"}:
        return imagecodecs.jpeg8_decode(next(generate_frames(d.PixelData, number_of_frames=1)))
    if syntax.endswith(".4.92"):
        n = int(d.get("NumberOfFrames") or 1)
        return np.stack([imagecodecs.jpeg2k_decode(f)
                         for f in generate_frames(d.PixelData, number_of_frames=n)])
    return None


def facts(path):
    """What client inspect tells, or why pydicom does not decode it."""
    try:
        d = pydicom.dcmread(path)
        a = pixel_array(d, raw=False)
    except Exception as e:
        a = otherwise(d)
        if a is None:
            return type(e).__name__
    n, samples = int(d.get("NumberOfFrames") or 1), d.SamplesPerPixel
    a = a.reshape(n, d.Rows, d.Columns, samples)
    if d.PhotometricInterpretation == "PALETTE COLOR":
        a = apply_color_lut(a[..., 0], d)
        samples = 3
    a = np.ascontiguousarray(a.astype(a.dtype.newbyteorder("<")))
    suffix = d.file_meta.TransferSyntaxUID[len(UID):]
    out = {
        "rows": d.Rows, "cols": d.Columns, "frames": n, "channels": samples,
        "photometric": d.PhotometricInterpretation,
        "bits": d.BitsStored if "PixelData" in d else d.BitsAllocated,
        "min": float(a.min()), "max": float(a.max()), "mean": float(a.astype("f8").mean()),
    }
    # JPEG lossless files carry the lossless .57 and .70; near-lossless ones count as lossy
    if suffix in LOSSY:
        parts = np.array_split(a.reshape(-1, samples).astype("f8"), PARTS)
        out["parts"] = [round(float(p.mean()), 4) for p in parts if len(p)]
    else:
        out["sha256"] = hashlib.sha256(a.tobytes()).hexdigest()
    slope = (number(d, "RescaleSlope") or [1.0])[0] if samples == 1 else 1.0
    inter = (number(d, "RescaleIntercept") or [0.0])[0] if samples == 1 else 0.0
    out["value_min"], out["value_max"] = out["min"] * slope + inter, out["max"] * slope + inter
    groups = d.get("SharedFunctionalGroupsSequence") or [Dataset()]
    measures = (groups[0].get("PixelMeasuresSequence") or [d])[0]  # enhanced images
    spacing = number(measures, "PixelSpacing") or number(d, "ImagerPixelSpacing") or [0.0, 0.0]
    depth = (number(measures, "SpacingBetweenSlices", "SliceThickness") or [0.0])[0]
    grid = number(d, "GridFrameOffsetVector")
    out["spacing_mm"] = [abs(grid[1] - grid[0]) if grid and len(grid) > 1 else depth] + spacing[:2]
    return out


def save(name, d, syntax, data=None):
    os.makedirs(CORPUS, exist_ok=True)
    path = os.path.join(CORPUS, name)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = UID + syntax if syntax[:1] in ("", ".") else syntax
    f = FileDataset(path, d, file_meta=meta, preamble=b"\0" * 128)
    pydicom.dcmwrite(path, f, implicit_vr=syntax in ("", GE), little_endian=syntax != ".2",
                     force_encoding=True)


def image(array, bits=None, photometric=None, syntax=".1", packed=None, **more):
    """array: (frames, rows, cols, samples)."""
    d = Dataset()
    d.SamplesPerPixel = array.shape[3]
    d.PhotometricInterpretation = photometric or ("RGB" if array.shape[3] == 3 else "MONOCHROME2")
    if array.shape[3] == 3:
        d.PlanarConfiguration = 0
    d.Rows, d.Columns = array.shape[1:3]
    if array.shape[0] > 1:
        d.NumberOfFrames = array.shape[0]
    d.BitsAllocated = 8 * array.dtype.itemsize
    d.BitsStored = bits or d.BitsAllocated
    d.HighBit = d.BitsStored - 1
    d.PixelRepresentation = 1 if array.dtype.kind == "i" else 0
    d.PixelSpacing, d.SliceThickness = [0.5, 0.75], 2.5
    for key, value in more.items():
        setattr(d, key, value)
    if packed is not None:
        d.PixelData = encapsulate(packed)
        d["PixelData"].is_undefined_length = True
    else:
        raw = array.astype(array.dtype.newbyteorder(">" if syntax == ".2" else "<")).tobytes()
        d.PixelData = raw + b"\0" * (len(raw) % 2)
    d["PixelData"].VR = "OW" if array.dtype.itemsize > 1 else "OB"
    return d


def make():
    rng = np.random.default_rng(5)
    r, c = np.meshgrid(np.arange(9), np.arange(10), indexing="ij")

    def smooth(top, low=0, frames=1, samples=1, dtype="u2"):
        s = np.arange(samples)
        x = [low + (top - low) * (0.5 + 0.4 * np.sin(0.5 * r + k)[..., None] *
                                  np.cos(0.4 * c[..., None] - s)) for k in range(frames)]
        return np.stack(x).astype(dtype)

    def noise(dtype, low, high, frames=1, samples=1):
        return rng.integers(low, high, (frames, 9, 10, samples)).astype(dtype)

    for syntax, label in (("", "implicit"), (".1", "explicit"), (".2", "big")):
        save(f"{label}-u8.dcm", image(noise("u1", 0, 256), syntax=syntax), syntax)
        save(f"{label}-i16.dcm", image(noise("i2", -2048, 2048), syntax=syntax, RescaleSlope=1,
                                       RescaleIntercept=-1024), syntax)
        save(f"{label}-rgb.dcm", image(noise("u1", 0, 256, samples=3), syntax=syntax), syntax)
    save("deflated.dcm", image(noise("u2", 0, 4096), 12), ".1.99")
    save("mono1.dcm", image(noise("u2", 0, 4096), 12, "MONOCHROME1"), ".1")
    save("frames.dcm", image(noise("u2", 0, 4096, frames=3), 12, SpacingBetweenSlices=3,
                             ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                             ImagePositionPatient=[-10, -20, 30]), ".1")
    save("u32.dcm", image(noise("u4", 0, 1 << 32)), ".1")
    planes = noise("u1", 0, 256, samples=3)
    d = image(planes, PlanarConfiguration=1)
    d.PixelData = np.transpose(planes, (0, 3, 1, 2)).tobytes()
    save("planar.dcm", d, ".1")
    save("ybr.dcm", image(noise("u1", 16, 236, samples=3), photometric="YBR_FULL"), ".1")
    d = image(noise("u1", 0, 20), photometric="PALETTE COLOR")
    for i, colour in enumerate(("Red", "Green", "Blue")):
        setattr(d, colour + "PaletteColorLookupTableDescriptor", [16, 2, 16])
        setattr(d, colour + "PaletteColorLookupTableData",
                rng.integers(0, 65536, 16).astype("<u2").tobytes())
    save("palette.dcm", d, ".1")
    bits = noise("u1", 0, 2, frames=3)
    d = image(bits, 1, BitsAllocated=1)
    d.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes()
    save("bits.dcm", d, ".1")

    def rle(frame):
        return RLELosslessEncoder.encode(
            frame.squeeze(), rows=9, columns=10, samples_per_pixel=frame.shape[2],
            number_of_frames=1, planar_configuration=0, bits_allocated=8 * frame.dtype.itemsize,
            bits_stored=8 * frame.dtype.itemsize, pixel_representation=int(frame.dtype.kind == "i"),
            photometric_interpretation="RGB" if frame.shape[2] == 3 else "MONOCHROME2")

    for name, a in (("u8", noise("u1", 0, 4)), ("i16", noise("i2", -300, 300, frames=2)),
                    ("rgb", noise("u1", 0, 4, samples=3))):
        save(f"rle-{name}.dcm", image(a, packed=[rle(f) for f in a]), ".5")

    def packed(name, syntax, a, bits, encode, photometric=None):
        frames = [encode(f[..., 0] if a.shape[3] == 1 else f) for f in a]
        save(name, image(a, bits, photometric, packed=frames), syntax)

    gray, deep = smooth(255, dtype="u1"), smooth(4095)
    colour, wide = smooth(255, samples=3, dtype="u1"), smooth(65535)
    packed("jpeg.dcm", ".4.50", gray, 8, lambda x: imagecodecs.jpeg8_encode(x, level=90))
    packed("jpeg-colour.dcm", ".4.50", colour, 8, lambda x: imagecodecs.jpeg8_encode(
        x, level=90, colorspace="RGB", outcolorspace="YCbCr", subsampling="444"), "YBR_FULL")
    for predictor in range(1, 8):
        packed(f"lossless-{predictor}.dcm", ".4.57", wide, 16,
               lambda x, p=predictor: lossless(x, p))
    packed("lossless-u8.dcm", ".4.70", gray, 8, lambda x: lossless(x, 1, 8))
    packed("lossless-frames.dcm", ".4.70", smooth(4095, frames=2), 12, lambda x: lossless(x, 4, 12))
    packed("lossless-restart.dcm", ".4.57", deep, 12, lambda x: lossless(x, 6, 12, 3))
    packed("ls.dcm", ".4.80", deep, 12, lambda x: imagecodecs.jpegls_encode(x))
    packed("ls-colour.dcm", ".4.80", colour, 8, lambda x: imagecodecs.jpegls_encode(x))
    packed("ls-near.dcm", ".4.81", gray, 8, lambda x: imagecodecs.jpegls_encode(x, level=2))
    packed("j2k.dcm", ".4.90", deep, 16, lambda x: imagecodecs.jpeg2k_encode(
        x, codecformat="J2K", reversible=True, level=0))
    packed("j2k-colour.dcm", ".4.90", colour, 8, lambda x: imagecodecs.jpeg2k_encode(
        x, codecformat="J2K", reversible=True, level=0, mct=True), "YBR_RCT")
    packed("ls-wide.dcm", ".4.80", smooth(2000, -2000, dtype="i2").view("u2"), 16,
           lambda x: imagecodecs.jpegls_encode(x))
    packed("j2k-lossy.dcm", ".4.91", deep, 16, lambda x: imagecodecs.jpeg2k_encode(
        x, codecformat="J2K", level=60))
    packed("jpeg12.dcm", ".4.51", deep, 12, lambda x: imagecodecs.jpeg8_encode(
        x, level=95, bitspersample=12))
    packed("jpeg12-colour.dcm", ".4.51", smooth(4095, samples=3), 12,
           lambda x: imagecodecs.jpeg8_encode(x, level=95, bitspersample=12, colorspace="RGB",
                                              outcolorspace="RGB", subsampling="444"), "RGB")
    save("i8.dcm", image(noise("i1", -128, 128), RescaleSlope=0.5, RescaleIntercept=3), ".1")
    save("i12.dcm", image(noise("i2", -2048, 2048), 12), ".1")
    save("mono1-u8.dcm", image(noise("u1", 0, 256), photometric="MONOCHROME1"), "")
    d = image(noise("u1", 0, 20), photometric="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(d, colour + "PaletteColorLookupTableDescriptor", [16, 0, 8])
        setattr(d, colour + "PaletteColorLookupTableData",
                rng.integers(0, 256, 16).astype("u1").tobytes())
    save("palette8.dcm", d, ".1")
    d = image(noise("u1", 16, 236, samples=3), photometric="YBR_FULL_422")
    d.PixelData = noise("u1", 16, 236, samples=2).tobytes()
    save("ybr422.dcm", d, ".1")
    more(rng, noise, smooth, packed)
    return {name: facts(os.path.join(CORPUS, name)) for name in sorted(os.listdir(CORPUS))
            if name != "ht.dcm"}


def palette(d, segments, bits):
    for colour, numbers in zip(("Red", "Green", "Blue"), segments):
        setattr(d, colour + "PaletteColorLookupTableDescriptor", [32, 0, bits])
        raw = np.array(numbers, f"<u{bits // 8}").tobytes()
        setattr(d, f"Segmented{colour}PaletteColorLookupTableData", raw + b"\0" * (len(raw) % 2))
    return d


def more(rng, noise, smooth, packed):
    """Later additions, so that the earlier files keep their random numbers."""
    # runs, lines and, in 8 bits, where pydicom counts as the standard does, a repetition
    wide = [[0, 4, 100 + k, 2000, 3000, 4000, 1, 20, 64000 - k, 1, 8, 10] for k in range(3)]
    save("palette-segments.dcm", palette(image(noise("u1", 0, 40), photometric="PALETTE COLOR"),
                                         wide, 16), ".1")
    narrow = [[0, 4, 10 + k, 20, 30, 40, 1, 10, 250 - k, 2, 2, 0, 0, 0, 0, 1, 4, 5] for k in range(3)]
    save("palette8-segments.dcm", palette(image(noise("u1", 0, 40), photometric="PALETTE COLOR"),
                                          narrow, 8), ".1")
    d = image(noise("i2", -300, 300), 12, "PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(d, colour + "PaletteColorLookupTableDescriptor", [400, -200, 16])
        d[colour + "PaletteColorLookupTableDescriptor"].VR = "SS"
        setattr(d, colour + "PaletteColorLookupTableData",
                rng.integers(0, 65536, 400).astype("<u2").tobytes())
    save("palette-i12.dcm", d, ".1")
    save("u10.dcm", image(noise("u2", 0, 1 << 10), 10), ".1")
    save("i12-big.dcm", image(noise("i2", -2048, 2048), 12, syntax=".2"), ".2")

    stored = noise("i2", -2048, 2048)
    save("philips.dcm", image(stored), PHILIPS)
    d = image(stored)
    d.PixelData = stored.astype(">i2").tobytes()
    save("ge.dcm", d, GE)

    gray, deep = smooth(255, dtype="u1"), smooth(4095)
    packed("ht.dcm", ".4.201", deep, 16,
           lambda x: imagecodecs.htj2k_encode(x, reversible=True))

    def part_2(x):
        b = bytearray(imagecodecs.jpeg2k_encode(x, codecformat="J2K", reversible=True, level=0))
        b[6:8] = b"\x80\0"  # Rsiz: of the second part, whose extensions it does not use
        return bytes(b)

    packed("j2k-part2.dcm", ".4.92", smooth(4095, frames=2), 16, part_2)

    def cjpeg(x, *options):
        pgm = b"P5\n10 9\n255\n" + x.tobytes()
        return subprocess.run(["cjpeg", "-quality", "90", *options], input=pgm, check=True,
                              capture_output=True).stdout

    scans = os.path.join(CORPUS, "scans")
    with open(scans, "w") as f:
        f.write("0: 0-0, 0, 0;\n0: 1-9, 0, 0;\n0: 10-63, 0, 0;\n")
    for syntax, name, options in ((".4.52", "arithmetic", ["-arithmetic"]),
                                  (".4.53", "spectral", ["-scans", scans]),
                                  (".4.55", "progressive", ["-progressive"]),
                                  (".4.56", "progressive-arithmetic",
                                   ["-progressive", "-arithmetic"])):
        packed(f"jpeg-{name}.dcm", syntax, gray, 8, lambda x, o=options: cjpeg(x, *o))
    os.remove(scans)


def seed_series(slices):
    """What fuzz_series.c starts from: the first slices, each after its length."""
    folder = os.path.join(TOP, "fuzz", "corpus", "series")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "oblique"), "wb") as f:
        for b in slices[:4]:
            f.write(len(b).to_bytes(2, "little") + b)


def series():
    """Oblique slices under names in another order than their places, scaled one by one as PET is.

    sha256 is of the samples in the order of the places; the affine is to RAS.
    """
    folder = os.path.join(TOP, "vectors", "dicom_series")
    os.makedirs(folder, exist_ok=True)
    rng = np.random.default_rng(6)
    angle = np.deg2rad(20)
    x = np.array([np.cos(angle), np.sin(angle), 0])
    y = np.array([0, 0, -1.0])
    normal, start, step = np.cross(x, y), np.array([-10.0, 20.0, 30.0]), 2.4
    stored = rng.integers(-500, 3000, (5, 6, 7)).astype("<i2")
    slopes = np.round(1 + 0.25 * np.arange(5), 2)
    names = ["IM4", "IM2", "IM5", "IM1", "IM3"]
    for k, name in enumerate(names):
        at = np.round(start + k * step * normal, 4)
        d = image(stored[k][None, ..., None], RescaleSlope=slopes[k], RescaleIntercept=-10,
                  ImagePositionPatient=list(at), SeriesInstanceUID="1.2.3.4",
                  ImageOrientationPatient=[round(float(v), 8) for v in (*x, *y)])
        save(os.path.join(folder, name), d, ".1")
    seed_series([open(os.path.join(folder, name), "rb").read() for name in names])
    first, last = np.round(start, 4), np.round(start + 4 * step * normal, 4)
    lps = np.stack([x * 0.75, y * 0.5, (last - first) / 4, first], 1)
    values = stored * slopes[:, None, None] - 10
    return {"frames": 5, "rows": 6, "cols": 7, "min": float(stored.min()),
            "max": float(stored.max()), "mean": float(stored.mean()),
            "value_sums": [float(v.sum()) for v in values],
            "spacing_mm": [step, 0.5, 0.75], "affine": (np.diag([-1, -1, 1]) @ lps).ravel().tolist(),
            "sha256": hashlib.sha256(stored.tobytes()).hexdigest()}


def lossless(x, predictor, bits=16, restart_lines=0):
    """T.81 annex H in a few lines: one table of 5-bit codes for 17 categories."""
    rows, cols = x.shape
    x = x.astype(int)
    seg = lambda m, b: bytes([0xff, m]) + (len(b) + 2).to_bytes(2, "big") + b
    counts = [0] * 16
    counts[4] = 17
    head = b"\xff\xd8" + seg(0xc4, bytes([0] + counts + list(range(17))))
    head += seg(0xc3, bytes([bits]) + rows.to_bytes(2, "big") + cols.to_bytes(2, "big") +
                bytes([1, 1, 0x11, 0]))
    if restart_lines:
        head += seg(0xdd, (restart_lines * cols).to_bytes(2, "big"))
    head += seg(0xda, bytes([1, 1, 0, predictor, 0, 0]))
    out, text = b"", ""

    def flush(text):
        text += "1" * (-len(text) % 8)
        raw = bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8))
        return raw.replace(b"\xff", b"\xff\x00")

    for y in range(rows):
        fresh = y == 0
        if restart_lines and y and y % restart_lines == 0:
            out += flush(text) + bytes([0xff, 0xd0 + (y // restart_lines - 1) % 8])
            text, fresh = "", True
        for k in range(cols):
            if fresh:
                guess = x[y, k - 1] if k else 1 << (bits - 1)
            elif k == 0:
                guess = x[y - 1, 0]
            else:
                a, b, c = x[y, k - 1], x[y - 1, k], x[y - 1, k - 1]
                guess = [a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1),
                         (a + b) >> 1][predictor - 1]
            diff = int(x[y, k] - guess + 32768) % 65536 - 32768
            size = abs(diff).bit_length()
            text += format(size, "05b")
            if 0 < size < 16:
                text += format(diff if diff > 0 else diff + (1 << size) - 1, f"0{size}b")
    return head + out + flush(text) + b"\xff\xd9"


def samples(top):
    out, refused = {}, {}
    for part in ("dicom-pydicom", "dicom-nibabel"):
        for folder, _, names in os.walk(os.path.join(top, part)):
            for name in sorted(names):
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    if f.read(132)[128:] != b"DICM":
                        continue
                found = facts(path)
                key = os.path.relpath(path, top)
                (refused if isinstance(found, str) else out)[key] = found
    return out, refused


def rows(items):
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}"
                              for k, v in sorted(items.items())) + "\n}"


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    made = make()
    stack = series()
    real, refused = samples(os.environ["CONSILIUM_DATA"])
    with open(os.path.join(TOP, "vectors", "data_dicom.json"), "w") as f:
        f.write('{"made": ' + rows(made) + ',\n"series": ' + json.dumps(stack) + ',\n"samples": ' + rows(real) +
                ',\n"refused": ' + rows(refused) + "}\n")


main()
