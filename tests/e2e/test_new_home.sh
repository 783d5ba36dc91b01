#!/bin/bash
# test_new_home.sh - a hospital whose machine is lost in mid-run is removed, invited anew and goes on; the record tells its two homes
# apart, and the new one finds its own part there
. "$(dirname "$0")/lib.sh"
fed=$work/fed port=$(free_port)
tiny_data || exit 1
tiny_job "$work/job.yaml" rounds 8 sites '{quorum: 3, of: all, patience: 60m}'  # no round without est
federation "$fed" "$port" nord sud est
run=$fed/runs/tiny
start coordinator "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"; coordinator=$last
for site in nord sud est; do start "client-$site" "$bin/client" run --home "$work/home-$site" --once; eval "client_$site=$last"; done
committed() { [ "$(ls "$run"/model/round-*.safetensors 2>/dev/null | wc -l)" -gt "$1" ]; }
wait_until 60 committed 1 || not_ok "a round" "$(cat "$work/coordinator.log")"
kill_hard "$client_est"
mv "$work/home-est" "$work/lost-est"
check "its keys are revoked" "$bin/coordinator" remove "$fed" est
"$bin/coordinator" invite "$fed" --site est --out "$work/anew" >/dev/null
check "it joins with a new home" "$bin/client" join "$work/anew" --home "$work/home-est" --data "$work/data/est" --approve all
start client-anew "$bin/client" run --home "$work/home-est" --once; anew=$last
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
