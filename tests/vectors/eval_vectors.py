#!/usr/bin/env python3
"""eval_vectors.py - golden values for common/eval, from other people's code

Writes eval_class.json, eval_compare.json and eval_more.json beside itself.
Made with scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6:
    python3 -m venv /tmp/v && /tmp/v/bin/pip install scikit-learn scipy
    /tmp/v/bin/python tests/vectors/eval_vectors.py

Values are scikit-learn's.  Intervals: Wilson from scipy; DeLong, Obuchowski
and Newcombe written here from the papers in the plainest way (all pairs, no
ranks, a root finder), sharing no idea with the C code.  Bootstrap intervals
are numpy's own draws: they agree to their Monte-Carlo error only.
"""
import json
import os

import numpy as np
from scipy import optimize, special, stats
from sklearn import metrics as sk

Z = stats.norm.ppf(0.975)
HERE = os.path.dirname(os.path.abspath(__file__))


def plain(x):
    """numpy to JSON, NaN to null."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple, np.ndarray)):
        return [plain(v) for v in x]
    if isinstance(x, (bool, np.bool_)):
        return bool(x)
    if isinstance(x, (int, np.integer)):
        return int(x)
    if isinstance(x, (float, np.floating)):
        return None if not np.isfinite(x) else float(x)
    return x


# ---------------------------------------------------------------- intervals
def wilson(k, n):
    ci = stats.binomtest(int(k), int(n)).proportion_ci(method="wilson")
    return [ci.low, ci.high]


def wilson_n(p, n):
    """Wilson for an effective, not whole, n: solve the score equation."""
    def side(sign, lo, hi):
        if abs(p - (lo if sign < 0 else hi)) < 1e-15:
            return p
        f = lambda t: (p - t) ** 2 - Z * Z * t * (1 - t) / n
        a, b = (lo, p) if sign < 0 else (p, hi)
        return optimize.brentq(f, a, b, xtol=1e-15, rtol=1e-14)
    return [side(-1, 0.0, 1.0), side(1, 0.0, 1.0)]


def cluster_share(hit, group):
    """A share and Wilson with n over the design effect (Rao and Scott)."""
    hit, group = np.asarray(hit, float), np.asarray(group)
    n, p = len(hit), hit.mean()
    groups = np.unique(group)
    if p in (0.0, 1.0) or len(groups) < 2:
        return p, wilson_n(p, len(groups))
    r = np.array([(hit[group == g] - p).sum() for g in groups])
    G = len(groups)
    var = G / (G - 1) * (r ** 2).sum() / n ** 2
    deff = max(1.0, var / (p * (1 - p) / n))
    return p, wilson_n(p, n / deff)


def kernel(s_pos, s_neg):
    d = np.asarray(s_pos)[:, None] - np.asarray(s_neg)[None, :]
    return (d > 0) + 0.5 * (d == 0)


def auc_components(score, y):
    k = kernel(score[y == 1], score[y == 0])
    return k.mean(), k.mean(axis=1), k.mean(axis=0)


def cluster_variance(v10, v01, g10, g01, mean):
    """Obuchowski 1997, eq. 4; with singletons this is DeLong's."""
    m, n = len(v10), len(v01)
    groups = np.unique(np.concatenate([g10, g01]))
    a = np.array([(v10[g10 == g] - mean).sum() for g in groups])
    b = np.array([(v01[g01 == g] - mean).sum() for g in groups])
    i10, i01, i = len(np.unique(g10)), len(np.unique(g01)), len(groups)
    return (i10 / (i10 - 1) * (a ** 2).sum() / m ** 2
            + i01 / (i01 - 1) * (b ** 2).sum() / n ** 2
            + 2 * i / (i - 1) * (a * b).sum() / (m * n))


