#!/usr/bin/env python3
"""eval_selective.py - golden values for uncertainty of masks, findings and numbers, and what it is good for

Writes eval_selective.json beside itself.  Made with scipy 1.17.1, numpy 2.4.6,
scikit-learn 1.9.1:
    python3 -m venv /tmp/v && /tmp/v/bin/pip install scikit-learn scipy
    /tmp/v/bin/python tests/vectors/eval_selective.py

Correlations are scipy's, entropies scipy.stats.entropy, lesions scipy.ndimage's
labels; what is kept when cases are referred is written as an integral.
"""
import json
import os

import numpy as np
from scipy import ndimage, special, stats

import eval_vectors as ev

HERE = os.path.dirname(os.path.abspath(__file__))


def kept_error(u, error, share):
    """Every case stands for 1/n of the axis; cases of equal uncertainty mix."""
    mixed = np.array([error[u == v].mean() for v in u])[np.argsort(u, kind="stable")]
    left, room = np.arange(len(u)), (1 - share) * len(u)
    width = np.clip(room - left, 0, 1)
    return (width * mixed).sum() / room


def risk_coverage(u, error):
    mixed = np.array([error[u == v].mean() for v in u])[np.argsort(u, kind="stable")]
    return (np.cumsum(mixed) / np.arange(1, len(u) + 1)).mean()


def cases():
    rng = np.random.default_rng(41)
    n = 60
    error = np.round(rng.beta(1, 4, n), 4)
    error[:6] = 0.0
    u = np.round(0.6 * error + 0.15 * rng.normal(size=n), 1)
    patient = rng.integers(0, 25, n)
    return {"uncertainty": u, "error": error, "patient": patient, "aurc": risk_coverage(u, error),
            "pearson": stats.pearsonr(u, error)[0], "spearman": stats.spearmanr(u, error)[0],
            "kept": {str(s): kept_error(u, error, s) for s in (0.0, 0.05, 0.2, 0.33, 0.9)}}


def masks():
    rng = np.random.default_rng(42)
    shape, K, M = (9, 11), 3, 4
    base = ndimage.gaussian_filter(rng.normal(size=(K,) + shape), (0, 1.5, 1.5)) * 6
    base[0] += 2.5
    member = special.softmax(base + rng.normal(size=(M, K) + shape), axis=1)
    mean = member.mean(0)
    entropy = stats.entropy(mean, axis=0)
    information = entropy - stats.entropy(member, axis=1).mean(0)
    foreground = 1 - member[:, 0]
    code = mean.argmax(0)
    truth = ndimage.shift(code, (1, 2), order=0)
    truth[:5, :4] = 0
    truth[8] = 255
    called = code != 0
    p = 1 - mean[0]
    part, n_parts = ndimage.label(called & (truth != 255), np.ones((3, 3)))
    of = range(1, n_parts + 1)
    true = (truth > 0) & (truth != 255)
    return {"rows": shape[0], "cols": shape[1], "K": K, "M": M, "member": member.ravel(),
            "entropy": entropy.ravel(), "information": information.ravel(),
            "variance": foreground.var(0).ravel(), "code": code.ravel(), "truth": truth.ravel(),
            "mean_entropy": entropy.mean(), "mean_information": information.mean(),
            "mean_variance": foreground.var(0).mean(),
            "expected_error": 1 - 2 * p[called].sum() / (p.sum() + called.sum()),
            "lesion_n": [int((part == k).sum()) for k in of],
            "lesion_entropy": [entropy[part == k].mean() for k in of],
            "lesion_is_false": [int(not (true & (part == k)).any()) for k in of]}


def findings():
    """Several members' probabilities of findings; some are 0 or 1."""
    rng = np.random.default_rng(43)
    M, n, K = 5, 12, 4
    member = special.expit(rng.normal(scale=2, size=(1, n, K)) + rng.normal(size=(M, n, K)))
    member[:, 0, 0], member[:, 1, 1], member[:3, 2, 2] = 0, 1, 1
    mean = member.mean(0)
    entropy = stats.bernoulli(mean).entropy()
    information = entropy - stats.bernoulli(member).entropy().mean(0)
    return {"M": M, "n": n, "K": K, "member": member.ravel(), "mean": mean.ravel(),
            "entropy_of": entropy.ravel(), "information_of": information.ravel(),
            "entropy": entropy.mean(1), "information": information.mean(1)}


def numbers():
    """Several members' numbers, far from 0: their spread is not lost in their size."""
    rng = np.random.default_rng(44)
    member = 1e6 + rng.normal(scale=3, size=(1, 15)) + rng.normal(scale=0.5, size=(6, 15))
    member[:, 0] = 7.25
    return {"M": 6, "n": 15, "member": member.ravel(), "mean": member.mean(0), "spread": member.std(0)}


if __name__ == "__main__":
    text = json.dumps(ev.plain({"cases": cases(), "masks": masks(), "findings": findings(), "numbers": numbers()}), separators=(",", ":"))
    with open(os.path.join(HERE, "eval_selective.json"), "w") as f:
        f.write(text + "\n")
