#!/usr/bin/env python3
"""report_full.py - report.json of the run of tests/report/full.yaml on stdin, what tests need of it on stdout

Three of its five hospitals, one attribute, one shift and few metrics of other models: the whole is ten times
as large.  The sums over hospitals stay those of all five.  Used by tests/report/real_samples.sh.
"""
import json
import sys

KEPT = ("nord", "ouest", "iles")
METRICS = ("auc", "accuracy", "brier", "sensitivity")


def hospitals(by_name):
    return {k: v for k, v in by_name.items() if k in KEPT}


def few(metrics):
    return {k: v for k, v in metrics.items() if k in METRICS}


def short(x):
    if isinstance(x, float):
        return float("%.5g" % x)
    if isinstance(x, dict):
        return {k: short(v) for k, v in x.items()}
    return [short(v) for v in x] if isinstance(x, list) else x


def trim_site(s):
    noise = lambda points: [p for p in points if p["shift"] == "noise"]
    sex = lambda groups: [g for g in groups if g["attribute"] == "sex"]
    s["subgroups"], s["disparities"] = sex(s["subgroups"]), sex(s.get("disparities", []))
    s["shift"], s["robustness"]["shifts"] = noise(s["shift"]), noise(s["robustness"]["shifts"])
    s["robustness"]["worst"] = "noise"
    s["uncertainty"]["shift"] = noise(s["uncertainty"]["shift"])


def trim_team(team):
    for joined in [*team["sites"].values(), team["pooled"]]:
        joined["metrics"], joined["differences"] = few(joined["metrics"]), few(joined["differences"])
        joined["members"] = [few(m) for m in joined["members"]]
        del joined["uncertainty"]["risk_coverage"]


def main():
    r = json.load(sys.stdin)
    r["sites"] = [s for s in r["sites"] if s["name"] in KEPT]
    for s in r["sites"]:
        trim_site(s)
    b = r["baselines"]
    for key in ("centralised", "leave_one_out", "ensemble", "snapshot"):
        b[key]["sites"] = hospitals(b[key]["sites"])
    b["cross_site"]["sites"] = {k: hospitals(v) for k, v in hospitals(b["cross_site"]["sites"]).items()}
    for team in (b["ensemble"], b["snapshot"]):
        trim_team(team)
    for by_name in (b["leave_one_out"]["sites"], *b["cross_site"]["sites"].values()):
        by_name.update({k: few(v) for k, v in by_name.items()})
    for x in r["rounds"]:
        x["participants"] = [n for n in x["participants"] if n in KEPT]
        x["validation"]["sites"] = hospitals(x["validation"]["sites"])
    r["environment"]["sites"] = hospitals(r["environment"]["sites"])
    json.dump(short(r), sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