def newcombe(auc, m, n):
    def f(t):
        N = (m + n) / 2 - 1
        v = t * (1 - t) / (m * n) * (1 + N * (1 - t) / (2 - t) + N * t / (1 + t))
        return (t - auc) ** 2 - Z * Z * v
    lo = 0.0 if auc == 0 else optimize.brentq(f, 1e-12, auc if f(auc) < 0 else auc - 1e-9, xtol=1e-14)
    hi = 1.0 if auc == 1 else optimize.brentq(f, auc if f(auc) < 0 else auc + 1e-9, 1 - 1e-12, xtol=1e-14)
    return [lo, hi]


def delong(score, y, group):
    auc, v10, v01 = auc_components(score, y)
    g10, g01 = group[y == 1], group[y == 0]
    if min(len(np.unique(g10)), len(np.unique(g01))) < 10:
        return None
    var = cluster_variance(v10, v01, g10, g01, auc)
    if var < 1e-18:
        return newcombe(auc, len(np.unique(g10)), len(np.unique(g01)))
    few = min(len(np.unique(g10)), len(np.unique(g01)))
    width = Z if few >= 25 else stats.t.ppf(0.975, few - 1)
    x, h = np.log(auc / (1 - auc)), width * np.sqrt(var) / (auc * (1 - auc))
    return [1 / (1 + np.exp(h - x)), 1 / (1 + np.exp(-h - x))]


# ------------------------------------------------------------------- values
def ece(conf, right):
    """10 equal bins, folded-normal bias taken off; and without that."""
    if len(conf) < 200:
        return np.nan
    b = np.minimum((conf * 10).astype(int), 9)
    out = 0.0
    for k in range(10):
        i = b == k
        if not i.any():
            continue
        gap = abs(right[i].mean() - conf[i].mean())
        s = np.sqrt((conf[i] * (1 - conf[i])).sum()) / i.sum()
        seen = stats.foldnorm.mean(gap / s, scale=s) if s > 0 else gap
        out += i.mean() * (2 * gap - seen)
    return max(0.0, out)


def sensitivity_at_spec90(p, y):
    fpr, tpr, _ = sk.roc_curve(y, p, drop_intermediate=False)
    return tpr[fpr <= 0.1 + 1e-12].max()


def logit(p):
    p = np.clip(p, 1e-15, 1 - 1e-15)
    return np.log(p / (1 - p))


def recalibrate(p, y, group, clustered):
    """Maximum likelihood by scipy: intercept (slope 1), slope (and its
    intercept), each with its standard error; None where it has none."""
    x = logit(p)
    out = []
    for design, offset in ((np.ones((len(x), 1)), x), (np.stack([np.ones_like(x), x], 1), 0 * x)):
        def minus(b):
            z = design @ b + offset
            return np.logaddexp(0, z).sum() - (y * z).sum()

        def gradient(b):
            return design.T @ (special.expit(design @ b + offset) - y)

        start = np.zeros(design.shape[1])
        if len(start) == 2:
            start[1] = 1
        found = optimize.minimize(minus, start, jac=gradient, method="BFGS", options={"gtol": 1e-9})
        found = optimize.root(gradient, found.x, tol=1e-14)
        b, at = found.x, special.expit(design @ found.x + offset)
        information = design.T @ (design * (at * (1 - at))[:, None])
        if np.abs(b).max() > 200 or np.linalg.cond(information) > 1e12:
            out.append(None)
            continue
        V = np.linalg.inv(information)
        if V[-1, -1] > 1e4:
            out.append(None)
            continue
        if clustered:
            groups = np.unique(group)
            u = np.stack([(design * (y - at)[:, None])[group == g].sum(0) for g in groups])
            V = len(groups) / (len(groups) - 1) * V @ u.T @ u @ V
        out.append((b[-1], np.sqrt(V[-1, -1])))
    return out


