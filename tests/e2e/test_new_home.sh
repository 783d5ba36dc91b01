#!/bin/bash
# test_new_home.sh - a hospital whose machine is lost in mid-run is removed, invited anew and goes on: its new home, with other cases and
# a policy of its own, is asked about the job as any hospital is; the record tells its two homes apart
. "$(dirname "$0")/lib.sh"
tiny_run 8
kill_hard "$client_est"
mv "$work/home-est" "$work/lost-est"
check "its keys are revoked" "$bin/coordinator" remove "$fed" est
"$bin/coordinator" invite "$fed" --site est --out "$work/anew" >/dev/null
asked_anew() { "$bin/coordinator" status "$fed" | grep -qx "  est has not joined: its home is new and has not joined yet"; }
check "the coordinator waits for its new home to join the job" wait_until 20 asked_anew

# The new home has the cases of another archive, and a person who must look at each job.
check "it joins with a new home" "$bin/client" join "$work/anew" --home "$work/home-est" --data "$work/data/sud" --approve each
start client-anew "$bin/client" run --home "$work/home-est" --once; anew=$last
held() { [ -n "$(ls "$work/home-est/pending" 2>/dev/null)" ]; }
check "its policy holds the job until a person has looked at it" wait_until 60 held
held || exit 1  # the run would wait for ever
pending() { "$bin/coordinator" status "$fed" | grep -q "^  est has not joined: waits for a person at the hospital"; }
check "and the coordinator's people see that" wait_until 20 pending
before=$(ls "$run"/model/round-*.safetensors | wc -l)
kill_hard "$coordinator"
start coordinator "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"; coordinator=$last
job=$(ls "$work/home-est/pending")
check "a person approves it, while the coordinator is killed and comes back" "$bin/client" approve --home "$work/home-est" "${job%.yaml}"
wait "$coordinator"
check "the run goes to its end with it" test -s "$run/model/round-0008.safetensors"
wait "$anew"
check "and it has the model" test $? = 0 -a -s "$work/home-est/runs/tiny/model/final.onnx"

check "the record holds" "$bin/coordinator" verify "$run"
for site in nord sud; do check "$site finds its part in it" "$bin/client" verify --home "$work/home-$site" "$run/audit.jsonl"; done
check "est finds its own, and is told of the home before" eval \
    '"$bin/client" verify --home "$work/home-est" "$run/audit.jsonl" | grep -q "^[1-9][0-9]* contributions before them are of another home"'
refuses "the lost home does not take the new one's for its own" 1 'names a key under this hospital.s name that never was its own' \
    "$bin/client" verify --home "$work/lost-est" "$run/audit.jsonl"
check "the report tells what each of the two homes gave" /usr/bin/python3 - "$run/report/report.json" "$run/audit.jsonl" "$((before - 1))" \
    "$top/proto/report.schema.json" <<'PY'
import json, sys, jsonschema
report, audit, committed = json.load(open(sys.argv[1])), [json.loads(l) for l in open(sys.argv[2])], int(sys.argv[3])
jsonschema.validate(report, json.load(open(sys.argv[4])))
est = next(s for s in report["sites"] if s["name"] == "est")
home, = est["earlier_homes"]
joins = [l for l in audit if l.get("site") == "est" and l["what"] == "contribution" and l["kind"] == "check"]
assert len(joins) == 2, joins
assert home["n_train"] == 48 and est["n_train"] == 80, (home, est["n_train"])
assert est["rounds_joined"] == 8 and home["rounds_joined"] == home["last_round"], (est["rounds_joined"], home)
assert committed <= home["last_round"] <= committed + 1, (committed, home)  # the round that was open may have had its update
asked = [l["reason"] for l in audit if l.get("site") == "est" and l["what"] in ("asked", "pending") and l["kind"] == "check"]
assert asked[0] == "its home is new and has not joined yet" and asked[1].startswith("waits for a person"), asked
PY
check "and the pages say it" grep -q "est gave [1-9] of its 8 updates from an earlier installation, with 48 training cases" "$run/report/index.html"
