#!/usr/bin/env python3
"""eval_robustness.py - golden values for robustness under shift

Writes eval_robustness.json beside itself.  Made with scikit-learn 1.9.1, numpy 2.4.6:
    python3 tests/vectors/eval_robustness.py

Scores of one model at three shifts and two severities, accuracy, AUC and F1 by
scikit-learn, the errors of Hendrycks and Dietterich 2019 in the plainest way, and
bootstrap intervals by patient with numpy's own draws (compared to their Monte-Carlo error).
"""
import json
import os

import numpy as np
from sklearn import metrics

HERE = os.path.dirname(os.path.abspath(__file__))
N, C, S, THRESHOLD = 120, 3, 2, 0.45


def figures(y, p):
    called = p >= THRESHOLD
    return np.array([metrics.accuracy_score(y, called), metrics.roc_auc_score(y, p),
                     metrics.f1_score(y, called)])


def main():
    rng = np.random.default_rng(20)
    patient = np.sort(rng.integers(0, 80, N))
    y = (rng.random(N) < 0.45).astype(int)
    logit = 2.2 * (y - 0.45) + rng.normal(size=N)
    noise = [0.7, 1.6, 3.0]
    score = [logit] + [logit + noise[c] * (v + 1) * rng.normal(size=N)
                       for c in range(C) for v in range(S)]
    score = np.round(1 / (1 + np.exp(-np.array(score))), 6)

    def derived(index):
        f = np.array([figures(y[index], p[index]) for p in score])
        error = 1 - f[:, 0]
        ce = error[1:].reshape(C, S).mean(axis=1)
        lost = f[0] - f[1:]
        return {"ratio": ce / error[0], "mce": (ce / error[0]).mean(),
                "rise": (ce - error[0]).mean(), "lost": lost,
                "lost_by_shift": lost.reshape(C, S, 3).mean(axis=1), "figures": f}

    out = derived(np.arange(N))
    who, of = np.unique(patient, return_inverse=True)
    members = [np.flatnonzero(of == k) for k in range(len(who))]
    draws = {"mce": [], "rise": [], "auc_lost": [], "f1_lost": []}
    for _ in range(3000):
        index = np.concatenate([members[k] for k in rng.integers(0, len(who), len(who))])
        if 0 < y[index].sum() < len(index):
            d = derived(index)
            draws["mce"].append(d["mce"])
            draws["rise"].append(d["rise"])
            draws["auc_lost"].append(d["lost_by_shift"][2, 1])
            draws["f1_lost"].append(d["lost_by_shift"][2, 2])
    out["worst"] = int(np.argmax(out["ratio"]))
    out["interval"] = {k: list(np.percentile(v, [2.5, 97.5])) for k, v in draws.items()}
    out["sd"] = {k: float(np.std(v)) for k, v in draws.items()}
    out |= {"n": N, "shifts": C, "severities": S, "threshold": THRESHOLD, "score": score.ravel(),
            "label": y, "patient": patient}
    with open(os.path.join(HERE, "eval_robustness.json"), "w") as f:
        json.dump({k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in out.items()}, f,
                  indent=None, separators=(", ", ": "), default=float)
        f.write("\n")


main()
