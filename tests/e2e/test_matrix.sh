#!/bin/bash
# test_matrix.sh - every hospital's own model at every other: the consortium's matrix is the simulator's, to the digit
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/e2e/tiny.yaml

# Two ways to the same matrix, from the same data and seed: the simulator reads the models from the hospitals' homes ...
"$bin/sim" run "$tiny" --out "$work/sim" --set 'baselines=[local, cross_site]' >"$work/sim.log" 2>&1 || { not_ok "the simulator's" "$(cat "$work/sim.log")"; exit 1; }
ln -s "$work/sim/data" "$work/data"

# ... and in the consortium they travel.  play NAME: JOB is played by homes that federation made.
play() {
    local fed=$work/$1/fed job=$2 site pids=(); shift 2
    start coordinator "$bin/coordinator" run "$fed" --job "$job" --bind "tcp://127.0.0.1:$port"; coordinator=$last
    for site in nord sud est; do start "client-$site" "$bin/client" run --home "$work/home-$site" --once; pids+=("$last"); done
    wait "$coordinator"; rc=$?
    wait "${pids[@]}"
    return "$rc"
}
crossing() { sed 's/^  local_baseline:/  cross_site: true\n&/' "$work/plain.yaml" >"$1"; }
tiny_job "$work/plain.yaml"
crossing "$work/job.yaml"
port=$(free_port)
join_with=(--approve all --own-model leaves)
mkdir "$work/all"
federation "$work/all/fed" "$port" nord sud est
check "a consortium plays it" play all "$work/job.yaml"
run=$work/all/fed/runs/tiny report=$work/all/fed/runs/tiny/report/report.json
grep -q 'besides: the cross-site matrix, .* 3 models judged by 3 hospitals each' "$work/coordinator.log" &&
    ok "and says before it starts what that costs" || not_ok "and says before it starts what that costs" "$(head -5 "$work/coordinator.log")"
check "the same data and seed give the same matrix" /usr/bin/python3 -c '
import json, sys
simulated, played = (json.load(open(f))["baselines"]["cross_site"] for f in sys.argv[1:])
assert set(simulated["sites"]) == {"nord", "sud", "est"} and simulated["missing"] == [] == played["missing"]
for row, columns in simulated["sites"].items():
    assert set(columns) == set(played["sites"][row]) == {"nord", "sud", "est"}, row
    for column, metrics in columns.items():
        assert metrics == played["sites"][row][column], (row, column, metrics, played["sites"][row][column])
assert simulated["sites"] == played["sites"] and played["absent"] == []
auc = lambda r, c: played["sites"][r][c]["auc"]["value"]
assert len({auc(r, c) for r in ("nord", "sud", "est") for c in ("nord", "sud", "est")}) > 3' "$(report_of "$work/sim")" "$report"
check "the report fits its schema" /usr/bin/python3 -c '
import json, jsonschema, sys
jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))' "$report" "$top/proto/report.schema.json"
check "the shared model is that of a job without it" test "$(json "$report" model.sha256)" = "$(json "$(report_of "$work/sim")" model.sha256)"
check "the record holds" "$bin/coordinator" verify "$run"
for site in nord sud est; do
    check "and $site finds there what it sent" "$bin/client" verify --home "$work/home-$site" "$run/audit.jsonl"
done
check "a model that left is a record of its own kind" eval \
    '[ "$(grep -c "\"kind\":\"lend\".*\"what\":\"contribution\"" "$run/audit.jsonl")" = 3 ] && "$bin/client" sent --home "$work/home-est" | grep -q "lend.*own model of"'
check "nine judgements, one a model and hospital" eval '[ "$(grep -c "\"kind\":\"cross\".*\"what\":\"contribution\"" "$run/audit.jsonl")" = 9 ]'
check "each a look at the test split that is written down" eval '[ "$(wc -l <"$work/home-est/runs/tiny/test_opened")" = 4 ]'
check "and the report counts them" test "$(json "$report" test_evaluations)" = 4
check "the coordinator keeps no hospital's own model" eval '[ -z "$(ls "$run/spool")" ]'
check "the pages show it" grep -q "Each hospital&#39;s own model at the others" "$run/report/index.html"

