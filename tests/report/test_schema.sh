#!/bin/sh
# test_schema.sh - the schema accepts a report and refuses what is none.
# Prints TAP; run by tests/run from the top folder.

python=/usr/bin/python3
if ! "$python" -W ignore -c 'import jsonschema; jsonschema.Draft202012Validator' 2>/dev/null; then
    echo "skipped - the schema of report.json: python3-jsonschema is not installed"
    exit 0
fi
exec "$python" -W ignore - <<'EOF2'
import copy
import json
import sys

import jsonschema

schema = json.load(open("proto/report.schema.json"))
sample = json.load(open("tests/report/sample.json"))
failed = 0


def report(good, sentence):
    global failed
    failed += not good
    print("ok -" if good else "not ok -", sentence)


jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for name in ("sample", "sure", "masks", "full"):
    one = json.load(open("tests/report/%s.json" % name))
    problems = [e.message[:200] for e in validator.iter_errors(one)]
    report(not problems, "%s.json keeps to the schema" % name)
    for p in problems:
        print("#  ", p)

# The paths that test_check.c damages, where a schema can see the damage.
damages = {
    "format": "consilium-report-9", "job": 7, "rounds_done": -1, "sites/2/n_test": -3,
    "sites/0/name": "../x", "sites/0/n_train": 3.7, "sites/0/models/global/auc": 0.9,
    "sites/0/models/global/auc/value": 1.7, "sites/0/models/global/fortune": {},
    "sites/0/confusion/global/tp": -1, "sites/0/histogram/negatives/3": -2,
    "sites/0/subgroups/0/n": "many", "sites/0/benefit/auc/value": 1.5,
    "rounds/3/absent/0": {"site": "nord"}, "rounds/3/validation/auc": 2,
    "fairness/gap": -1, "privacy": {}, "privacy/secure_aggregation": "no",
}
for path, value in damages.items():
    damaged = copy.deepcopy(sample)
    *parents, last = [int(k) if k.isdigit() else k for k in path.split("/")]
    at = damaged
    for key in parents:
        at = at[key]
    at[last] = value
    report(not validator.is_valid(damaged), "refused: %s = %s" % (path, json.dumps(value)))

null = copy.deepcopy(sample)
null["sites"][0]["models"]["global"]["auc"].update(value=None, ci_low=None, ci_high=None, why="")
report(not validator.is_valid(null), "refused: a figure without value and without reason")
sys.exit(1 if failed else 0)
EOF2
