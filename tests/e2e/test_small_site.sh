#!/bin/bash
# test_small_site.sh - a hospital with fewer test patients than min_cell: nothing it sends, and no page, says what they have
. "$(dirname "$0")/lib.sh"

scenario() {
    cat <<EOF
job:
  name: small
  intended_use: tests
  task: $1
  data: {input: [1, 32, 32], classes: [$2], attributes: {sex: [F, M], age: years}}
  model: {name: cnn, channels: [8, 16], fc: 32, dropout: 0.2}
  rounds: 2
  seed: 5
  local: {epochs: 1, batch: 16, optimizer: adam, lr: 0.004}
  sites: {quorum: ${4:-2}, of: all, patience: 60s, late: drop}
  evaluation: {min_cell: 10, subgroups: [sex, age: [50, 65]], uncertainty: {how: "mc:4"}, shift: [blur]}
generate: {phantom: xray, task: $3, difficulty: 0.2, size: 32}
hospitals:
  - {name: nord, patients: {n: {train: 48, val: 24, test: 40}, female: 0.15, age: [60, 14], prevalence: 0.4}, shift: [blur: 1]}
EOF
    [ "${4:-2}" = 1 ] || echo '  - {name: ile, like: nord, patients: {n: {train: 24, val: 6, test: 7}}}'
    echo 'clients: {processes: 2}'
    echo 'baselines: [local]'
}
scenario classify 'normal, opacity' opacity | sed 's/opacity\], attr/opacity], positive: opacity, attr/' >"$work/classify.yaml"
scenario multilabel 'opacity, nodule, effusion' findings >"$work/multilabel.yaml"
scenario classify 'normal, opacity' opacity 1 | sed 's/opacity\], attr/opacity], positive: opacity, attr/' >"$work/alone.yaml"

# says_nothing REPORT: of ile's test cases there is their number, and why there is no more
says_nothing() {
    /usr/bin/python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
ile, nord = (next(s for s in r["sites"] if s["name"] == n) for n in ("ile", "nord"))
WHY = "fewer than 10 patients in the test split"
figures = list(ile["models"].values()) + [ile["benefit"]]
assert len(figures) == 3 and all(f.keys() == nord["models"]["global"].keys() or f is ile["benefit"] for f in figures)
for group in figures:
    for name, f in group.items():
        assert f["why"] == WHY and all(f[k] is None for k in ("value", "ci_low", "ci_high", "n", "n_positive", "n_patients")), (name, f)
for key in ("confusion", "histogram", "uncertainty", "shift", "robustness", "unseen", "annotators"):
    assert key not in ile, key
for key in ("subgroups", "disparities", "calibration", "decision", "by_class"):
    assert not ile.get(key), key
assert not [p for p in ile["problems"] if "class" in p["what"]], ile["problems"]
# Table 1: no count of a part of a small split, and none from which one follows with the number of cases.
def cells(v):
    for key, x in v.items():
        if isinstance(x, dict) and not {"n", "mean"} <= x.keys():
            counts = [n for n in x.values() if not isinstance(n, dict)]
            if counts:
                yield key, counts
            yield from cells(x)
for split in ("val", "test"):
    t = ile["table1"][split]
    assert t["why"], split
    for key, counts in cells({k: t[k] for k in ("classes", "attributes") if k in t}):
        assert counts.count(None) != 1 and not any(n for n in counts if n), (split, key, counts)
# The pool leaves it out and says so; nord is judged as ever.
assert r["pooled"]["missing"] == ["ile"], r["pooled"]["missing"]
assert all(f["n"] in (None, 0) or f["n"] <= nord["n_test"] for f in r["pooled"]["global"].values())
assert nord["models"]["global"]["brier"]["n"] == 40
for round in r["rounds"]:
    at = round["validation"]["sites"]["ile"]
    assert at["why"] and at["n"] == 6 and all(v is None for k, v in at.items() if k not in ("n", "why")), at' "$1"
}

# reasons REPORT: a null has a reason beside it, but for what a figure, a data set or a job does not have (a count of
# positives, a prevalence, a positive class)
reasons() {
    /usr/bin/python3 -c '
import json, sys
def walk(v, path, told=False):
    if isinstance(v, list):
        for x in v:
            yield from walk(x, path, told)
    if isinstance(v, dict):
        told = bool(v.get("why")) or (told and "table1" in path)
        for key, x in v.items():
            if x is None and not told and key not in ("n_positive", "prevalence", "positive"):
                yield path + [key]
            yield from walk(x, path + [key], told)
silent = list(walk(json.load(open(sys.argv[1])), []))
assert not silent, silent' "$1"
}

for task in classify multilabel; do
    if ! "$bin/sim" run "$work/$task.yaml" --out "$work/$task" --quiet >"$work/log" 2>&1; then
        not_ok "$task: a small hospital takes part" "$(cat "$work/log")"
        continue
    fi
    ok "$task: a small hospital takes part"
    report=$work/$task/report
    check "$task: nothing that it sends says what its seven test patients have" says_nothing "$report/report.json"
    check "$task: its page says why" grep -q 'fewer than 10 patients in the test split' "$report/sites/ile.html"
    check "$task: and that joining cannot be judged" grep -q 'Whether joining helps your hospital cannot be judged' "$report/sites/ile.html"
    check "$task: the hospital has its own cases' predictions" test "$(wc -l <"$work/$task/homes/ile/runs/small/predictions.csv")" = 8
    check "$task: and their pictures" grep -q figure "$work/$task/homes/ile/runs/small/worst/index.html"
    if /usr/bin/python3 -c 'import jsonschema' 2>/dev/null; then
        check "$task: the report validates against its schema" /usr/bin/python3 -c '
import json, jsonschema, sys
jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))' "$report/report.json" "$top/proto/report.schema.json"
    else
        skip "$task: the report validates against its schema" "python3-jsonschema is not installed"
    fi
    check "$task: no null is without a reason" reasons "$report/report.json"
done
check "a hospital alone" "$bin/sim" run "$work/alone.yaml" --out "$work/alone" --quiet
check "has no null without a reason either" reasons "$work/alone/report/report.json"