# Killed in the middle of it: the coordinator when the first judgement of the second model is committed, est between its own
# model's file and the sending of it.
preload=$BUILD/tests/e2e/chaos/preload.so
under_fault() {
    local name=$1 program=$2 fault=$3; shift 3
    start "$name" env LD_PRELOAD="$preload" CHAOS_PROGRAM="$(readlink -f "$bin/$program")" CHAOS_FAULT="$fault" \
        CHAOS_FIRED="$work/$name.fired" "$bin/$program" "$@"
}
rm -rf "$work"/home-*
mkdir "$work/kills"
federation "$work/kills/fed" "$port" nord sud est
under_fault coordinator coordinator 'commit|after|kill|1|"kind":"cross"|"round":2,|contribution' \
    run "$work/kills/fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"
coordinator=$last
for site in nord sud; do start "client-$site" "$bin/client" run --home "$work/home-$site" --once; done
under_fault client-est client 'rename|after|kill|1|outbox|lend-' run --home "$work/home-est" --once; est=$last
wait "$est" 2>/dev/null; rc=$?
check "est was killed when its own model was in its outbox" eval 'test "$rc" = 137 -a -s "$work/client-est.fired" && ls "$work/home-est/outbox" | grep -q "lend-.*out$"'
start client-est-2 "$bin/client" run --home "$work/home-est" --once; est=$last
wait "$coordinator" 2>/dev/null; rc=$?
check "and the coordinator when the second model was being judged" test "$rc" = 137 -a -s "$work/coordinator.fired"
start coordinator-2 "$bin/coordinator" run "$work/kills/fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"
wait "$last"; rc=$?
wait "$est"
killed=$work/kills/fed/runs/tiny
check "the run came to its end without an absence" test "$rc" = 0
check "with the same matrix" /usr/bin/python3 -c '
import json, sys
a, b = (json.load(open(f))["baselines"]["cross_site"] for f in sys.argv[1:])
assert a == b' "$report" "$killed/report/report.json"
check "each model was taken once, and each judgement" eval \
    '[ "$(grep -c "\"kind\":\"lend\".*\"what\":\"contribution\"" "$killed/audit.jsonl")" = 3 ] && [ "$(grep -c "\"kind\":\"cross\".*\"what\":\"contribution\"" "$killed/audit.jsonl")" = 9 ]'
check "the record holds after that" "$bin/coordinator" verify "$killed"

# One hospital keeps its own model, and the job asks for everything: what can be played is, the rest is said in a sentence.
rm -rf "$work"/home-*
mkdir "$work/keeps"
federation "$work/keeps/fed" "$port" nord sud est
sed -i 's/^own_model: leaves/own_model: stays/' "$work/home-est/policy.yaml"
tiny_job "$work/plain.yaml" rounds 1
sed 's/^  local_baseline:/  extent: full\n&/; $a names: codes' "$work/plain.yaml" >"$work/full.yaml"
check "evaluation: full runs in a consortium" play keeps "$work/full.yaml"
grep -q 'besides: .*leave-one-out and ensembles are other federations, which only a simulation plays' "$work/coordinator.log" &&
    ok "and says what only a simulation does" || not_ok "and says what only a simulation does" "$(head -5 "$work/coordinator.log")"
kept=$work/keeps/fed/runs/tiny
check "hospitals fine-tune the model, and no own model travels" /usr/bin/python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
assert r["baselines"]["cross_site"] == {"sites": {}, "kept": [{"site": "est", "reason": "its policy keeps its own model"}]}
assert all("personal" in s["models"] for s in r["sites"]) and len(r["sites"]) == 3' "$kept/report/report.json"
check "nobody was asked for one" eval '! grep -q "\"kind\":\"lend\"" "$kept/audit.jsonl"'
check "the page says who did not allow it" grep -q 'not every hospital allows it: est (its policy keeps its own model)' "$kept/report/index.html"
check "another hospital's page by its code" eval 'grep -q "not every hospital allows it: H[0-9] (its policy" "$work/home-nord/runs/tiny/report.html"'
