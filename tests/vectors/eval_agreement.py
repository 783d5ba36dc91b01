#!/usr/bin/env python3
"""eval_agreement.py - golden values for several annotators and a model beside them

Writes eval_agreement.json beside itself.  Made with scikit-learn 1.9.1, numpy 2.4.6:
    python3 tests/vectors/eval_agreement.py

Masks of two classes by three readers, some of whom drew nothing of a case, and a model.
Dice is scikit-learn's F1, the vote statistics.mode (of equals the first that is met), and
bootstrap intervals by patient are numpy's own draws (compared to their Monte-Carlo error).
"""
import itertools
import json
import os
import statistics

import numpy as np
from sklearn import metrics

HERE = os.path.dirname(os.path.abspath(__file__))
N, R, K, SIDE, REPS = 36, 3, 2, 8, 4000
PAIRS = list(itertools.combinations(range(R), 2))


def draw(rng, truth, hand):
    """A reader moves what is there by a pixel or so, misses some and adds some."""
    mask = np.zeros((SIDE, SIDE), int)
    for code, (row, col, height, width) in truth:
        r, c = row + rng.integers(-hand, hand + 1), col + rng.integers(-hand, hand + 1)
        if rng.random() > 0.1:
            mask[max(r, 0):r + height, max(c, 0):c + width] = code
    return mask.ravel()


def dice(a, b, code, empty=np.nan):
    if a is None or b is None:
        return np.nan
    a, b = a == code, b == code
    if not a.any() and not b.any():
        return empty
    return metrics.f1_score(a, b, zero_division=0)


def mean(values):
    """(cases, classes): over cases, then over classes, without what is missing."""
    return np.nanmean([np.nanmean(v) for v in np.array(values).T if not np.isnan(v).all()])


def interval(values, patient, rng):
    values = np.array(values)
    there = ~np.isnan(values).all(axis=1)
    values, patient = values[there], patient[there]
    rows = [np.flatnonzero(patient == p) for p in np.unique(patient)]
    means = []
    for _ in range(REPS):
        index = np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))])
        means.append(mean(values[index]))
    return {"value": mean(values), "sd": np.std(means, ddof=1), "n": len(values),
            "n_patients": len(rows)}


def main():
    rng = np.random.default_rng(44)
    readers, model = [], []
    patient = np.sort(rng.integers(0, 26, N))
    for i in range(N):
        truth = [(k + 1, tuple(rng.integers([0, 0, 2, 2], [5, 5, 5, 5])))
                 for k in range(K) if i % 6 and rng.random() < 0.8]
        readers.append([draw(rng, truth, 1) if i == 7 or rng.random() < 0.85 else None
                        for _ in range(R)])
        model.append(draw(rng, truth, 1 + i % 2))
    readers[3] = [None, None, None]
    readers[6] = [np.zeros(SIDE * SIDE, int)] * R
    model[6][:5] = 1                                      # a false alarm where nobody drew
    readers[12], model[12] = [np.zeros(SIDE * SIDE, int)] * R, np.zeros(SIDE * SIDE, int)
    vote = [np.array([statistics.mode(v) for v in zip(*r)]) if all(m is not None for m in r)
            else None for r in readers]

    codes = range(1, K + 1)
    out = {"pair": [[[dice(r[a], r[b], k) for k in codes] for r in readers] for a, b in PAIRS],
           "reader": [[[dice(m, r[a], k) for k in codes] for r, m in zip(readers, model)]
                      for a in range(R)],
           "consensus": [[[dice(m, v, k) for k in codes] for v, m in zip(vote, model)]]}
    human, with_model = np.full((N, K), np.nan), np.full((N, K), np.nan)
    for i, (r, m) in enumerate(zip(readers, model)):
        drawn = [x for x in r if x is not None]
        for k in codes:
            if len(drawn) >= 2 and any((x == k).any() for x in drawn + [m]):
                human[i, k - 1] = np.mean([dice(a, b, k, 1.0)
                                           for a, b in itertools.combinations(drawn, 2)])
                with_model[i, k - 1] = np.mean([dice(m, x, k, 1.0) for x in drawn])
    out |= {"human": [human], "model": [with_model], "difference": [with_model - human]}
    draws = np.random.default_rng(45)
    figures = {name: [interval(v, patient, draws) for v in values] for name, values in out.items()}
    text = lambda m: None if m is None else "".join(map(str, m))
    with open(os.path.join(HERE, "eval_agreement.json"), "w") as f:
        json.dump({"n": N, "readers": R, "classes": K, "patient": patient.tolist(),
                   "masks": [[text(m) for m in r] for r in readers],
                   "predicted": [text(m) for m in model], "vote": [text(v) for v in vote],
                   "figures": figures}, f, default=float, separators=(",", ":"))
        f.write("\n")


main()
