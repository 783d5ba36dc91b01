#!/bin/bash
# test_report_pages.sh - a real run's report keeps to its schema and opens in a browser
. "$(dirname "$0")/lib.sh"

"$bin/sim" run "$top/tests/e2e/tiny.yaml" --out "$work/run" --quiet --set 'baselines=[local, personal, centralised, leave_one_out]' >"$work/log" 2>&1 ||
    { not_ok "the run" "$(cat "$work/log")"; exit 1; }
report=$work/run/report
# The cost is said unless --quiet; a folder that is in the way ends the run right behind it.
mkdir "$work/taken" && touch "$work/taken/thesis.tex"
"$bin/sim" run "$top/tests/e2e/tiny.yaml" --out "$work/taken" --set 'baselines=[leave_one_out]' >"$work/cost" 2>&1
if /usr/bin/python3 -c 'import jsonschema' 2>/dev/null; then
    check "report.json validates against its schema" /usr/bin/python3 -c '
import json, jsonschema, sys
jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))' "$report/report.json" "$top/proto/report.schema.json"
else
    skip "report.json validates against its schema" "python3-jsonschema is not installed"
fi
check "every site has its page" test -s "$report/sites/nord.html" -a -s "$report/sites/sud.html" -a -s "$report/sites/est.html"
check "rounds.csv has a line a round" eval '[ "$(wc -l <"$report/rounds.csv")" = 4 ]'
check "sites.csv has global and local AUC of every site" eval '[ "$(grep -cE "^(nord|sud|est),(global|local),auc," "$report/sites.csv")" = 6 ]'
check "and the AUC of a model that each site took no part in" eval '[ "$(grep -cE "^(nord|sud|est),left_out,auc,0" "$report/sites.csv")" = 3 ]'
check "the AUC of each hospital's fine-tuned model" eval '[ "$(grep -cE "^(nord|sud|est),personal,auc,0" "$report/sites.csv")" = 3 ]'
check "and what it has gained, paired" eval '[ "$(grep -cE "^(nord|sud|est),personal_gain,auc,.*paired" "$report/sites.csv")" -ge 1 ]'
# The file in the hospital is the model that was judged: at the tool it has the same figures.
"$bin/client" evaluate --model "$work/run/homes/sud/runs/tiny/own/personal.onnx" --data "$work/run/data/sud" --seed 5 --json >"$work/personal.json" 2>"$work/personal.log"
check "a hospital's fine-tuned model is the hospital's to use" /usr/bin/python3 -c '
import json, sys
tool = json.load(open(sys.argv[1]))
site = [s for s in json.load(open(sys.argv[2]))["sites"] if s["name"] == "sud"][0]
for m in ("auc", "brier", "sensitivity"):
    assert tool["metrics"][m] == site["models"]["personal"][m], (m, tool["metrics"][m], site["models"]["personal"][m])
assert tool["threshold"] == site["thresholds"]["personal"]' "$work/personal.json" "$report/report.json"
check "which two sites trained" eval '[ "$(json "$work/run/leave-one-out/sud/report/report.json" .rounds.0.participants)" = "[\"est\", \"nord\"]" ]'
check "says what it costs before it starts" grep -q '^this run will train 3 more federations: 3 of 2 hospitals, without each in turn' "$work/cost"
check "and again in French, beside the English ones" "$bin/coordinator" report "$work/run/federation/runs/tiny" --lang fr
check "in which nothing of the programs' is left in English" eval '! grep -l "<span lang=\"en\">" "$report"/index.fr.html "$report"/sites/*.fr.html'
home=$work/run/homes/sud
check "a hospital makes its page again, in French" "$bin/client" report --home "$home" --lang fr
check "beside the English one" test -s "$home/runs/tiny/report.html" -a -s "$home/runs/tiny/report.fr.html"
check "in which nothing is left in English either" eval '! grep -q "<span lang=\"en\">" "$home/runs/tiny/report.fr.html"'
refuses "a page of a run that the hospital has no report of" 1 'runs/tinny/report.json: is not there; a run' \
    "$bin/client" report --home "$home" --run tinny
refuses "a language that there is none of" 2 '^consilium-coordinator report: --lang: expected en or fr, found de' \
    "$bin/coordinator" report "$work/run/federation/runs/tiny" --lang de
refuses "a folder for a comparison that there is none of" 2 '^consilium-coordinator report: --out goes with --compare' \
    "$bin/coordinator" report "$work/run/federation/runs/tiny" --out "$work/nowhere"
check "every drawing as a file" "$bin/coordinator" report "$work/run/federation/runs/tiny" --figures
check "as SVG and as PDF" test -s "$report/figures/run-chart-sites.svg" -a -s "$report/figures/run-chart-sites.pdf" -a -s "$report/figures/nord-others.pdf"
if [ -x "$(command -v chromium)" ]; then
    check "every page opens in headless Chromium without an error or a request" \
        "$top/tests/report/page_check.sh" "$report"/index*.html "$report"/sites/*.html "$work"/run/homes/*/runs/tiny/report*.html
else
    skip "pages in headless Chromium" "chromium is not installed"
fi
