#!/bin/bash
# test_graph.sh - a federation trains a network that came as an ONNX file: PyTorch's own export, cut, frozen, resumed
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/e2e/tiny.yaml
exported=$top/tests/vectors/exports/cnn_dynamo18.onnx
tiny_data || exit 1
for site in nord sud; do sed -i 's/^preprocess: .*/preprocess: [resize: 8, normalise: zscore]/' "$work/data/$site/dataset.yaml"; done

fed=$work/fed port=$(free_port)
join_with=(--min-other-sites 1)
federation "$fed" "$port" nord sud
sed -i 's/^approve: .*/approve: all/' "$work/home-sud/policy.yaml"

cp "$exported" "$work/net.onnx"
# job MODEL: the tiny job on 8 pixels, with this model.
job() {
    sed -n '/^job:/,/^generate:/p' "$tiny" | sed '1d;$d;s/^  //' |
        sed "s|^model: .*|# for the sites\nmodel: $1|; s/1, 32, 32/1, 8, 8/; s/^name: .*/name: graph/; s/epochs: 1/epochs: 40/" >"$work/job.yaml"
}
coordinate() { "$bin/coordinator" run "$fed" "$@" --bind "tcp://127.0.0.1:$port"; }
run_job() { coordinate --job "$work/job.yaml"; }
# In the background, as a process of its own that can be killed; its pid is in $coordinator.
start_run() { local name=$1; shift; start "$name" "$bin/coordinator" run "$fed" --bind "tcp://127.0.0.1:$port" "$@"; coordinator=$last; }
run=$fed/runs/graph

# What cannot be is refused before any site hears of it.
job '{onnx: net.onnx}'
refuses "a network of other classes than the job's" 2 'job.yaml:[0-9]+: .*3 outputs' run_job
job '{onnx: absent.onnx}'
refuses "a file that is not there" 2 'job.yaml:[0-9]+: .*absent.onnx' run_job
model='{onnx: net.onnx, truncate_after: fc1, freeze: ["conv1*", "bn1*"]}'
job "$model"
head -c 2000 "$exported" >"$work/net.onnx"
refuses "a truncated file" 2 'job.yaml:[0-9]+: .*net.onnx' run_job
LC_ALL=C sed 's/Relu/Celu/' "$exported" >"$work/net.onnx"
refuses "an operator that nobody can train" 2 'net.onnx.*Celu.*supported' run_job
cp "$exported" "$work/net.onnx"
job "${model%\}}, graph: $(printf '0%.0s' $(seq 64))}"
refuses "another graph than the job names" 2 'model.graph: .*another graph' run_job
check "nothing of a refused job is left" test ! -e "$run"

