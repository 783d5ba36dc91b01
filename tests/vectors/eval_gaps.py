#!/usr/bin/env python3
"""eval_gaps.py - golden values for gaps, summaries over sites and uncertainty

Writes eval_gaps.json beside itself.  Made with scipy 1.17.1, scikit-learn 1.9.1,
numpy 2.4.6:
    python3 -m venv /tmp/v && /tmp/v/bin/pip install scikit-learn scipy
    /tmp/v/bin/python tests/vectors/eval_gaps.py

Random effects: the BCG trials with the figures that Viechtbauer (2010, Journal
of Statistical Software 36(3), section 4.1) prints, and the restricted likelihood
maximised by scipy.  Tests are scipy's.  The rest is written in the plainest way.
"""
import json
import os

import numpy as np
from scipy import optimize, special, stats

import eval_vectors as ev

HERE = os.path.dirname(os.path.abspath(__file__))
Z = ev.Z

# Colditz et al. 1994: ill and well, vaccinated and not.
BCG = np.array([[4, 119, 11, 128], [6, 300, 29, 274], [3, 228, 11, 209], [62, 13536, 248, 12619],
                [33, 5036, 47, 5761], [180, 1361, 372, 1079], [8, 2537, 10, 619],
                [505, 87886, 499, 87892], [29, 7470, 45, 7232], [17, 1699, 65, 1600],
                [186, 50448, 141, 27197], [5, 2493, 3, 2338], [27, 16886, 29, 17825]], float)


def reml(y, v):
    """Random effects by maximising the restricted likelihood."""
    def minus(tau2):
        w = 1 / (v + tau2)
        mu = (w * y).sum() / w.sum()
        return 0.5 * (np.log(v + tau2).sum() + np.log(w.sum()) + (w * (y - mu) ** 2).sum())

    def slope(tau2, h=1e-6):
        w = 1 / (v + tau2)
        mu = (w * y).sum() / w.sum()
        return 0.5 * (w.sum() - (w ** 2).sum() / w.sum() - (w ** 2 * (y - mu) ** 2).sum())

    tau2 = 0.0
    if slope(0) < 0:
        near = optimize.minimize_scalar(minus, bounds=(0, 10 * y.var() + 1e-9), method="bounded",
                                        options={"xatol": 1e-12}).x
        tau2 = optimize.brentq(slope, near / 2, near * 2, xtol=1e-16, rtol=1e-14)
    k, w = len(y), 1 / (v + tau2)
    w0 = 1 / v
    mu = (w * y).sum() / w.sum()
    mu0 = (w0 * y).sum() / w0.sum()
    var = max(1, (w * (y - mu) ** 2).sum() / (k - 1)) / w.sum()
    half = stats.t.ppf(0.975, k - 1) * np.sqrt(var)
    ahead = stats.t.ppf(0.975, k - 2) * np.sqrt(tau2 + var)
    typical = (k - 1) / (w0.sum() - (w0 ** 2).sum() / w0.sum())
    return {"value": y, "se": np.sqrt(v), "mean": mu, "tau2": tau2, "i2": tau2 / (tau2 + typical),
            "q": (w0 * (y - mu0) ** 2).sum(), "ci": [mu - half, mu + half],
            "prediction": [mu - ahead, mu + ahead]}


def meta():
    a, b, c, d = BCG.T
    y = np.log(a / (a + b)) - np.log(c / (c + d))
    v = 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
    bcg = reml(y, v)
    bcg["published"] = {"mean": -0.7145, "tau2": 0.3132, "i2": 0.9222, "q": 152.2330}
    rng = np.random.default_rng(3)
    se = rng.uniform(0.1, 0.4, 7)
    return {"bcg": bcg, "alike": reml(np.round(rng.normal(1, 0.05, 7), 6), np.round(se, 6) ** 2),
            "unlike": reml(np.round(rng.normal(0, 1, 5), 6), np.round(se[:5], 6) ** 2)}


# -------------------------------------------------------------- uncertainty
def risk_coverage(u, wrong):
    """Mean over every order of equal uncertainties, written as means of groups."""
    order = np.argsort(u, kind="stable")
    u, expected = u[order], wrong[order].astype(float)
    for value in np.unique(u):
        expected[u == value] = expected[u == value].mean()
    return np.cumsum(expected) / np.arange(1, len(u) + 1)


