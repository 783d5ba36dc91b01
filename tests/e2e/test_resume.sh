#!/bin/bash
# test_resume.sh - a run whose programs are killed ends with the undisturbed run's model
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/e2e/tiny.yaml

"$bin/sim" run "$tiny" --out "$work/calm" --quiet >"$work/calm.log" 2>&1 || { not_ok "the undisturbed run" "$(cat "$work/calm.log")"; exit 1; }
calm=$(json "$(report_of "$work/calm")" model.sha256)
ok "the undisturbed run"

# The same by hand, so that its processes can be killed.
fed=$work/fed port=$(free_port)
cp -r "$work/calm/data" "$work/data"
federation "$fed" "$port" nord sud est
job=$work/calm/job.yaml
coordinate() { start "coordinator-$1" "$bin/coordinator" run "$fed" --job "$job" --bind "tcp://127.0.0.1:$port"; coordinator=$last; }
serve() { start "client-$1-$2" "$bin/client" run --home "$work/home-$1" --once; eval "client_$1=$last"; }
committed() { [ "$(ls "$fed"/runs/tiny/model/round-*.safetensors 2>/dev/null | wc -l)" -ge "$1" ]; }

coordinate 1
for site in nord sud est; do serve $site 1; done
# round-0000 is the first model; each further file is a committed round.
wait_until 60 committed 2 || not_ok "the first round" "$(cat "$work"/coordinator-1.log)"
kill_hard "$coordinator"
coordinate 2
wait_until 60 committed 3 || not_ok "the second round after the coordinator was killed" "$(cat "$work"/coordinator-2.log)"
kill_hard "$client_nord"
serve nord 2
kill_hard "$coordinator"
coordinate 3
if wait_until 120 test -s "$fed/runs/tiny/report/report.json"; then
    wait "$coordinator"; rc=$?
    check "after three kills the coordinator ends well" test "$rc" = 0
    check "and the model has the undisturbed run's bits" test "$(json "$fed/runs/tiny/report/report.json" model.sha256)" = "$calm"
else
    not_ok "the run ends after three kills" "$(tail -n 5 "$work"/*.log)"
fi
check "starting a finished run again says where its report is" eval \
    '"$bin/coordinator" run "$fed" --job "$job" --bind "tcp://127.0.0.1:$port" 2>&1 | grep -q report/index.html'
