#!/bin/bash
# test_krum.sh - multi-Krum among five hospitals, of which one has labels by the toss of a coin and trains ten times as long: the others'
# updates make the model, and the report, the record and every hospital's own check say whose counted
. "$(dirname "$0")/lib.sh"
{
    sed 's/^  rounds: 3/  rounds: 2/; s/strategy: {name: fedavg}/strategy: {name: multi_krum, byzantine: 1}/; s/quorum: 2/quorum: 5/
         /^clients:/,$d' "$top/tests/e2e/tiny.yaml"
    echo '  - {name: ouest, like: nord}'
    echo '  - {name: zone, like: nord, patients: {n: {train: 800}}, labels: {noise: 0.5}}'
    echo 'clients: {processes: 2}'
    echo 'baselines: [local]'
} >"$work/five.yaml"
"$bin/sim" run "$work/five.yaml" --out "$work/out" >"$work/run.log" 2>&1 || not_ok "the run ends well" "$(tail -20 "$work/run.log")"
run=$work/out/federation/runs/tiny
verified() { "$bin/client" verify --json --home "$work/out/homes/$1" "$run/audit.jsonl"; }
check "each round took four of five" eval '[ "$(grep -c "\"what\":\"chosen\"" "$run/audit.jsonl")" = 8 ]'
check "and never the one whose labels are wrong" eval '! grep "\"what\":\"chosen\"" "$run/audit.jsonl" | grep -q "\"site\":\"zone\""'
check "the report says whose" eval 'json "$run/report/report.json" rounds | grep -q "\"chosen\": \[\"est\", \"nord\", \"ouest\", \"sud\"\]"'
check "its page says who was left out" grep -q "the strategy left out the updates of zone" "$run/report/index.html"
check "that hospital's page too" grep -q "yours counted in 0 of 2 rounds" "$run/report/sites/zone.html"
check "the record holds" "$bin/coordinator" verify "$run"
check "a hospital finds in it that its updates counted" eval 'verified nord | grep -q "\"updates\": 2, \"chosen\": 2"'
check "and another that its own did not" eval 'verified zone | grep -q "\"updates\": 2, \"chosen\": 0"'