def ratio_interval(a, a_ci, b, b_ci):
    """MOVER-R (Newcombe 2016) in closed form: the ratio of two independent
    shares; None where its denominators vanish."""
    (l1, u1), (l2, u2) = a_ci, b_ci
    t = a * b
    low = (t - np.sqrt(max(0, t * t - l1 * u2 * (2 * a - l1) * (2 * b - u2)))) / (u2 * (2 * b - u2))
    with np.errstate(divide="ignore", invalid="ignore"):
        high = (t + np.sqrt(max(0, t * t - u1 * l2 * (2 * a - u1) * (2 * b - l2)))) / (l2 * (2 * b - l2))
    return low, high if l2 > 0 else np.inf


def predictive_ci(right, missed, odds):
    """right, missed: (hits, n) of the shares whose ratio right / (1 - missed)
    makes the odds of a predictive value."""
    a, b = right[0] / right[1], 1 - missed[0] / missed[1]
    m = wilson(*missed)
    low, high = ratio_interval(a, wilson(*right), b, [1 - m[1], 1 - m[0]])
    return [low * odds / (1 + low * odds), high * odds / (1 + high * odds) if np.isfinite(high) else 1.0]


def binary_values(p, y, threshold, prevalence=0):
    nan = np.nan
    called = (p >= threshold).astype(int)
    both = 0 < y.sum() < len(y)
    n = len(y)
    if n == 0:
        return {}
    tp, fp = ((called == 1) & (y == 1)).sum(), ((called == 1) & (y == 0)).sum()
    fn, tn = ((called == 0) & (y == 1)).sum(), ((called == 0) & (y == 0)).sum()
    return {
        "accuracy": sk.accuracy_score(y, called),
        "balanced_accuracy": sk.balanced_accuracy_score(y, called) if both else nan,
        "auc": sk.roc_auc_score(y, p) if both else nan,
        "auprc": sk.average_precision_score(y, p) if both else nan,
        "f1": sk.f1_score(y, called, zero_division=0) if y.sum() else nan,
        "sensitivity": sk.recall_score(y, called) if y.sum() else nan,
        "specificity": sk.recall_score(y, called, pos_label=0) if y.sum() < n else nan,
        "ppv": sk.precision_score(y, called) if tp + fp else nan,
        "npv": sk.precision_score(y, called, pos_label=0) if tn + fn else nan,
        "brier": np.mean((p - y) ** 2),
        "nll": -np.mean(np.log(np.maximum(np.where(y == 1, p, 1 - p), 1e-15))),
        "ece": ece(p, y.astype(float)),
        "sensitivity_at_spec90": sensitivity_at_spec90(p, y) if both else nan,
        "ppv_at_prevalence": at_prevalence(tp, tp + fn, tn, tn + fp, prevalence),
        "npv_at_prevalence": at_prevalence(tn, tn + fp, tp, tp + fn, 1 - prevalence if prevalence else 0),
        "observed_expected": y.sum() / p.sum() if p.sum() else nan,
    }


def at_prevalence(right, n_right, missed, n_missed, r):
    """Bayes: of those called so, the share that is so."""
    if not r or not n_right or not n_missed:
        return np.nan
    called = r * right / n_right + (1 - r) * (1 - missed / n_missed)
    return r * right / n_right / called if called else np.nan


