"""sure.py classify|segment|multilabel|regress REPORT.json WHERE: "uncertainty" again, from the hospitals' own case tables

WHERE/SITE/{test,val,doubt,doubt-val}.csv are predictions.csv of the test and the validation
split, plain and with the job's members.  Prints a line of TAP a sentence.  No module that
`make check` does not need anyway, and nothing of the project's own.
"""
import csv
import json
import math
import sys

task, report_path, where = sys.argv[1:]
report = json.load(open(report_path))
ALPHA, REFER, MIN_CELL, SUMS, OWN, BINS = 0.1, 0.25, 10, 50, 200, 20


def table(site, name):
    with open(f"{where}/{site}/{name}.csv", newline="") as f:
        return list(csv.DictReader(f))


def tell(sentence, pairs, tolerance):
    """pairs: (what, ours, theirs)"""
    wrong = [p for p in pairs if p[1] is None or not abs(p[1] - p[2]) <= tolerance * max(1, abs(p[2]))]
    print(("not ok - " if wrong or not pairs else "ok - ") + sentence)
    for p in wrong:
        print("#   %s: %s in the report, %s from the cases" % p)
    return not wrong and bool(pairs)


def quantile(values, q):
    """linear between order statistics (Hyndman and Fan's type 7)"""
    v, at = sorted(values), q * (len(values) - 1)
    low = math.floor(at)
    return v[low] + (at - low) * (v[min(low + 1, len(v) - 1)] - v[low])


def auroc(value, wrong):
    bad = [v for v, w in zip(value, wrong) if w]
    good = [v for v, w in zip(value, wrong) if not w]
    return sum((b > g) + (b == g) / 2 for b in bad for g in good) / (len(bad) * len(good))


def kept_error(value, error, share):
    """of the surest 1 - share of cases; cases of equal value in proportion"""
    left, total, at = (1 - share) * len(value), 0.0, 0.0
    for v in sorted(set(value)):
        group = [e for u, e in zip(value, error) if u == v]
        part = min(len(group), left - at)
        total += part * sum(group) / len(group)
        at += part
        if at >= left:
            break
    return total / at


def pearson(x, y):
    mx, my = sum(x) / len(x), sum(y) / len(y)
    xy = sum((a - mx) * (b - my) for a, b in zip(x, y))
    return xy / math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))


def midranks(x):
    return [sum((b < a) + (b == a) / 2 for b in x) for a in x]


def scores(rows):
    """(score of class 0, of class 1), label of the labelled cases"""
    return [((float(r["score_0"]), float(r["score_1"])), int(r["label"])) for r in rows if r["label"]]


def tempered(s, T):
    p = [max(x, 1e-300) ** (1 / T) for x in s]
    return [x / sum(p) for x in p]


def loss(cases, T):
    return sum(-math.log(max(tempered(s, T)[y], 1e-15)) for s, y in cases) / len(cases)


def best_temperature(cases):
    """golden section on log T; the loss is convex in 1/T"""
    a, b, g = math.log(1 / 16), math.log(16), (math.sqrt(5) - 1) / 2
    while b - a > 1e-7:
        c, d = b - g * (b - a), a + g * (b - a)
        a, b = (a, d) if loss(cases, math.exp(c)) < loss(cases, math.exp(d)) else (c, b)
    return math.exp((a + b) / 2)


def pooled_quantile(sites):
    """upper edges of the bins in which sites of MIN_CELL cases count them"""
    edges = []
    for cases in sites:
        count, joined, waiting = [0] * BINS, [0] * BINS, 0
        for s, y in cases:
            count[min(max(math.ceil((1 - s[y]) * BINS) - 1, 0), BINS - 1)] += 1
        for k in range(BINS):
            waiting += count[k]
            if waiting >= MIN_CELL:
                joined[k], waiting = waiting, 0
        if waiting:  # too few above: the last count moves up to them
            last = max(k for k in range(BINS) if joined[k])
            top = max(k for k in range(BINS) if count[k])
            joined[last], joined[top] = 0, joined[last] + waiting
        for k in range(BINS):
            edges += [(k + 1) / BINS] * joined[k]
    rank = math.ceil((len(edges) + 1) * (1 - ALPHA))
    return sorted(edges)[rank - 1] if rank <= len(edges) else 1.0


