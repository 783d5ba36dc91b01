#!/usr/bin/env python3
"""report_sample.py - a rich, plausible report to look at and to test pages with

Writes tests/report/sample.json.  Five hospitals: one was never there, one has
a test split of one class (no AUC), one has few cases, one writes HTML into its
texts.  Needs what eval_vectors.py needs:
    /tmp/v/bin/python tests/vectors/report_sample.py
"""
import hashlib
import json
import os

import numpy as np

import eval_gaps as eg
import eval_vectors as ev

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "report", "sample.json")
RNG = np.random.default_rng(5)
MORE = np.random.default_rng(6)  # of what was added later: what was there stays as it was
THRESHOLD, MIN_CELL, BINS = 0.35, 10, 20

SITES = {  # train, val, test, prevalence, distance global, local, centralised
    "nord": (1500, 180, 400, 0.30, 2.00, 1.75, 2.05),
    "sud": (150, 60, 400, 0.22, 1.55, 0.85, 1.60),
    "est": (620, 90, 400, 0.38, 1.15, 1.12, 1.30),
    "ouest": (210, 40, 60, 0.0, 1.60, 1.10, 1.70),
}
ABSENT = "centre"
ROUNDS = 20


def figure(value, ci, n, n_pos, method, why=""):
    none = value is None or not np.isfinite(value)
    ci = [None, None] if none or ci is None else [float(x) for x in ci]
    r = lambda v: None if v is None else float("%.10g" % v)
    return {"value": None if none else r(value), "ci_low": r(ci[0]), "ci_high": r(ci[1]), "n": int(n),
            "n_positive": int(n_pos), "n_patients": int(n),
            "method": method if ci[0] is not None else "none", "why": why}


def boot(p, y, f, reps=300, rng=RNG):
    v = [f(p[i], y[i]) for i in (rng.integers(0, len(y), len(y)) for _ in range(reps))]
    return np.percentile(v, [2.5, 97.5])


def figures(p, y, prevalence=0):
    case = ev.binary_case("", p, y, THRESHOLD, prevalence=prevalence)
    values = case["value"]
    called, out = p >= THRESHOLD, {}
    rests = {"sensitivity": y == 1, "specificity": y == 0, "ppv": called, "npv": ~called}
    for m, v in values.items():
        inside = rests.get(m, np.ones(len(y), bool))
        n, n_pos = inside.sum(), (y[inside] == 1).sum()
        if not np.isfinite(v):
            why = ("no prevalence is declared" if "prevalence" in m and not prevalence else
                   "fewer than 200 cases: would mostly be chance" if m == "ece"
                   else "no positive cases" if m != "npv" else "no case was called negative")
            out[m] = figure(None, None, n, n_pos, "none", why)
            continue
        if m in ("auc", "auprc", "balanced_accuracy", "sensitivity_at_spec90", "calibration_slope",
                 "calibration_intercept") and min(y.sum(), (1 - y).sum()) < 10:
            out[m] = figure(v, None, n, n_pos, "none", "too few cases: %d positive, %d negative; 10 of each are needed"
                            % (y.sum(), (1 - y).sum()))
            continue
        if m in case["ci"]:
            ci = case["ci"][m]
            method = {"auc": "DeLong, logit scale", "calibration_slope": "Wald",
                      "calibration_intercept": "Wald", "observed_expected": "Wilson, score fixed",
                      "ppv_at_prevalence": "Wilson, MOVER ratio",
                      "npv_at_prevalence": "Wilson, MOVER ratio"}.get(m, "Wilson")
        elif m == "sensitivity_at_spec90":
            f = lambda a, b: ev.sensitivity_at_spec90(a, b) if 0 < b.sum() < len(b) else np.nan
            ci, method = boot(p, y, f, rng=MORE), "bootstrap 2000"
            ci = [min(ci[0], v), max(ci[1], v)]
        elif m == "balanced_accuracy":
            ci, method = [v - 0.04, min(1, v + 0.04)], "Wilson, MOVER"
        else:
            f = {"brier": lambda a, b: np.mean((a - b) ** 2),
                 "nll": lambda a, b: -np.mean(np.log(np.where(b == 1, a, 1 - a))),
                 "ece": ev.ece,
                 "auprc": lambda a, b: ev.sk.average_precision_score(b, a) if b.any() else np.nan}[m]
            ci, method = boot(p, y, f), "bootstrap 2000"
            ci = [min(ci[0], v), max(ci[1], v)]
        out[m] = figure(v, ci, n, n_pos, method)
    if 0 < y.sum() < len(y) and out["auc"]["ci_low"] is not None:
        out["auc"]["se"] = float("%.10g" % eg.auc_with_error(p, y)[1])
    return out


