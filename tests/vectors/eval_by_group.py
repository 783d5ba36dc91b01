#!/usr/bin/env python3
"""eval_by_group.py - golden values for subgroups of findings, masks and numbers

Writes eval_by_group.json beside itself.  Made with scipy 1.17.1, scikit-learn 1.9.1,
numpy 2.4.6.  Where every patient has one case, gaps are also held against
scipy.stats.ttest_ind(equal_var=False), but for the degrees of freedom, which are
rounded down.  Everything else is written in the plainest way.
"""
import json
import math
import os

import numpy as np
from scipy import stats
from sklearn.metrics import mean_absolute_error, roc_auc_score, root_mean_squared_error

HERE = os.path.dirname(os.path.abspath(__file__))
MIN_CELL = 10


def mean_of(x, patient):
    """Mean, squared error by patient, patients."""
    groups = {}
    for value, who in zip(x, patient):
        groups.setdefault(who, []).append(value - x.mean())
    G = len(groups)
    return x.mean(), sum(sum(g) ** 2 for g in groups.values()) / len(x) ** 2 * G / (G - 1), G


def gap(a, who_a, b, who_b):
    keep_a, keep_b = ~np.isnan(a), ~np.isnan(b)
    mean_a, square_a, n_a = mean_of(a[keep_a], who_a[keep_a])
    mean_b, square_b, n_b = mean_of(b[keep_b], who_b[keep_b])
    se = math.sqrt(square_a + square_b)
    df = math.floor((square_a + square_b) ** 2 /
                    (square_a ** 2 / (n_a - 1) + square_b ** 2 / (n_b - 1)))
    if n_a == keep_a.sum() and n_b == keep_b.sum():
        scipy = stats.ttest_ind(a[keep_a], b[keep_b], equal_var=False)
        assert abs(scipy.statistic - (mean_a - mean_b) / se) < 1e-9
        assert math.floor(scipy.df) == df
    half = stats.t.ppf(0.975, df) * se
    out = {"value": mean_a - mean_b, "ci": [mean_a - mean_b - half, mean_a - mean_b + half],
           "n": int(keep_a.sum() + keep_b.sum())}
    if min(n_a, n_b) >= 50:
        out["p"] = 2 * stats.t.sf(abs(mean_a - mean_b) / se, df)
    return out


def holm(gaps):
    tested = sorted((g for g in gaps if "p" in g), key=lambda g: g["p"])
    highest = 0
    for i, g in enumerate(tested):
        highest = max(highest, min(1, g["p"] * (len(tested) - i)))
        g["p_holm"] = highest


def shown_cells(value, labelled, patient):
    """Values whose cells may be shown: those of few patients are not, nor the smallest others
    until those that are missing could be any of enough."""
    of = {v: len(set(patient[labelled & (value == v)])) for v in sorted(set(value[labelled]))}
    hidden = {v for v, n in of.items() if n < MIN_CELL}
    while hidden and (len(hidden) == 1 or sum(of[v] for v in hidden) < MIN_CELL):
        rest = [v for v in of if v not in hidden]
        if not rest:
            break
        hidden.add(min(rest, key=lambda v: of[v]))
    return [v for v in of if v not in hidden], sorted(hidden)


def sides(value, labelled, patient):
    """(cell, its cases, the others' cases) for every comparison."""
    shown = [v for v in shown_cells(value, labelled, patient)[0] if v != "unknown"]
    for v in shown if len(shown) > 2 else shown[:len(shown) - 1]:
        yield v, labelled & (value == v), labelled & np.isin(value, [w for w in shown if w != v])


def main():
    rng = np.random.default_rng(8)
    n = 200
    patient = np.sort(rng.integers(0, 150, n))
    sex = np.array(["F", "M"])[(patient % 5 < 2).astype(int)]
    site = np.array(["a", "b", "c", "d"])[np.minimum(patient // 47, 3)]  # d: few
    site[patient == 3] = "unknown"
    target = np.round(rng.normal(60, 12, n), 3)
    pred = np.round(target + rng.normal(1, 4, n) + 3 * (sex == "F"), 3)
    target[rng.random(n) < 0.05] = np.nan
    dice = np.round(rng.beta(9, 2, (n, 2)) - 0.1 * (sex == "F")[:, None] * rng.random((n, 2)), 4)
    dice[rng.random((n, 2)) < 0.1] = np.nan
    drawn = rng.random(n) > 0.04
    finding = (rng.random((n, 2)) < [0.45, 0.12]).astype(float)
    finding[rng.random((n, 2)) < 0.08] = np.nan
    score = np.round(1 / (1 + np.exp(-(1.2 * np.nan_to_num(finding) - 0.6 + rng.normal(0, 1, (n, 2))))), 4)

    known = ~np.isnan(target)
    error = pred - target
    mean_dice = np.array([np.nan if np.isnan(d).all() else np.nanmean(d) for d in dice])
    numbers, masks, findings = [], [], []
    gaps_numbers, gaps_masks = [], []
    for name, value in (("sex", sex), ("site", site)):
        shown, hidden = shown_cells(value, known, patient)
        for v in shown:
            at = known & (value == v)
            numbers.append({"attribute": name, "value": v, "n": int(at.sum()),
                            "mae": mean_absolute_error(target[at], pred[at]),
                            "rmse": root_mean_squared_error(target[at], pred[at]),
                            "bias": error[at].mean()})
        numbers += [{"attribute": name, "value": v, "n": None} for v in hidden]
        for v, a, b in sides(value, known, patient):
            gaps_numbers.append({"attribute": name, "value": v,
                                 "mae_gap": gap(abs(error[a]), patient[a], abs(error[b]), patient[b]),
                                 "bias_gap": gap(error[a], patient[a], error[b], patient[b])})
        shown, hidden = shown_cells(value, drawn, patient)
        for v in shown:
            at = drawn & (value == v)
            masks.append({"attribute": name, "value": v, "n": int(at.sum()),
                          "dice": np.mean([np.nanmean(dice[at, k]) for k in range(2)])})
        masks += [{"attribute": name, "value": v, "n": None} for v in hidden]
        for v, a, b in sides(value, drawn, patient):
            gaps_masks.append({"attribute": name, "value": v,
                               "dice_gap": gap(mean_dice[a], patient[a], mean_dice[b], patient[b])})
        for k in range(2):
            said = ~np.isnan(finding[:, k])
            cells = sorted(set(value[said]))
            enough = all(len(set(patient[said & (value == v) & (finding[:, k] == y)])) >= MIN_CELL
                         for v in cells for y in (0, 1))
            for v in cells if enough else []:
                at = said & (value == v)
                findings.append({"attribute": name, "value": v, "class": "xy"[k],
                                 "n": int(at.sum()),
                                 "auc": roc_auc_score(finding[at, k], score[at, k])})
    holm([g[name] for g in gaps_numbers for name in ("mae_gap", "bias_gap")])
    holm([g["dice_gap"] for g in gaps_masks])

    def plain(x):
        return [None if isinstance(v, float) and math.isnan(v) else v for v in x.ravel().tolist()]

    out = {"patient": patient.tolist(), "sex": sex.tolist(), "site": site.tolist(),
           "target": plain(target), "pred": pred.tolist(), "dice": plain(dice),
           "drawn": drawn.astype(int).tolist(), "finding": plain(finding), "score": plain(score),
           "numbers": numbers, "numbers_gaps": gaps_numbers, "masks": masks,
           "masks_gaps": gaps_masks, "findings": findings}
    with open(os.path.join(HERE, "eval_by_group.json"), "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
