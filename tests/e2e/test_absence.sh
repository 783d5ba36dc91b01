#!/bin/bash
# test_absence.sh - a hospital that is gone for longer than patience is absent with a reason, and the exit code says so
. "$(dirname "$0")/lib.sh"
fed=$work/fed port=$(free_port)
patience=${TEST_PATIENCE_S:-2}  # seconds; of programs that are watched, and slow, more
tiny_data || exit 1
tiny_job "$work/job.yaml" rounds 40 sites '{quorum: 2, of: all, patience: '"$patience"'s, late: drop}'
federation "$fed" "$port" nord sud est
start coordinator "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"; coordinator=$last
for site in nord sud est; do start "client-$site" "$bin/client" run --home "$work/home-$site" --once; eval "client_$site=$last"; done
run=$fed/runs/tiny
committed() { [ "$(ls "$run"/model/round-*.safetensors 2>/dev/null | wc -l)" -ge "$1" ]; }
wait_until 60 committed 3 || not_ok "two rounds" "$(cat "$work/coordinator.log")"
kill_hard "$client_est"
check "status names it meanwhile, and the reason" \
    wait_until 60 eval '"$bin/coordinator" status "$fed" | grep -q "^  est is absent: silent for '$patience' s"'
verified() { local i; for i in 1 2 3 4 5 6 7 8; do "$bin/coordinator" verify "$run" || return 1; done; }
check "the record of a run that goes on holds, however it grows meanwhile" verified
wait "$coordinator"; rc=$?
check "the run is done without it, and the exit code is 3" test "$rc" = 3
check "the last line says so" grep -Eq 'done, but (a site was|[23] sites were) absent[a-z0-9, ]*; the report says when and why' "$work/coordinator.log"
check "the report has each absence with its reason" eval \
    'json "$run/report/report.json" rounds | grep -q "{\"site\": \"est\", \"reason\": \"silent for '$patience' s\"}"'
check "so has the record, which holds" eval \
    'grep -q "\"reason\":\"silent for '$patience' s\",.*\"site\":\"est\"" "$run/audit.jsonl" && "$bin/coordinator" verify "$run"'
check "status counts them afterwards" eval '"$bin/coordinator" status "$fed" | grep -Eq "absences of the whole run: [0-9]+, of [1-3] sites?;"'
check "the report is the one that the record tells of" eval '! "$bin/coordinator" verify "$run" | grep -q report.json'
"$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port" >"$work/again.log" 2>&1; rc=$?
check "the finished run says it again" test "$rc" = 3
start "client-est-2" "$bin/client" run --home "$work/home-est" --once; late=$last
start "coordinator-2" "$bin/coordinator" run "$fed" --bind "tcp://127.0.0.1:$port"
wait "$late"; rc=$?
check "who was away is handed the model later" test "$rc" = 0 -a -s "$work/home-est/runs/tiny/model/final.onnx"

# A hospital that was invited and never came is absent too, and a round that cannot reach its quorum is abandoned when the job says so.
kill_hard "$last"
sed -e 's/^name: .*/name: short/' -e 's/^rounds: .*/rounds: 4/' -e 's/quorum: 2/quorum: 3, abandon: 2s/' "$work/job.yaml" >"$work/short.yaml"
"$bin/coordinator" invite "$fed" --site west --out "$work/west.invitation" >/dev/null
for site in nord sud est; do start "client-$site-3" "$bin/client" run --home "$work/home-$site"; eval "client_$site=$last"; done
start coordinator-3 "$bin/coordinator" run "$fed" --job "$work/short.yaml" --bind "tcp://127.0.0.1:$port"; coordinator=$last
run=$fed/runs/short
training() { grep -q '"round":1,.*"state":"training"' "$run/audit.jsonl"; }
wait_until 60 training || not_ok "round 1" "$(cat "$work/coordinator-3.log")"
kill_hard "$client_est"
wait "$coordinator"; rc=$?
check "the exit code is 3 again" test "$rc" = 3
check "the last line tells of rounds and sites" grep -Eq 'done, but [1-4] rounds? (was|were) abandoned, and 2 sites were absent, ([0-9]+ times in all|each once); the' "$work/coordinator-3.log"
check "the report says which round, and why" eval 'json "$run/report/report.json" rounds | grep -Eq "\"abandoned\": \"2 of 3 updates, 1 of them too few, for 2 s\""'
check "its model is the one before" eval \
    'grep "\"what\":\"model\"" "$run/audit.jsonl" | tail -2 | grep -o "\"model_sha256\":\"[0-9a-f]*\"" | sort | uniq -d | grep -q .'
check "who never came is in the record and the report" eval \
    'grep -q "\"what\":\"absent\"" "$run/audit.jsonl" && grep "did not join until the end" "$run/audit.jsonl" | grep -q west && json "$run/report/report.json" absent | grep -q "\"west\", \"reason\": \"never answered\""'
check "and the record holds" "$bin/coordinator" verify "$run"