def joined_bins(p, y, n_bins):
    """Bins that hold MIN_CELL cases of either class, or none of one."""
    shown = lambda i: all(k == 0 or k >= MIN_CELL for k in (y[i].sum(), (1 - y[i]).sum())) and i.any()
    b, out = np.minimum((p * n_bins).astype(int), n_bins - 1), []
    first = 0
    for k in range(n_bins):
        inside = (b >= first) & (b <= k)
        if shown(inside):
            out.append((first, k + 1))
            first = k + 1
    while first < n_bins and out:
        first = out.pop()[0]
        if shown(b >= first):
            out.append((first, n_bins))
            break
    return [(a / n_bins, z / n_bins, (b >= a) & (b < z)) for a, z in out]


def curves(p, y):
    calibration = []
    for low, high, i in joined_bins(p, y, 10):
        ci = ev.wilson(y[i].sum(), i.sum())
        calibration.append({"low": low, "high": high, "n": i.sum(), "predicted": p[i].mean(),
                            "observed": y[i].mean(), "ci_low": ci[0], "ci_high": ci[1]})
    decision = []
    for t, _, _ in joined_bins(p, y, 20)[1:]:
        odds = t / (1 - t)
        term = (p >= t) * (y - (1 - y) * odds)
        half = ev.Z * term.std(ddof=1) / np.sqrt(len(y))
        decision.append({"threshold": t, "net_benefit": term.mean(), "ci_low": term.mean() - half,
                         "ci_high": term.mean() + half, "treat_all": y.mean() - (1 - y.mean()) * odds})
    return {"calibration": calibration, "decision": decision}


def disparities(p, y, groups):
    """As eval_disparities: each shown group less the others together."""
    out = []
    for name, value in groups:
        cells = [v for v in sorted(set(value)) if (value == v).sum() >= 60]
        for v in cells[:1] if len(cells) == 2 else cells if len(cells) > 2 else []:
            i, j = value == v, np.isin(value, [c for c in cells if c != v])
            entry = {"attribute": name, "value": str(v), "n": i.sum(), "n_other": j.sum(),
                     "other": str(cells[1]) if len(cells) == 2 else "the others"}
            for gap, g in eg.pair(p, y, p >= THRESHOLD, i, j).items():
                entry[gap] = figure(g["value"], g["ci"], i.sum() + j.sum(), 0, "MOVER of Wilson")
                entry[gap]["p"] = g["p"]
            out.append(entry)
    tested = [g for e in out for g in e.values() if isinstance(g, dict) and g["p"] is not None]
    for g, adjusted in zip(tested, eg.holm(np.array([g["p"] for g in tested]))):
        g |= {"p_holm": adjusted, "flagged": bool(adjusted < 0.04)}
    for g in (g for e in out for g in e.values() if isinstance(g, dict)):
        if g["p"] is None:
            del g["p"]
    return out


def across(figures):
    """Random effects over the sites whose AUC has a standard error."""
    known = [f for f in figures.values() if f.get("se")]
    a, se = (np.array([f[k] for f in known]) for k in ("value", "se"))
    m = eg.reml(ev.logit(a), (se / (a * (1 - a))) ** 2)
    back = lambda x: float(1 / (1 + np.exp(-x)))
    return {"n_sites": len(known), "mean": back(m["mean"]), "ci_low": back(m["ci"][0]),
            "ci_high": back(m["ci"][1]), "tau2": m["tau2"], "i2": m["i2"],
            "prediction_low": back(m["prediction"][0]), "prediction_high": back(m["prediction"][1]),
            "scale": "logit", "left_out": [k for k, f in figures.items() if not f.get("se")],
            "method": "random effects, REML, Hartung-Knapp", "why": ""}