def binary_case(name, p, y, threshold=0.5, patient=None, positive=1, prevalence=0):
    p, y = np.round(np.asarray(p, float), 6), np.asarray(y, int)
    group = np.arange(len(y)) if patient is None else np.asarray(patient)
    score = np.stack([1 - p, p] if positive == 1 else [p, 1 - p], 1).reshape(-1)
    case = {"name": name, "n_classes": 2, "positive": positive, "threshold": threshold,
            "score": score, "label": y if positive == 1 else 1 - y,
            "patient": patient, "prevalence": prevalence,
            "value": binary_values(p, y, threshold, prevalence), "ci": {}}
    if len(y) == 0:
        return case
    both = 0 < y.sum() < len(y)
    fits = recalibrate(p, y, group, patient is not None) if both else [None, None]
    few = not both or min(len(np.unique(group[y == k])) for k in (0, 1)) < 10
    for m, fitted in zip(("calibration_intercept", "calibration_slope"), fits):
        case["value"][m] = fitted[0] if fitted else np.nan
        if fitted and not few:
            case["ci"][m] = [fitted[0] - Z * fitted[1], fitted[0] + Z * fitted[1]]
    if p.sum():
        share = wilson(y.sum(), len(y)) if patient is None else cluster_share(y, group)[1]
        case["ci"]["observed_expected"] = [s / p.mean() for s in share]
    called = p >= threshold
    masks = {"accuracy": (np.ones(len(y), bool), called == y),
             "sensitivity": (y == 1, called), "specificity": (y == 0, ~called),
             "ppv": (called, y == 1), "npv": (~called, y == 0)}
    for m, (in_, hit) in masks.items():
        if in_.any():
            case["ci"][m] = (wilson(hit[in_].sum(), in_.sum()) if patient is None
                             else cluster_share(hit[in_], group[in_])[1])
    if both and prevalence and patient is None:
        odds = prevalence / (1 - prevalence)
        se, sp = (called[y == 1].sum(), y.sum()), ((~called)[y == 0].sum(), (1 - y).sum())
        case["ci"]["ppv_at_prevalence"] = predictive_ci(se, sp, odds)
        case["ci"]["npv_at_prevalence"] = predictive_ci(sp, se, 1 / odds)
    if 0 < y.sum() < len(y):
        ci = delong(p, y, group)
        if ci is not None:
            case["ci"]["auc"] = ci
    if y.sum():
        u = (y == 1) | called
        ci = (wilson((y[u] & called[u]).sum(), u.sum()) if patient is None
              else cluster_share(y[u] & called[u], group[u])[1])
        case["ci"]["f1"] = [2 * j / (1 + j) for j in ci]
    return case


def multi_case(name, score, y):
    score = np.round(score / score.sum(1, keepdims=True), 6)
    score[:, -1] = 1 - score[:, :-1].sum(1)
    n, K = score.shape
    called = score.argmax(1)
    there = np.unique(y)
    one = np.eye(K)[y]
    cm = sk.multilabel_confusion_matrix(y, called, labels=range(K))
    rest = {m: [] for m in ("auc", "auprc", "f1", "sensitivity", "specificity", "ppv", "npv",
                            "sensitivity_at_spec90")}
    for k in there:
        tn, fp, fn, tp = cm[k].ravel()
        yk = (y == k).astype(int)
        rest["auc"].append(sk.roc_auc_score(yk, score[:, k]))
        rest["auprc"].append(sk.average_precision_score(yk, score[:, k]))
        rest["sensitivity_at_spec90"].append(sensitivity_at_spec90(score[:, k], yk))
        rest["f1"].append(2 * tp / (2 * tp + fp + fn))
        rest["sensitivity"].append(tp / (tp + fn))
        rest["specificity"].append(tn / (tn + fp))
        rest["ppv"].append(tp / (tp + fp) if tp + fp else np.nan)
        rest["npv"].append(tn / (tn + fn))
    value = {m: np.mean(v) for m, v in rest.items()}
    value.update(accuracy=sk.accuracy_score(y, called),
                 balanced_accuracy=sk.balanced_accuracy_score(y, called),
                 brier=((score - one) ** 2).sum(1).mean(),
                 nll=-np.log(score[np.arange(n), y]).mean(),
                 ece=ece(score.max(1), (called == y).astype(float)))
    return {"name": name, "n_classes": K, "positive": -1, "threshold": 0.5,
            "score": score.reshape(-1), "label": y, "patient": None, "value": value,
            "ci": {"accuracy": wilson((called == y).sum(), n)}}


def draw(rng, n, prevalence, distance):
    y = (rng.random(n) < prevalence).astype(int)
    x = rng.normal(size=n) + distance * y
    return 1 / (1 + np.exp(-(x - distance / 2))), y