def check_classify():
    good, val = True, {s["name"]: scores(table(s["name"], "val")) for s in report["sites"]}
    counted = [c for c in val.values() if len(c) >= MIN_CELL]
    summed = [c for c in counted if len(c) >= SUMS]
    pooled = [c for cases in summed for c in cases]
    calibration = report["calibration"]
    good &= tell("the federation counts those who have enough cases, and nobody else's",
                 [("sites", calibration["temperature"]["n_sites"], len(summed)),
                  ("cases", calibration["temperature"]["n"], len(pooled)),
                  ("sites of counts", calibration["conformal"]["n_sites"], len(counted)),
                  ("without", calibration["sites_without"], len(val) - len(counted))], 0)
    T = best_temperature(pooled)
    # The cubic between the points is within .1 %, what the sums were rounded by more.
    good &= tell("its temperature is the one of these validation scores in one place, within 1 %",
                 [("temperature", calibration["temperature"]["value"], T)], 1e-2 * T)
    q = pooled_quantile(counted)
    good &= tell("and its quantile that of the counts",
                 [("quantile", calibration["conformal"]["quantile"], q)], 1e-9)
    coverage, at_T, detection = [], [], []
    for site in report["sites"]:
        name, u = site["name"], site["uncertainty"]
        test, doubt = scores(table(name, "test")), table(name, "doubt")
        own = sorted(1 - s[y] for s, y in val[name])
        mine, source = q, "pooled"
        if len(own) >= OWN:
            mine, source = own[math.ceil((len(own) + 1) * (1 - ALPHA)) - 1], "own"
        sets = [[k for k in (0, 1) if 1 - s[k] <= mine] for s, _ in test]
        c = u["conformal"]
        coverage += [(name + " quantile", c["quantile"], mine),
                     (name + " coverage", c["coverage"]["value"],
                      sum(y in k for k, (_, y) in zip(sets, test)) / len(test)),
                     (name + " set size", c["set_size"]["value"], sum(map(len, sets)) / len(test)),
                     (name + " single", c["single"], sum(len(k) == 1 for k in sets) / len(test)),
                     (name + " source", c["source"] == source, True)]
        # The cubic that the sums make stands between; what follows is at the report's own temperature.
        T_used = u["temperature"]["value"]
        at_T += [(name + " nll", u["temperature"]["metrics"]["nll"]["value"], loss(test, T_used)),
                 (name + " brier", u["temperature"]["metrics"]["brier"]["value"],
                  sum((tempered(s, T_used)[1] - y) ** 2 for s, y in test) / len(test))]
        threshold = report["threshold"]["value"]
        wrong = [(float(r["score_1"]) >= threshold) != (int(r["label"]) == 1) for r in doubt]
        detection += of_doubt(name, u, doubt, wrong)
        for measure in u["measures"]:
            detection.append((name + " AUROC of " + measure, u["measures"][measure]["auroc"]["value"],
                              auroc([float(r[measure]) for r in doubt], wrong)))
    good &= tell("coverage and size of conformal sets are those of the hospital's own scores", coverage, 1e-9)
    good &= tell("so are log loss and Brier score at the temperature", at_T, 1e-9)
    good &= tell("so is what uncertainty says of wrong calls", detection, 1e-9)
    return good


def of_doubt(name, u, doubt, error):
    """Figures of the measure that ranks."""
    rank = [float(r[u["measure"]]) for r in doubt]
    mean, kept = sum(error) / len(error), kept_error(rank, error, REFER)
    out = [(name + " error", u["error"]["value"], mean),
           (name + " error kept", u["refer"]["error_kept"]["value"], kept),
           (name + " cut", u["refer"]["cut"]["value"], 1 - kept / mean)]
    for point in u["risk_coverage"]:
        out.append(("%s risk at %g" % (name, point["coverage"]), point["risk"],
                    kept_error(rank, error, 1 - point["coverage"])))
    limit = quantile([float(r[u["measure"]]) for r in table(name, "doubt-val")], 1 - REFER)
    flagged = sum(v >= limit for v in rank)
    if all(n == 0 or n >= MIN_CELL for n in (flagged, len(rank) - flagged)):
        out += [(name + " limit", u["flag"]["limit"], limit),
                (name + " flagged", u["flag"]["n_flagged"], flagged)]
    else:
        out.append((name + " hidden limit", float(u["flag"]["limit"] is None), 1.0))
    return out


def dice_error(row):
    return 1 - float(row["dice"]) if row["dice"] else None


def number_error(row):
    return abs(float(row["score_0"]) - float(row["label"])) if row["label"] else None


def wrong_finding(row, k):
    """None: nobody said"""
    label, threshold = row["label_%d" % k], report["threshold"]["value"]
    return (float(row["score_%d" % k]) >= threshold) != (float(label) == 1) if label else None


def share_of_findings(row):
    wrong = [w for w in (wrong_finding(row, k) for k in range(n_findings(row))) if w is not None]
    return sum(wrong) / len(wrong) if wrong else None


def n_findings(row):
    return sum(key.startswith("label_") for key in row)


def bits(p):
    return -sum(x * math.log(x) for x in (p, 1 - p) if x > 0)


def of_findings(name, u, rows):
    """Each finding by its own entropy, and the case's entropy their mean."""
    out = [(name + " entropy", float(r["entropy"]),
            sum(bits(float(r["score_%d" % k])) for k in range(n_findings(r))) / n_findings(r)) for r in rows]
    for k, f in enumerate(u["findings"]):
        asked = [(bits(float(r["score_%d" % k])), wrong_finding(r, k)) for r in rows if wrong_finding(r, k) is not None]
        n_wrong = sum(w for _, w in asked)
        out += [(name + " wrong of " + f["class"], f["n_wrong"], n_wrong), (name + " n", f["n"], len(asked))]
        if 0 < n_wrong < len(asked):
            out.append((name + " AUROC at " + f["class"], f["entropy"]["value"], auroc(*zip(*asked))))
    return out


def check_errors(error_of):
    figures = []
    for site in report["sites"]:
        name, u = site["name"], site["uncertainty"]
        rows = [r for r in table(name, "doubt") if error_of(r) is not None]
        error = [error_of(r) for r in rows]
        figures += of_doubt(name, u, rows, error)
        for measure, m in u["measures"].items():
            value = [float(r[measure]) for r in rows]
            figures += [(name + " r of " + measure, m["pearson"]["value"], pearson(value, error)),
                        (name + " rho of " + measure, m["spearman"]["value"],
                         pearson(midranks(value), midranks(error)))]
        if "findings" in u:
            figures += of_findings(name, u, rows)
    return tell("what uncertainty says of the error is so in the hospital's own tables", figures, 1e-9)


ERRORS = {"segment": dice_error, "multilabel": share_of_findings, "regress": number_error}
sys.exit(0 if (check_classify() if task == "classify" else check_errors(ERRORS[task])) else 1)
