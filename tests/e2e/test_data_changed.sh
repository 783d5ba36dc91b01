#!/bin/bash
# test_data_changed.sh - a client is started again in mid-run over data that mean something else by then: nothing is trained on them, people
# on both sides read what changed, and the hospital takes part again when they are as they were
. "$(dirname "$0")/lib.sh"
tiny_run 8
kill_hard "$client_est"
check "what est joined with is in its home" test -s "$work/home-est/runs/tiny/joined"

yaml=$work/data/est/dataset.yaml
cp "$yaml" "$work/before.yaml"
sed -i 's/^classes:.*/classes: {normal: opacity, opacity: normal}/' "$yaml"
check "the codes are swapped, and nothing else can tell" "$bin/client" check-data "$work/data/est" --job "$work/job.yaml"
start client-est2 "$bin/client" run --home "$work/home-est" --once; client_est=$last
n=$(($(wc -l <"$work/data/est/manifest.csv") - 1))
absent() { grep -q "\"reason\":\"[a-z]* failed: the data are not those that this hospital joined the run with: another label for $n cases, another split for 0, 0 new; put them back, or take part in the next run, where corrected labels belong\".*\"what\":\"absent\"" "$run/audit.jsonl"; }
check "the record says why est is absent" wait_until 60 absent
seen() { "$bin/coordinator" status "$fed" | grep -q "^  est is absent: .*joined the run with: another label for $n cases"; }
check "and so does the coordinator's status" wait_until 20 seen
check "the hospital's log tells more" grep -q "data.changed site=est labels=$n splits=0 new=0 gone=0 of $work/data/est" "$work/client-est2.log"

kill_hard "$client_est"
cp "$work/before.yaml" "$yaml"
head -n -3 "$work/data/est/manifest.csv" >"$work/fewer.csv" && cp "$work/fewer.csv" "$work/data/est/manifest.csv"
start client-est3 "$bin/client" run --home "$work/home-est" --once; client_est=$last
wait "$coordinator"
check "with the codes of before, and a few cases less, it goes on to the end" test -s "$run/model/round-0008.safetensors"
wait "$client_est"
check "and it has the model" test $? = 0 -a -s "$work/home-est/runs/tiny/model/final.onnx"
check "and keeps nothing more of its labels" test ! -e "$work/home-est/runs/tiny/joined"
check "the record holds" "$bin/coordinator" verify "$run"
check "est finds its part in it" "$bin/client" verify --home "$work/home-est" "$run/audit.jsonl"
