#!/bin/bash
# small.sh - a whole federation in little, for what is slow to watch (make check-valgrind, check-threads)
#
# Two hospitals, three rounds: they enrol, train, change their keys as the coordinator does, which is killed once;
# then every command that reads what is left has its turn.
. "$(dirname "$0")/lib.sh"
fed=$work/fed port=$(free_port) patience=${SMALL_PATIENCE:-600}
tiny_data || exit 1
tiny_job "$work/job.yaml" sites '{quorum: 2, of: all, patience: 60m}' model '{name: cnn, channels: [4], fc: 8, dropout: 0.1}'
federation "$fed" "$port" nord sud
run=$fed/runs/tiny
coordinate() {
    start "coordinator-$1" "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"
    coordinator=$last
}
committed() { [ "$(ls "$run"/model/round-*.safetensors 2>/dev/null | wc -l)" -gt "$1" ]; }
coordinate 1
for site in nord sud; do
    start "client-$site" "$bin/client" run --home "$work/home-$site" --once
    eval "client_$site=$last"
done
wait_until "$patience" committed 1 || not_ok "the first round" "$(tail -n 5 "$work"/*.log)"
check "a hospital's keys change" "$bin/client" rotate --home "$work/home-sud"
check "the coordinator's keys change" "$bin/coordinator" rotate "$fed"
kill_hard "$coordinator"
coordinate 2
wait "$coordinator"; rc=$?
check "the run ends well" test "$rc" = 0
for site in nord sud; do
    eval "wait \$client_$site"; rc=$?
    check "$site has its model" test "$rc" = 0 -a -s "$work/home-$site/runs/tiny/model/final.onnx"
done
[ "$failures" = 0 ] || tail -n 5 "$work"/*.log | sed 's/^/#   /'
check "its record holds" "$bin/coordinator" verify "$run"
for site in nord sud; do
    check "$site finds its part in it" "$bin/client" verify --home "$work/home-$site" "$run/audit.jsonl"
done
check "the coordinator lists the sites" "$bin/coordinator" sites "$fed" --json
check "and the runs" "$bin/coordinator" status "$fed" --json
check "nord lists what left" "$bin/client" sent --home "$work/home-nord"
check "the model judges nord's test cases" \
    "$bin/client" evaluate --model "$work/home-nord/runs/tiny/model/final.onnx" --data "$work/data/nord" --split test --json