def refer(u, wrong, target):
    best = 1.0
    for cut in np.unique(u):
        kept = u <= cut
        if wrong[kept].mean() <= target + 1e-12:
            best = min(best, 1 - kept.mean())
    return best


def uncertainty():
    rng = np.random.default_rng(9)
    n, K, M = 90, 3, 4
    z = rng.normal(size=(n, K))
    label = rng.integers(0, K, n)
    z[np.arange(n), label] += 1
    score = special.softmax(2.2 * z, axis=1)
    label_seen = label.copy()
    label_seen[::17] = -1
    seen = label_seen >= 0
    logs = np.log(score)

    def loss(b):
        return -special.log_softmax(b * logs[seen], axis=1)[np.arange(seen.sum()), label[seen]].sum()

    def slope(b):
        q = special.softmax(b * logs[seen], axis=1)
        return ((q * logs[seen]).sum(1) - logs[seen][np.arange(seen.sum()), label[seen]]).sum()

    T = 1 / optimize.brentq(slope, 0.01, 100, xtol=1e-16, rtol=1e-14)
    member = special.softmax(z + 0.8 * rng.normal(size=(M, n, K)), axis=2)
    mean = member.mean(0)
    entropy = stats.entropy(mean, axis=1)
    information = entropy - stats.entropy(member, axis=2).mean(0)
    wrong = mean.argmax(1) != label
    u = np.round(entropy, 1)
    risk = risk_coverage(u, wrong)
    s = 1 - score[seen][np.arange(seen.sum()), label[seen]]
    rank = {str(a): sorted(s)[int(np.ceil((len(s) + 1) * (1 - a))) - 1] for a in (0.05, 0.1, 0.5)}
    q = rank["0.1"]
    sets = 1 - score[seen] <= q
    return {"n": n, "K": K, "M": M, "score": score.ravel(), "label": label_seen, "temperature": T,
            "scaled": special.softmax(logs / T, axis=1).ravel(), "member": member.ravel(),
            "mean": mean.ravel(), "entropy": entropy, "information": information,
            "uncertainty": u, "wrong": wrong.astype(int), "risk": risk, "aurc": risk.mean(),
            "error_auroc": ev.sk.roc_auc_score(wrong, u),
            "refer": {str(t): refer(u, wrong, t) for t in (0.05, 0.2, 0.3, 1.0)},
            "quantile": rank, "coverage": sets[np.arange(len(s)), label[seen]].mean(),
            "set_size": sets.sum(1).mean(), "single": (sets.sum(1) == 1).mean(),
            "empty": (sets.sum(1) == 0).mean()}


# --------------------------------------------------------------------- gaps
def hybrid(a, a_ci, b, b_ci):
    d = a - b
    return [max(-1, d - np.hypot(a - a_ci[0], b_ci[1] - b)),
            min(1, d + np.hypot(a_ci[1] - a, b - b_ci[0]))]


def auc_with_error(p, y):
    auc, v10, v01 = ev.auc_components(p, y)
    return auc, np.sqrt(ev.cluster_variance(v10, v01, np.arange(len(v10)), len(v10) + np.arange(len(v01)), auc))


def welch(gap, a, na, b, nb):
    df = (a + b) ** 2 / (a ** 2 / na + b ** 2 / nb)
    return 2 * stats.t.sf(abs(gap) / np.sqrt(a + b), np.floor(df)), np.floor(df)


def wilson_at(k, n, z):
    p = k / n
    centre, half = (p + z * z / 2 / n) / (1 + z * z / n), z / (1 + z * z / n) * np.sqrt(
        p * (1 - p) / n + z * z / 4 / n / n)
    return [centre - half, centre + half]


