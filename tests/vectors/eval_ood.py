#!/usr/bin/env python3
"""eval_ood.py - golden values for inputs unlike the training images

Writes eval_ood.json beside itself.  Made with scikit-learn 1.9.1, numpy 2.4.6, scipy 1.17.1:
    python3 tests/vectors/eval_ood.py

The covariance is scikit-learn's LedoitWolf of the features less their class's mean, the
distance scipy's mahalanobis, AUROC and false-positive rate scikit-learn's; once with more cases
than features, once with fewer, and once with one mean for all.
"""
import json
import os

import numpy as np
from scipy.spatial import distance
from sklearn import covariance, metrics

HERE = os.path.dirname(os.path.abspath(__file__))


def fitted(rng, n, D, K, n_new, by_class):
    label = rng.integers(0, K, n)
    label[label == 1] = 0                       # a class without cases has no mean
    mix = rng.normal(size=(D, D)) * np.linspace(1, 0.1, D)
    centre = 2 * rng.normal(size=(K, D))
    x = np.round(rng.normal(size=(n, D)) @ mix + centre[label], 4)
    label[:3] = -1                              # not labelled: left out
    new = np.round(rng.normal(size=(n_new, D)) @ mix + 2 * rng.normal(size=D), 4)
    kept = label >= 0 if by_class else np.ones(n, bool)
    groups = label if by_class else np.zeros(n, int)
    mean = {k: x[groups == k].mean(0) for k in np.unique(groups[kept])}
    centred = x[kept] - np.stack([mean[k] for k in groups[kept]])
    lw = covariance.LedoitWolf(assume_centered=True).fit(centred)
    inverse = np.linalg.inv(lw.covariance_)
    d = [min(distance.mahalanobis(v, m, inverse) ** 2 for m in mean.values()) for v in new]
    return {"n": n, "D": D, "K": K, "by_class": by_class, "x": x.ravel(), "label": label,
            "new": new.ravel(), "shrinkage": lw.shrinkage_, "means": len(mean), "distance": d}


def told(rng):
    """Scores of 70 cases inside and 50 outside; some equal."""
    inside, outside = np.round(rng.normal(size=70), 1), np.round(rng.normal(1, 1.2, 50), 1)
    y = np.r_[np.ones(70), np.zeros(50)]        # the inside is the positive class
    fpr, tpr, _ = metrics.roc_curve(y, -np.r_[inside, outside], drop_intermediate=False)
    return {"inside": inside, "outside": outside,
            "auroc": metrics.roc_auc_score(1 - y, np.r_[inside, outside]),
            "fpr95": fpr[tpr >= 0.95].min()}


def plain(x):
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    return x.tolist() if isinstance(x, (np.ndarray, np.generic)) else x


def main():
    rng = np.random.default_rng(46)
    out = {"fits": [fitted(rng, 80, 5, 3, 12, True), fitted(rng, 40, 60, 3, 6, True),
                    fitted(rng, 60, 8, 3, 6, False)], "told": told(rng)}
    out["fits"] = [plain(f) for f in out["fits"]]
    with open(os.path.join(HERE, "eval_ood.json"), "w") as f:
        json.dump({"fits": out["fits"], "told": plain(out["told"])}, f, separators=(",", ":"))
        f.write("\n")


main()