def difference(a, b, y):
    out = {}
    for m in ("auc", "auprc", "sensitivity", "specificity", "brier", "nll"):
        va, vb = ev.binary_values(a, y, THRESHOLD)[m], ev.binary_values(b, y, THRESHOLD)[m]
        d = vb - va
        if not np.isfinite(d):
            out[m] = figure(None, None, len(y), y.sum(), "none", "no positive cases")
            continue
        if m == "auc":
            auc_a, a10, a01 = ev.auc_components(a, y)
            auc_b, b10, b01 = ev.auc_components(b, y)
            g = np.arange(len(y))
            se = np.sqrt(ev.cluster_variance(b10 - a10, b01 - a01, g[y == 1], g[y == 0], d))
            ci, method = [d - ev.Z * se, d + ev.Z * se], "DeLong, paired"
        else:
            ci, method = [d - 0.03, d + 0.03], "paired bootstrap 2000"
        out[m] = figure(d, ci, len(y), y.sum(), method)
    return out


def scores(x, y, distance, noise):
    z = 1.1 * (noise * 0.8 + RNG.normal(size=len(y)) * 0.6 + distance * (y - 0.45)) - 0.6
    return np.round(1 / (1 + np.exp(-z)), 6)


def subgroups(p, y, sex, age, scanner):
    out = []
    bands = np.array(["0-40", "40-60", "60-80", "80+"])[np.digitize(age, [40, 60, 80])]
    for name, value in (("sex", sex), ("age", bands), ("scanner", scanner)):
        cells = {v: (value == v) for v in sorted(set(value))}
        hidden = {v for v, i in cells.items() if i.sum() < MIN_CELL}
        while 0 < len(hidden) < len(cells) and (len(hidden) == 1 or sum(cells[v].sum() for v in hidden) < MIN_CELL):
            hidden.add(min((v for v in cells if v not in hidden), key=lambda v: cells[v].sum()))
        for v, i in cells.items():
            if v in hidden:
                out.append({"attribute": name, "value": str(v), "n": None,
                            "why": "under 10 patients, or hidden so that such a cell stays hidden"})
            else:
                f = figures(p[i], y[i])
                out.append({"attribute": name, "value": str(v), "n": int(i.sum()),
                            **{m: f[m] for m in ("auc", "sensitivity", "specificity", "brier")}})
    return out


def table1(n, prevalence, female, age, scanners):
    def split(k):
        sick = int(round(k * prevalence))
        f = int(round(k * female))
        counts, left = {}, k
        for s, share in scanners.items():
            counts[s] = min(left, int(np.ceil(k * share)))
            left -= counts[s]
        return {"n": k, "patients": k, "classes": {"normal": k - sick, "opacity": sick},
                "attributes": {"sex": {"F": f, "M": k - f}, "age": {"n": k, "mean": age[0], "sd": age[1]},
                               "scanner": counts}}
    return {s: split(k) for s, k in zip(("train", "val", "test"), n)}