def class_cases():
    rng = np.random.default_rng(20240501)
    cases = []
    p, y = draw(rng, 240, 0.3, 1.4)
    cases.append(binary_case("usual", p, y))
    cases.append(binary_case("positive is class 0", p[:60], y[:60], positive=0))
    cases.append(binary_case("threshold .3", p[:80], y[:80], threshold=0.3, prevalence=0.08))
    cases.append(binary_case("ties", np.round(p[:100], 1), y[:100], threshold=0.5))
    cases.append(binary_case("all ties", np.full(40, 0.5), np.arange(40) % 2))
    cases.append(binary_case("auc 1", np.concatenate([np.linspace(0, .4, 20), np.linspace(.6, 1, 15)]),
                             np.repeat([0, 1], [20, 15]), prevalence=0.02))
    cases.append(binary_case("auc 0", np.concatenate([np.linspace(.6, 1, 20), np.linspace(0, .4, 15)]),
                             np.repeat([0, 1], [20, 15])))
    cases.append(binary_case("twelve positives", p[100:190], (np.arange(90) % 8 == 0).astype(int)))
    cases.append(binary_case("few positives", p[:30], (np.arange(30) % 5 == 0).astype(int)))
    cases.append(binary_case("one class", p[:25], np.zeros(25, int)))
    cases.append(binary_case("only positives", p[:25], np.ones(25, int)))
    cases.append(binary_case("one case", [0.7], [1]))
    cases.append(binary_case("empty", [], []))
    cases.append(binary_case("nothing called", np.linspace(0.01, 0.4, 30), np.arange(30) % 2))
    cases.append(binary_case("sure and wrong", [0.0, 1.0, 1.0, 0.0] * 6, [1, 0, 1, 0] * 6))
    patient = rng.integers(0, 70, 160)
    shift = rng.normal(size=70)[patient]
    y = (rng.random(160) < 1 / (1 + np.exp(-shift))).astype(int)
    p = 1 / (1 + np.exp(-(shift + y + rng.normal(size=160) - 0.5)))
    cases.append(binary_case("several images a patient", p, y, patient=patient,
                             prevalence=0.3))
    s = rng.random((220, 4)) + 0.05
    y = rng.integers(0, 4, 220)
    s[np.arange(220), y] += 0.5
    cases.append(multi_case("four classes", s, y))
    y3 = np.where(y == 3, 0, y)
    cases.append(multi_case("a class that is not there", s[:90], y3[:90]))
    return cases


# -------------------------------------------------------------- differences
def compare_cases():
    rng = np.random.default_rng(7)
    out = []
    for name, n, grouped in (("paired", 150, False), ("paired, by patient", 150, True)):
        y = (rng.random(n) < 0.4).astype(int)
        common = rng.normal(size=n)
        patient = rng.integers(0, 60, n) if grouped else None
        group = np.arange(n) if patient is None else patient
        a = np.round(1 / (1 + np.exp(-(common + rng.normal(size=n) + 0.6 * y))), 6)
        b = np.round(1 / (1 + np.exp(-(common + rng.normal(size=n) + 1.6 * y))), 6)
        auc_a, a10, a01 = auc_components(a, y)
        auc_b, b10, b01 = auc_components(b, y)
        d = auc_b - auc_a
        se = np.sqrt(cluster_variance(b10 - a10, b01 - a01, group[y == 1], group[y == 0], d))
        va, vb = binary_values(a, y, 0.5), binary_values(b, y, 0.4)
        boot = []
        groups = np.unique(group)
        members = {g: np.flatnonzero(group == g) for g in groups}
        for _ in range(4000):
            i = np.concatenate([members[g] for g in rng.choice(groups, len(groups))])
            boot.append(((b[i] - y[i]) ** 2).mean() - ((a[i] - y[i]) ** 2).mean())
        out.append({"name": name, "score_a": a, "score_b": b, "label": y, "patient": patient,
                    "threshold_a": 0.5, "threshold_b": 0.4,
                    "value": {m: vb[m] - va[m] for m in va},
                    "auc_ci": [d - Z * se, d + Z * se],
                    "brier_ci_by_chance": np.percentile(boot, [2.5, 97.5])})
    return out


