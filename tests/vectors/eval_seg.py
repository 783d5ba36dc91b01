#!/usr/bin/env python3
"""eval_seg.py - golden values for segmentation metrics, from other people's code

Writes eval_seg.json beside itself.  Made with scipy 1.17.1, scikit-learn 1.9.1,
numpy 2.4.6:
    python3 -m venv /tmp/v && /tmp/v/bin/pip install scikit-learn scipy
    /tmp/v/bin/python tests/vectors/eval_seg.py

Distances are scipy.ndimage's exact transform, surfaces its erosion, lesions its
labels; hd95 and surface dice are put together from them as MONAI does.  Dice
and IoU are scikit-learn's F1 and Jaccard.
"""
import json
import os

import numpy as np
from scipy import ndimage, stats
from sklearn import metrics as sk

HERE = os.path.dirname(os.path.abspath(__file__))


def surface(mask):
    return mask ^ ndimage.binary_erosion(mask)


def measure(pred, truth, spacing, tolerance):
    """pred, truth: bool, 2-D or 3-D, neither empty unless said."""
    out = {"n_pred": int(pred.sum()), "n_truth": int(truth.sum())}
    every = np.ones((3,) * pred.ndim)
    true_parts, out["n_lesions"] = ndimage.label(truth, every)
    pred_parts, n_pred_parts = ndimage.label(pred, every)
    out["n_found"] = len(set(true_parts[pred & truth].tolist()))
    out["n_false"] = n_pred_parts - len(set(pred_parts[pred & truth].tolist()))
    if not pred.any() and not truth.any():
        return out | {"dice": None, "iou": None, "hd95": None, "surface_dice": None}
    out["dice"] = sk.f1_score(truth.ravel(), pred.ravel(), zero_division=0)
    out["iou"] = sk.jaccard_score(truth.ravel(), pred.ravel(), zero_division=0)
    if not pred.any() or not truth.any():
        diagonal = float(np.hypot.reduce(np.array(pred.shape) * spacing))
        return out | {"hd95": diagonal, "surface_dice": 0.0}
    ps, ts = surface(pred), surface(truth)
    d_pred = ndimage.distance_transform_edt(~ts, sampling=spacing)[ps]
    d_truth = ndimage.distance_transform_edt(~ps, sampling=spacing)[ts]
    out["hd95"] = max(np.percentile(d_pred, 95), np.percentile(d_truth, 95))
    within = tolerance * (1 + 1e-12)
    out["surface_dice"] = ((d_pred <= within).sum() + (d_truth <= within).sum()) / (
        len(d_pred) + len(d_truth))
    return out


def blobs(rng, shape, n, low, high):
    at = np.indices(shape)
    mask = np.zeros(shape, bool)
    for _ in range(n):
        centre = [rng.uniform(0, s) for s in shape]
        radius = rng.uniform(low, high)
        mask |= sum((a - c) ** 2 for a, c in zip(at, centre)) <= radius ** 2
    return mask


def text(mask):
    return "".join("1" if v else "0" for v in mask.ravel())


def case(name, pred, truth, spacing, tolerance):
    shape = [1] * (3 - pred.ndim) + list(pred.shape)
    spacing = np.array(spacing if spacing is not None else [1.0] * pred.ndim)
    return {"name": name, "size": shape, "spacing": [1.0] * (3 - pred.ndim) + list(spacing),
            "tolerance": tolerance, "pred": text(pred), "truth": text(truth),
            "expect": measure(pred, truth, spacing, tolerance)}


def cases():
    rng = np.random.default_rng(20240601)
    out = []
    for i in range(6):
        shape = (24 + i, 31)
        truth = blobs(rng, shape, 3, 1, 6)
        pred = np.roll(truth, rng.integers(-2, 3, 2), (0, 1)) ^ (rng.random(shape) < 0.01)
        out.append(case(f"image {i}", pred, truth, [0.7, 0.9] if i % 2 else None, 1.0))
    for i in range(4):
        shape = (6, 13, 11)
        truth = blobs(rng, shape, 3, 1, 3.5)
        pred = np.roll(truth, 1, i % 3) | blobs(rng, shape, 1, 1, 2)
        out.append(case(f"volume {i}", pred, truth, [3.0, 0.8, 0.9], 2.0))
    empty = np.zeros((9, 8), bool)
    one = empty.copy()
    one[4, 5] = True
    full = ~empty
    out += [case("both empty", empty, empty, [0.5, 0.5], 2.0),
            case("empty prediction", empty, one, [0.5, 0.25], 2.0),
            case("empty truth", full, empty, None, 1.0),
            case("equal", one, one, None, 0.0),
            case("whole image", full, full, None, 1.0),
            case("a point and the whole", one, full, [2.0, 3.0], 2.0)]
    diagonal = np.eye(7, dtype=bool)
    out.append(case("corners touch", diagonal[::-1].copy(), diagonal, None, 1.0))
    return out


def distance():
    """Distances of a sparse set over an anisotropic grid."""
    rng = np.random.default_rng(5)
    to = rng.random((5, 9, 14)) < 0.02
    spacing = [2.5, 0.6, 1.1]
    return {"size": list(to.shape), "spacing": spacing, "to": text(to),
            "distance": ndimage.distance_transform_edt(~to, sampling=spacing).ravel()}


def over_cases(measured):
    """Means, lesions, Bland and Altman over the images in pixels and a copy of
    each, which is another case of the same patient."""
    pick = [m for m in measured if m["name"].startswith("image") and m["spacing"][2] == 1.0]
    pick += [m for m in measured if m["name"] in ("equal", "empty truth", "corners touch")]
    e = [m["expect"] for m in pick]
    value = {k: float(np.mean([x[k] for x in e])) for k in ("dice", "iou", "hd95", "surface_dice")}
    value["lesion_sensitivity"] = sum(x["n_found"] for x in e) / sum(x["n_lesions"] for x in e)
    value["false_lesions"] = float(np.mean([x["n_false"] for x in e]))
    d = np.array([x["n_pred"] - x["n_truth"] for x in e], float)
    half = stats.norm.ppf(0.975) * d.std(ddof=1)
    value |= {"volume_bias": d.mean(), "volume_low": d.mean() - half, "volume_high": d.mean() + half}
    return {"cases": [m["name"] for m in pick], "value": value}


def plain(x):
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple, np.ndarray)):
        return [plain(v) for v in x]
    if isinstance(x, np.integer):
        return int(x)
    return float(x) if isinstance(x, np.floating) else x


if __name__ == "__main__":
    measured = cases()
    text_of = json.dumps(plain({"cases": measured, "distance": distance(),
                                "over": over_cases(measured)}), separators=(",", ":"))
    with open(os.path.join(HERE, "eval_seg.json"), "w") as f:
        f.write(text_of.replace('{"name"', '\n{"name"') + "\n")