# The run: nord's person looks first; the coordinator and a client are killed and go on, without the file.
job "$model"
start_run coordinator-1 --job "$work/job.yaml"
clients=()
for site in nord sud; do start "client-$site" "$bin/client" run --home "$work/home-$site" --once; clients+=("$last"); done
asked() { ls "$work"/home-nord/pending/*.onnx; }
wait_until 30 asked || not_ok "nord is asked" "$(tail -n 3 "$work"/*.log)"
pending=$(basename "$(ls "$work"/home-nord/pending/*.onnx)" .onnx)
check "a person is shown the graph that came with the job" eval \
    '"$bin/client" approve --home "$work/home-nord" | grep -q "a graph of its own, .*pending/$pending.onnx"'
check "it is the run's" cmp "$run/model/graph.onnx" "$work/home-nord/pending/$pending.onnx"
"$bin/client" approve --home "$work/home-nord" "$pending" >/dev/null
committed() { [ "$(ls "$run"/model/round-*.safetensors 2>/dev/null | wc -l)" -ge 2 ]; }
wait_until 60 committed || not_ok "the first round" "$(tail -n 3 "$work"/*.log)"
kill_hard "$coordinator"
kill_hard "${clients[0]}"  # has to fetch the graph anew
mv "$work/net.onnx" "$work/away.onnx"
start_run coordinator-2
start client-nord-2 "$bin/client" run --home "$work/home-nord" --once; clients[0]=$last
wait_until 120 test -s "$run/report/report.json" || not_ok "the run ends" "$(tail -n 3 "$work"/*.log)"
wait "$coordinator"; rc=$?
wait "${clients[@]}"
check "a coordinator and a client that were killed go on without the file" test "$rc" = 0
check "the record, the graph's digest in it, holds" "$bin/coordinator" verify "$run"
check "nothing of a job that runs is left pending" test -z "$(ls "$work/home-nord/pending")"

# names FILE: of the tensors; from the exported network: what was kept, frozen, cut.
names() { /usr/bin/python3 - "$1" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", data[:8])[0]
print(" ".join(sorted(k for k in json.loads(data[8:8 + n]) if k != "__metadata__")))
PY
}
wanted="block.0.weight block.1.bias block.1.running_mean block.1.running_var block.1.weight bn1.bias bn1.running_mean bn1.running_var bn1.weight conv1.bias conv1.weight fc1.bias fc1.weight head.bias head.weight"
check "the final model has the export's names" test "$(names "$run/model/final.safetensors")" = "$wanted"
check "at the site too" cmp "$run/model/final.safetensors" "$work/home-nord/runs/graph/model/final.safetensors"
# numbers FILE NAME: the tensor's bytes, in hexadecimal
numbers() { /usr/bin/python3 - "$1" "$2" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", data[:8])[0]
at, end = json.loads(data[8:8 + n])[sys.argv[2]]["data_offsets"]
print(data[8 + n + at:8 + n + end].hex())
PY
}
first=$run/model/round-0000.safetensors final=$run/model/final.safetensors
check "it starts from the export's numbers" /usr/bin/python3 -c '
import sys
sys.exit(bytes.fromhex(sys.argv[1]) not in open(sys.argv[2], "rb").read())' "$(numbers "$first" conv1.bias)" "$exported"
check "what is frozen stays" test "$(numbers "$first" conv1.weight)" = "$(numbers "$final" conv1.weight)"
check "a frozen normalisation's statistics too" test "$(numbers "$first" bn1.running_var)" = "$(numbers "$final" bn1.running_var)"
check "and the rest is trained" test "$(numbers "$first" block.0.weight)" != "$(numbers "$final" block.0.weight)"
check "local models start from it as well" json "$run/report/report.json" .sites.0.models.local.auc.value
check "a site evaluates what it was handed" "$bin/client" evaluate --model "$work/home-nord/runs/graph/model/final.onnx" --data "$work/data/nord" --split test --json

# Damage, and a hospital that takes no model of this size.
cp "$run/model/graph.onnx" "$work/graph.onnx"
printf 'x' | dd of="$run/model/graph.onnx" bs=1 seek=100 conv=notrunc status=none
refuses "a damaged graph is found by verify" 1 'graph.onnx: is not the graph' "$bin/coordinator" verify "$run"
refuses "and when the run is opened" 1 'graph.onnx: damaged' coordinate
cp "$work/graph.onnx" "$run/model/graph.onnx"

mv "$work/away.onnx" "$work/net.onnx"
sed -i 's/^max_parameters: .*/max_parameters: 100/' "$work/home-sud/policy.yaml"
sed -i 's/^approve: .*/approve: all/' "$work/home-nord/policy.yaml"
sed -i 's/^name: .*/name: large/; s/quorum: 2/quorum: 1/; s/^rounds: .*/init: start.safetensors\nrounds: 1/' "$work/job.yaml"
cp "$final" "$work/start.safetensors"
sed -i 's/^min_other_sites: .*/min_other_sites: 0/' "$work"/home-*/policy.yaml
start_run coordinator-3 --job "$work/job.yaml"
for site in nord sud; do start "client-$site-3" "$bin/client" run --home "$work/home-$site" --once; done
wait "$coordinator"; rc=$?
check "a run that a site's policy refuses goes on without it" test "$rc" = 0
check "starting from weights beside the job" test "$(numbers "$fed/runs/large/model/round-0000.safetensors" head.weight)" = "$(numbers "$final" head.weight)"
check "with the reason in the report" grep -q 'number of parameters of at most 100' "$fed/runs/large/report/report.json"

# The simulator, whose baselines train the same network.
{
    echo "job:"
    sed 's/^/  /; s/name: large/name: graph/; s/epochs: 40/epochs: 1/' "$work/job.yaml"
    echo "hospitals: [{name: nord, data: $work/data/nord}, {name: sud, data: $work/data/sud}]"
    echo "clients: {processes: 1}"
    echo "baselines: [local, centralised]"
} >"$work/scenario.yaml"
check "sim run plays a job with a graph of its own" "$bin/sim" run "$work/scenario.yaml" --out "$work/sim" --quiet
check "with a centralised model beside it" json "$work/sim/report/report.json" .baselines.centralised.pooled.auc.value