# ---------------------------------------------------------- everything else
def curves():
    """Calibration and decision curves in fifths of [0, 1]; each has 3 of either class."""
    rng = np.random.default_rng(18)
    p = np.round(rng.random(200), 6)
    y = (rng.random(200) < 0.15 + 0.6 * p).astype(int)
    edges = np.linspace(0, 1, 6)
    b = np.minimum((p * 5).astype(int), 4)
    assert all(3 <= (y[b == k] == c).sum() for k in range(5) for c in (0, 1))
    bins = [{"n": (b == k).sum(), "predicted": p[b == k].mean(), "observed": y[b == k].mean(),
             "ci": wilson(y[b == k].sum(), (b == k).sum())} for k in range(5)]
    benefit = []
    for t in edges[1:-1]:
        odds = t / (1 - t)
        term = (p >= t) * (y - (1 - y) * odds)
        half = Z * stats.sem(term)
        benefit.append({"threshold": t, "net_benefit": ((p >= t) & (y == 1)).mean()
                        - ((p >= t) & (y == 0)).mean() * odds, "treat_all": y.mean() - (1 - y.mean()) * odds,
                        "ci": [term.mean() - half, term.mean() + half]})
    return {"score": p, "label": y, "bins": bins, "benefit": benefit}


def more():
    rng = np.random.default_rng(11)
    p, y = draw(rng, 300, 0.4, 1.2)
    p = np.round(p, 6)
    neg, _ = np.histogram(p[y == 0], bins=20, range=(0, 1))
    pos, _ = np.histogram(p[y == 1], bins=20, range=(0, 1))
    edges = np.linspace(0, 1, 21)
    sens = np.array([(p[y == 1] >= e).mean() for e in edges])
    spec = np.array([(p[y == 0] < e).mean() for e in edges])
    centre = (np.minimum((p * 20).astype(int), 19) + 0.5) / 20
    histogram = {
        "score": p, "label": y, "bins": 20, "negatives": neg, "positives": pos,
        "threshold": {str(at): edges[sens >= at].max() for at in (0.5, 0.8, 0.9, 1.0)},
        "youden": edges[np.argmax(sens + spec)],
        "auc": sk.roc_auc_score(y, centre), "auc_of_scores": sk.roc_auc_score(y, p),
        "ci": delong(centre, y, np.arange(300)),
        "half_width": (neg / neg.sum() * pos / pos.sum()).sum() / 2,
    }
    x = np.array([0.91, 0.84, 0.77, 0.88, 0.93])
    fairness = {"value": x, "worst_site": 2, "worst": x.min(), "best": x.max(), "mean": x.mean(),
                "sd": x.std(ddof=1), "gap": np.ptp(x), "jain": x.sum() ** 2 / (len(x) * (x ** 2).sum())}
    target = np.round(rng.normal(10, 3, 60), 4)
    pred = np.round(target + rng.normal(0.2, 1, 60), 4)
    regress = {"pred": pred, "target": target, "mae": sk.mean_absolute_error(target, pred),
               "rmse": np.sqrt(sk.mean_squared_error(target, pred))}
    return {"histogram": histogram, "fairness": fairness, "regress": regress,
            "curves": curves()}


def write(name, what):
    text = json.dumps(plain(what), separators=(",", ":"))
    text = text.replace('{"name"', '\n{"name"')
    with open(os.path.join(HERE, name), "w") as f:
        f.write(text + "\n")


if __name__ == "__main__":
    write("eval_class.json", class_cases())
    write("eval_compare.json", compare_cases())
    write("eval_more.json", more())
