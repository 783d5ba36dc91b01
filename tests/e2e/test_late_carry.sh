#!/bin/bash
# test_late_carry.sh - late: carry: a hospital that dies between its update and the sending of it, and is away for longer than
# patience, finds its work in a later round, once, also when the coordinator is killed between receipt and fold
. "$(dirname "$0")/lib.sh"
preload=$BUILD/tests/e2e/chaos/preload.so
fed=$work/fed port=$(free_port)
tiny_data || exit 1
tiny_job "$work/job.yaml" rounds 60 sites '{quorum: 2, of: all, patience: 2s, late: carry}'
federation "$fed" "$port" nord sud est
# under_fault NAME PROGRAM FAULT ARGUMENT...: dies where FAULT says.
under_fault() {
    local name=$1 program=$2 fault=$3; shift 3
    start "$name" env LD_PRELOAD="$preload" CHAOS_PROGRAM="$(readlink -f "$bin/$program")" CHAOS_FAULT="$fault" \
        CHAOS_FIRED="$work/$name.fired" "$bin/$program" "$@"
}
run=$fed/runs/tiny
late='"kind":"train","prev":"[0-9a-f]*","round":2,.*"site":"est".*"what":"contribution"'
under_fault coordinator coordinator 'commit|after|kill|1|"kind":"train"|"round":2,|"site":"est"|contribution' \
    run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"
coordinator=$last
for site in nord sud; do start "client-$site" "$bin/client" run --home "$work/home-$site" --once; done
under_fault client-est client 'rename|after|kill|2|outbox|update-0000000002' run --home "$work/home-est" --once
away() { grep -q '"reason":"silent for 2 s","round":2,.*"site":"est"' "$run/audit.jsonl" && [ -e "$run/model/round-0002.safetensors" ]; }
wait_until 60 away || not_ok "est is away" "$(tail -5 "$work/coordinator.log" "$work/client-est.log")"
check "its update of round 2 is in its outbox" eval 'ls "$work/home-est/outbox" | grep -q "update-0000000002.out$"'
start client-est-2 "$bin/client" run --home "$work/home-est" --once; est=$last
wait "$coordinator" 2>/dev/null; rc=$?
check "the coordinator was killed after it had taken the late update" test "$rc" = 137 -a -s "$work/coordinator.fired"
start coordinator-2 "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"; coordinator=$last
wait "$coordinator"; rc=$?
check "the run is done, and the exit code tells of the absence" test "$rc" = 3
wait "$est"; rc=$?
check "and est has its model" test "$rc" = 0
check "the late update was received once" eval '[ "$(grep -Ec "$late" "$run/audit.jsonl")" = 1 ]'
check "and counted once, in a later round" eval \
    '[ "$(grep -c "\"from\":2,.*\"site\":\"est\".*\"what\":\"carried\"" "$run/audit.jsonl")" = 1 ]'
check "the report says where" eval 'json "$run/report/report.json" rounds | grep -q "\"carried\": \[{\"site\": \"est\", \"from\": 2}\]"'
check "the page too" eval 'grep -q "its late update of round 2 counts in this one" "$run/report/index.html"'
check "the record holds" "$bin/coordinator" verify "$run"
check "and est finds it there" "$bin/client" verify --home "$work/home-est" "$run/audit.jsonl"