def pair(p, y, called, i, j):
    out = {}
    (auc_a, se_a), (auc_b, se_b) = auc_with_error(p[i], y[i]), auc_with_error(p[j], y[j])
    ci = [ev.delong(p[k], y[k], np.arange(k.sum())) for k in (i, j)]
    few = [min(y[k].sum(), (1 - y[k]).sum()) for k in (i, j)]
    scale = lambda a: a * (1 - a)
    out["auc_gap"] = {"value": auc_a - auc_b, "ci": hybrid(auc_a, ci[0], auc_b, ci[1]),
                      "p": welch(ev.logit(auc_a) - ev.logit(auc_b), (se_a / scale(auc_a)) ** 2, few[0] - 1,
                                 (se_b / scale(auc_b)) ** 2, few[1] - 1)[0]}
    ends = []
    for name, of in (("equal_opportunity", y == 1), ("false_positive_gap", y == 0),
                     ("demographic_parity", y >= 0)):
        k, n = zip(*[((called & of & g).sum(), (of & g).sum()) for g in (i, j)])
        a, b = k[0] / n[0], k[1] / n[1]
        out[name] = {"value": a - b, "ci": hybrid(a, ev.wilson(k[0], n[0]), b, ev.wilson(k[1], n[1])),
                     "p": stats.fisher_exact([[k[0], n[0] - k[0]], [k[1], n[1] - k[1]]])[1]}
        wide = stats.norm.ppf(0.9875)
        low, high = hybrid(a, wilson_at(k[0], n[0], wide), b, wilson_at(k[1], n[1], wide))
        ends.append((abs(a - b), max(0, low, -high), max(abs(low), abs(high))))
    out["equalised_odds"] = {"value": max(e[0] for e in ends[:2]), "p": None,
                             "ci": [max(e[1] for e in ends[:2]), max(e[2] for e in ends[:2])]}
    out["demographic_parity"]["p"] = None
    r = y - p
    d = r[i].mean() - r[j].mean()
    a, b = r[i].var(ddof=1) / i.sum(), r[j].var(ddof=1) / j.sum()
    pv, df = welch(d, a, i.sum() - 1, b, j.sum() - 1)
    half = stats.t.ppf(0.975, df) * np.sqrt(a + b)
    out["calibration_gap"] = {"value": d, "ci": [d - half, d + half], "p": pv}
    return out


def holm(p):
    order, out, top = np.argsort(p), np.zeros(len(p)), 0.0
    for rank, k in enumerate(order):
        top = max(top, min(1, p[k] * (len(p) - rank)))
        out[k] = top
    return out


def gaps():
    rng = np.random.default_rng(23)
    n = 400
    y = (rng.random(n) < 0.4).astype(int)
    sex = rng.choice(["F", "M"], n)
    age = rng.choice(["40-60", "60-80", "80+"], n, p=[0.4, 0.4, 0.2])
    x = rng.normal(size=n) + y * np.where(sex == "F", 0.7, 1.9)
    p = np.round(1 / (1 + np.exp(-(x - 0.6))), 6)
    called = p >= 0.5
    entries = [("sex", "F", "M", sex == "F", sex == "M")]
    entries += [("age", a, "the others", age == a, age != a) for a in ("40-60", "60-80", "80+")]
    out = [{"attribute": a, "value": v, "other": o, "gaps": pair(p, y, called, i, j)}
           for a, v, o, i, j in entries]
    tested = [g for e in out for g in e["gaps"].values() if g["p"] is not None]
    for g, adjusted in zip(tested, holm(np.array([g["p"] for g in tested]))):
        g["p_holm"] = adjusted
    tables = [[3, 10, 9, 12], [0, 20, 5, 20], [50, 100, 70, 100], [7, 7, 0, 9], [200, 1000, 260, 900]]
    return {"score": p, "label": y, "sex": sex.tolist(), "age": age.tolist(), "pairs": out,
            "fisher": [{"table": t, "p": stats.fisher_exact([[t[0], t[1] - t[0]], [t[2], t[3] - t[2]]])[1]}
                       for t in tables],
            "holm": {"p": [0.01, 0.04, 0.03, 0.005, 0.5], "adjusted": holm(np.array([0.01, 0.04, 0.03, 0.005, 0.5]))},
            "student": [{"df": d, "quantile": stats.t.ppf(0.975, d), "t": t, "p": 2 * stats.t.sf(t, d)}
                        for d, t in ((1, 0.7), (2, 2.0), (3, 4.5), (8, 1.1), (9, 3.3), (30, 2.0), (201, 6.0))]}


if __name__ == "__main__":
    text = json.dumps(ev.plain({"meta": meta(), "uncertainty": uncertainty(), "gaps": gaps()}),
                      separators=(",", ":"))
    with open(os.path.join(HERE, "eval_gaps.json"), "w") as f:
        f.write(text + "\n")
