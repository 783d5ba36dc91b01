#!/bin/bash
# test_full.sh - all that a simulator can compare, what that costs, and that it goes on where it stopped
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/e2e/tiny.yaml

run() { "$bin/sim" run "$tiny" --out "$work/run" --set rounds=2 --set evaluation.extent=full --set ensemble=2 --set snapshot=2 \
    --set 'evaluation.uncertainty={alpha: 0.2}' --set 'evaluation.shift=[blur]' "$@" >"$work/out" 2>"$work/said"; }
check "a full evaluation" run || { cat "$work/said"; exit 1; }
report=$work/run/report/report.json
check "says what it will train before anything starts" \
    grep -q '^this run will train 4 more federations: 3 of 2 hospitals, without each in turn; 1 with seeds of their own, for an ensemble of 2' "$work/said"
check "and how long, by the time of the first" grep -qE '^4 more federations to train, at most about [0-9]+ (s|min) by the time of the first, [0-9]+ s$' "$work/said"
if /usr/bin/python3 -c 'import jsonschema' 2>/dev/null; then
    check "its report validates against its schema" /usr/bin/python3 -c '
import json, jsonschema, sys
jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))' "$report" "$top/proto/report.schema.json"
else
    skip "its report validates against its schema" "python3-jsonschema is not installed"
fi

# What must hold between the parts of the report.
check "the parts fit each other" /usr/bin/python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
b, sites = r["baselines"], {s["name"]: s for s in r["sites"]}
value = lambda m, k="auc": m[k]["value"]
# The matrix: at home, the model and the figures are those of the hospital itself.
for row in sites:
    home = b["cross_site"]["sites"][row]
    assert set(home) == set(sites), home.keys()
    for metric in ("auc", "brier", "sensitivity"):
        assert home[row][metric] == sites[row]["models"]["local"][metric], (row, metric)
assert b["cross_site"]["missing"] == []
assert any(value(b["cross_site"]["sites"]["nord"][c]) != value(b["cross_site"]["sites"]["sud"][c]) for c in sites)
# The ensemble: the first member is the shared model, the second another.
ensemble, snapshot = b["ensemble"], b["snapshot"]
assert ensemble["seeds"][0] == r["seed"] and len(set(ensemble["seeds"])) == 2 == ensemble["members"]
assert snapshot["rounds"] == [2, 1]
for name, site in sites.items():
    at = ensemble["sites"][name]
    assert at["members"][0]["auc"] == site["models"]["global"]["auc"], name
    assert value(at["members"][1]) != value(at["members"][0]), name
    assert abs(value(at["differences"], "brier") - (value(at["metrics"], "brier") - value(at["members"][0], "brier"))) < 1e-9
    assert at["uncertainty"]["how"] == "ensemble:2"
    # Of the mean of two scores, the Brier score is at most the mean of theirs (it is convex).
    assert value(at["metrics"], "brier") <= sum(value(m, "brier") for m in at["members"]) / 2 + 1e-12
    last = snapshot["sites"][name]["members"][2 - r["select"]["round"]]
    assert last["auc"] == site["models"]["global"]["auc"], "a round as numbers is the round as a network"
assert set(b["leave_one_out"]["sites"]) == set(sites)
# How sure the model is, again under the shift: the same errors as those of the shift itself.
for name, site in sites.items():
    again = site["uncertainty"]["shift"]
    assert [p["severity"] for p in again] == [1, 2, 3, 4, 5], name
    for p, s in zip(again, site["shift"]):
        assert p["shift"] == s["shift"] and p["severity"] == s["severity"]
        assert abs(p["error"]["value"] + s["accuracy"]["value"] - 1) < 1e-9, (name, p, s)
        assert p["coverage"]["value"] is not None and p["coverage"]["n"] == site["n_test"]
for name, site in sites.items():
    assert "personal" in site["models"], name' "$report"

# Members and mean at the tool are those of the report.
members=("$work/run/federation/runs/tiny/model/final.onnx" "$work/run/ensemble/member-2/federation/runs/tiny/model/final.onnx")
"$bin/client" evaluate --model "${members[0]}" --model "${members[1]}" --uncertainty ensemble --data "$work/run/data/est" --seed 5 --json >"$work/tool.json"
check "the tool says the same of the same models" /usr/bin/python3 -c '
import json, sys
tool, report = json.load(open(sys.argv[1]))["models"][2], json.load(open(sys.argv[2]))["baselines"]["ensemble"]["sites"]["est"]
assert tool["metrics"]["auc"] == report["metrics"]["auc"] and tool["uncertainty"] == report["uncertainty"]' "$work/tool.json" "$report"
"$bin/client" evaluate --model "${members[0]}" --model "${members[1]}" --uncertainty ensemble --shift noise:4-5 --data "$work/run/data/est" --seed 5 \
    --threshold 0.5 --json >"$work/shifted.json"
check "and judges it again under a shift" /usr/bin/python3 -c '
import json, sys
u = json.load(open(sys.argv[1]))["models"][2]["uncertainty"]
assert [(p["shift"], p["severity"]) for p in u["shift"]] == [("noise", 4), ("noise", 5)]
assert all(0 <= p["error_kept"]["value"] <= p["error"]["value"] for p in u["shift"])
assert u["conformal"]["quantile"] is None and "200 validation cases" in u["conformal"]["why"]' "$work/shifted.json"
refuses "a round's numbers without their network" 2 'holds numbers only; --graph' \
    "$bin/client" evaluate --model "$work/run/federation/runs/tiny/model/round-0001.safetensors" --data "$work/run/data/est"

stamps() { find "$work/run/leave-one-out" "$work/run/ensemble" -path '*/report/report.json' -printf '%p %T@\n' | sort; }
stamps >"$work/first"
cp "$report" "$work/first.json"
rm -r "$work/run/leave-one-out/sud" "$work/run/federation"
check "the same again" run
check "says how little is left" grep -qE '^1 more federation to train, at most about' "$work/said"
check "and trains no other again" eval '[ "$(stamps | comm -12 - "$work/first" | wc -l)" = "$(($(wc -l <"$work/first") - 1))" ]'
check "with the same figures" /usr/bin/python3 -c '
import json, sys
a, b = (json.load(open(f))["baselines"] for f in sys.argv[1:])
assert a == b' "$work/first.json" "$report"
