#!/bin/bash
# test_data_away.sh - a hospital's data folder is not mounted when the job is checked, and is gone again in mid-run: nobody else's run
# ends, people on both sides read why, and the hospital takes part when the folder is back, without a restart
. "$(dirname "$0")/lib.sh"
fed=$work/fed port=$(free_port)
tiny_data || exit 1
tiny_job "$work/job.yaml" rounds 8 sites '{quorum: 3, of: all, patience: 60m}'  # no round without est
federation "$fed" "$port" nord sud est
run=$fed/runs/tiny
mv "$work/data/est" "$work/away"
start coordinator "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"; coordinator=$last
for site in nord sud est; do start "client-$site" "$bin/client" run --home "$work/home-$site" --once; eval "client_$site=$last"; done
waits() { "$bin/coordinator" status "$fed" | grep -qx "  est has not joined: the hospital's data cannot be read now: a file: No such file or directory"; }
check "the coordinator's people read why it waits, and no path" wait_until 60 waits
log_says() { grep -q "order.next.*site=est the data set is $work/data/est, as .*check-data.*goes on by itself" "$work/client-est.log"; }
check "the hospital's log says where the data were looked for, and what to do" wait_until 20 log_says
check "nobody's run has ended" kill -0 "$coordinator" "$client_nord" "$client_sud" "$client_est"
mv "$work/away" "$work/data/est"
check "it joins when the data are there" wait_until 60 committed 1

kill_hard "$client_est"
mv "$work/data/est" "$work/away"
start client-est2 "$bin/client" run --home "$work/home-est" --once; client_est=$last
absent() { grep -q '"reason":"the hospital.s data cannot be read now: a file: No such file or directory".*"what":"absent"' "$run/audit.jsonl"; }
check "in mid-run the record says why the hospital is absent" wait_until 60 absent
mv "$work/away" "$work/data/est"
wait "$coordinator"; rc=$?
check "the run goes to its end with it" test -s "$run/model/round-0008.safetensors" -a \( "$rc" = 0 -o "$rc" = 3 \)  # 3: it missed a score
wait "$client_est"
check "and it has the model" test $? = 0 -a -s "$work/home-est/runs/tiny/model/final.onnx"
check "the record holds" "$bin/coordinator" verify "$run"
check "est finds its part in it" "$bin/client" verify --home "$work/home-est" "$run/audit.jsonl"