def main():
    sites, pooled, histograms, centralised = [], [], [0, 0], {}
    for name, (n_train, n_val, n_test, prevalence, dg, dl, dc) in SITES.items():
        y = (RNG.random(n_test) < prevalence).astype(int)
        noise = RNG.normal(size=n_test)
        g, l, c = (scores(None, y, d, noise) for d in (dg, dl, dc))
        sex = np.where(RNG.random(n_test) < 0.48, "F", "M")
        age = np.clip(RNG.normal(63, 14, n_test), 20, 95)
        scanner = np.where(RNG.random(n_test) < 0.985, "GE Definium", "portable")
        neg, _ = np.histogram(g[y == 0], bins=BINS, range=(0, 1))
        pos, _ = np.histogram(g[y == 1], bins=BINS, range=(0, 1))
        histograms = [histograms[0] + neg, histograms[1] + pos]
        pooled.append((g, y, c))
        centralised[name] = figures(c, y)
        prior = 0.08 if name == "nord" else 0
        confusion = lambda p: {"tp": int(((p >= THRESHOLD) & (y == 1)).sum()), "fp": int(((p >= THRESHOLD) & (y == 0)).sum()),
                               "fn": int(((p < THRESHOLD) & (y == 1)).sum()), "tn": int(((p < THRESHOLD) & (y == 0)).sum())}
        total = n_train + n_val + n_test
        site = {"name": name, "n_train": n_train, "n_val": n_val, "n_test": n_test,
                "weight": n_train, "rounds_joined": {"sud": 18, "ouest": 19}.get(name, ROUNDS),
                "flow": {"files": total + (7 if name == "sud" else 2), "cases": total, "patients": total,
                         "refused": {"not an image": 4, "patient without a label": 3} if name == "sud" else {"truncated file": 2},
                         "analysed": {"train": n_train, "val": n_val, "test": n_test}},
                "table1": table1((n_train, n_val, n_test), prevalence, 0.48, (63.2, 14.1), {"GE Definium": 0.98, "portable": 0.02}),
                "reference_standard": {"nord": "two radiologists, consensus",
                                       "est": "<b>one</b> radiologist & \"the report\" <script>alert(1)</script>"}.get(name, "not provided"),
                "problems": [{"what": "pixel spacing missing", "where": "train", "n": 12}] if name == "est" else [],
                "models": {"global": figures(g, y, prior), "local": figures(l, y, prior)},
                "thresholds": {"global": THRESHOLD, "local": 0.3},
                "local": {"best_step": n_train // 8, "steps": n_train // 4},
                "confusion": {"global": confusion(g), "local": confusion(l)},
                "histogram": {"bins": BINS, "negatives": [int(v) for v in neg], "positives": [int(v) for v in pos]},
                "subgroups": subgroups(g, y, sex, age, scanner),
                "benefit": difference(l, g, y), "test_opened": 1}
        if y.any():
            bands = np.array(["0-40", "40-60", "60-80", "80+"])[np.digitize(age, [40, 60, 80])]
            site |= curves(g, y)
            site["disparities"] = disparities(g, y, (("sex", sex), ("age", bands)))
        if name == "nord":
            site["prevalence"] = 0.08
        sites.append(site)

    aucs = {s["name"]: s["models"]["global"]["auc"]["value"] for s in sites}
    rounds = []
    for r in range(1, ROUNDS + 1):
        rise = 1 - np.exp(-r / 4)
        val = {}
        for s in sites:
            target = aucs[s["name"]]
            val[s["name"]] = {"auc": None if target is None else round(float(0.5 + (target - 0.5) * rise + RNG.normal(0, 0.008)), 4),
                              "loss": round(float(0.7 - 0.28 * rise + RNG.normal(0, 0.008)), 4),
                              "accuracy": round(float(0.62 + 0.2 * rise + RNG.normal(0, 0.01)), 4), "n": s["n_val"]}
        absent = [{"site": ABSENT, "reason": "never connected"}]
        if r in (7, 8):
            absent.append({"site": "sud", "reason": "no progress for 10m: stalled at step 31 of 60"})
        if r == 12:
            absent.append({"site": "ouest", "reason": "connection lost, back in round 13"})
        gone = {a["site"] for a in absent}
        mean = lambda k: round(float(np.average([v[k] for v in val.values() if v[k] is not None],
                                                weights=[v["n"] for v in val.values() if v[k] is not None])), 4)
        rounds.append({"round": r, "seconds": round(float(3.1 + RNG.random()), 2), "bytes_up": 183554 * (5 - len(gone)),
                       "bytes_down": 734216, "loss": round(float(0.68 - 0.4 * rise + RNG.normal(0, 0.01)), 4),
                       "participants": [s["name"] for s in sites if s["name"] not in gone], "absent": absent,
                       "model_sha256": hashlib.sha256(b"round %d" % r).hexdigest(),
                       "validation": {"auc": mean("auc"), "loss": mean("loss"), "accuracy": mean("accuracy"),
                                      "n": sum(v["n"] for v in val.values()), "sites": val}})
    best = max(rounds, key=lambda x: x["validation"]["auc"])
    p, y, c = (np.concatenate([q[i] for q in pooled]) for i in range(3))
    known = {k: v for k, v in aucs.items() if v is not None}
    x = np.array(list(known.values()))
    worst = min(known, key=known.get)
    report = {
        "format": "consilium-report-1", "job": "chest-opacity",
        "intended_use": "triage of adult frontal chest X-rays for opacity, second reader",
        "task": "classify", "run": "chest-opacity-1", "federation": "four-winds", "created": "2026-01-31T12:00:00Z",
        "names": "real", "classes": ["normal", "opacity"], "positive": "opacity",
        "strategy": "fedprox", "strategy_settings": {"mu": 0.01},
        "strategy_paper": "Li et al. 2020, Federated Optimization in Heterogeneous Networks",
        "seed": 1, "rounds_done": ROUNDS, "rounds_planned": ROUNDS, "simulated": True,
        "model": {"name": "cnn", "paper": "after LeCun et al. 1998", "parameters": 45890, "sha256": best["model_sha256"]},
        "rounds": rounds,
        "select": {"round": best["round"], "metric": "auc", "split": "val", "keep": "best", "value": best["validation"]["auc"]},
        "threshold": {"rule": "sensitivity", "at": 0.9, "split": "val", "value": THRESHOLD, "bins": BINS, "why": ""},
        "evaluation": {"margin": {"auc": 0.02}, "min_cell": MIN_CELL, "histogram_bins": BINS, "local_budget": "same_steps"},
        "test_evaluations": 1, "sites": sites,
        "absent": [{"site": ABSENT, "reason": "never connected: the invitation was not used"}],
        "pooled": {"global": figures(p, y), "method": "score histograms of the sites, added", "missing": [ABSENT],
                   "across_sites": {"auc": across({s["name"]: s["models"]["global"]["auc"] for s in sites})},
                   "benefit_across_sites": {},
                   "auc_half_width": float((histograms[0] / histograms[0].sum() * histograms[1] / histograms[1].sum()).sum() / 2)},
        "baselines": {"centralised": {"pooled": figures(c, y), "sites": centralised, "threshold": 0.33,
                                      "settings": {"epochs": 20, "optimizer": "sgd", "lr": 0.01}},
                      "global_on_pooled": figures(p, y)},
        "fairness": {"metric": "auc", "worst_site": worst, "worst": x.min(), "best": x.max(), "mean": x.mean(),
                     "sd": x.std(ddof=1), "gap": np.ptp(x), "jain": x.sum() ** 2 / (len(x) * (x ** 2).sum()),
                     "n_sites": len(x), "subgroup_gaps": {"sex": 0.03, "age": 0.07}},
        "privacy": {"secure_aggregation": False, "dp": "none",
                    "statement": "The coordinator could see each hospital's update. No noise was added to it. Images, labels and patient records never left a hospital.",
                    "left": ["model updates, once a round and site", "validation figures and score histograms, once a round and site",
                             "test figures and counts, once, for the selected model"]},
        "security": {"transport": "CURVE (Curve25519, XSalsa20-Poly1305), allow-list of site keys",
                     "refusals": [{"time": "2026-01-31T11:58:03Z", "address": "192.0.2.17", "what": "connection",
                                   "reason": "key is not on the list", "count": 3}]},
        "environment": {"consilium": "0.1.0",
                        "coordinator": {"cpu": "AMD EPYC 9354", "dnnl": "2.6.3", "threads": 1},
                        "sites": {s: "consilium 0.1.0, 1 thread, AVX-512, oneDNN 2.6.3" for s in SITES}},
    }
    with open(OUT, "w") as f:
        json.dump(ev.plain(report), f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
