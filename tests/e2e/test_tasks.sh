#!/bin/bash
# test_tasks.sh - segmentation, several labels and regression, from job.yaml to the pages of the report
. "$(dirname "$0")/lib.sh"

# job NAME: what all jobs here share
job() {
    cat <<EOF
job:
  name: $1
  intended_use: tests
  rounds: 2
  seed: 3
  sites: {quorum: 2, of: all, patience: 60s, late: drop}
EOF
}

hospitals() {
    cat <<EOF
hospitals:
  - {name: nord, patients: {n: {train: 24, val: 10, test: 12}, female: 0.5, age: [60, 14], prevalence: 0.6}, shift: [blur: 1]}
  - {name: sud, like: nord, shift: [noise: 1]}
clients: {processes: 2}
baselines: [local]
EOF
}

{
    job lesions
    cat <<EOF
  task: segment
  data: {input: [1, 32, 32], classes: [background, nodule], attributes: {sex: [F, M], age: years, scanner: text}}
  model: {name: attention_unet, base: 4, depth: 2, maps: true}
  local: {epochs: 8, batch: 8, optimizer: adam, lr: 0.01, loss: {name: dice_ce, weights: [1, 5]}, augment: {flip: horizontal, gamma: 0.2}}
  select: {metric: dice, split: val, keep: best}
  evaluation: {min_cell: 2, subgroups: [sex, age: [50, 65]]}
generate: {phantom: xray, task: nodule, difficulty: 0, size: 32}
EOF
    hospitals | sed 's/like: nord/&, labels: {annotators: 2, variation: 0.03}/'
} >"$work/segment.yaml"

{
    job findings
    cat <<EOF
  task: multilabel
  data: {input: [1, 32, 32], classes: [opacity, nodule, effusion], attributes: {sex: [F, M], age: years, scanner: text}}
  model: {name: cnn, channels: [8, 16], fc: 32}
  local: {epochs: 1, batch: 8, lr: 0.02, ema: 0.9}
  evaluation: {threshold: {rule: fixed, at: 0.4}, min_cell: 2, subgroups: [sex]}
generate: {phantom: xray, task: findings, difficulty: 0, size: 32}
EOF
    echo 'ensemble: 2'
    echo 'snapshot: 2'
    hospitals | sed 's/test: 12}, female/test: 60}, female/; s/like: nord/&, patients: {n: {train: 24, val: 10, test: 12}, unseen: [nodule]}/'
} >"$work/multilabel.yaml"

# Two hospitals whose rows follow one plane, with noise.
for site in nord sud; do
    mkdir "$work/$site"
    awk -v seed=${#site} 'BEGIN {
        print "case,x,z,y,split,ward"; s = seed
        for (i = 0; i < 80; i++) {
            for (k = 0; k < 3; k++) { s = (s * 16807) % 2147483647; u[k] = s / 2147483647 }
            split_ = i % 4 == 0 ? "test" : i % 5 == 0 ? "val" : "train"
            printf "c%d,%.4f,%.4f,%.4f,%s,%s\n", i, u[0], u[1], 2 * u[0] - 3 * u[1] + 0.2 * u[2], split_, u[2] < 0.5 ? "a" : "b"
        }
    }' >"$work/$site/t.csv"
    cat >"$work/$site/dataset.yaml" <<EOF
task: regress
attributes: {ward: ward}
table: {file: t.csv, case: case, drop: [ward], label: {column: y}, standardise: site}
split: {column: split}
EOF
done
{
    job dose
    cat <<EOF
  task: regress
  data: {input: [2], attributes: {ward: [a, b]}}
  model: {name: mlp, hidden: [8]}
  evaluation: {min_cell: 5, subgroups: [ward]}
  local: {epochs: 10, batch: 8, lr: 0.02, loss: {name: huber, delta: 0.5}}
  select: {metric: mae}
hospitals:
  - {name: nord, data: $work/nord}
  - {name: sud, data: $work/sud}
clients: {processes: 2}
baselines: [local]
ensemble: 2
snapshot: 2
EOF
} >"$work/regress.yaml"

validates() {
    /usr/bin/python3 -c '
import json, jsonschema, sys
jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))' "$1" "$top/proto/report.schema.json"
}

# has TABLE METRIC: global, local and benefit of both sites are there
has() { [ "$(grep -cE "^(nord|sud),(global|local|benefit),$2,-?[0-9.]+" "$1")" = 6 ]; }

# watched REPORT METRIC: every round has it, of all and of each site
watched() { [ "$(grep -cE "\"$2\": [0-9.]+" "$1")" -ge 6 ]; }

# crossed TASK: the matrix that the consortium played, and handed to nord, is the one that the simulator made afterwards, but for
# what may not leave
crossed() {
    /usr/bin/python3 -c '
import json, sys
played, simulated = (json.load(open(f))["baselines"]["cross_site"] for f in sys.argv[1:])
assert played["absent"] == [] == played["missing"] and "absent" not in simulated
equal = 0
for row, columns in simulated["sites"].items():
    for column, metrics in columns.items():
        own = played["sites"][row][column]
        assert set(own) == set(metrics), (row, column)
        for name, figure in metrics.items():
            hidden = own[name]["value"] is None and own[name]["why"].startswith("fewer than")
            assert hidden or own[name] == figure, (row, column, name, own[name], figure)
            equal += not hidden
assert equal >= 8, equal' "$(echo "$work/out-$1"/homes/nord/runs/*/report.json)" "$work/out-$1/report/report.json"
}

play() {
    local task=$1 metric=$2 other=$3 kept
    if ! "$bin/sim" run "$work/$task.yaml" --out "$work/out-$task" --quiet --set 'baselines=[local, cross_site]' \
        --set evaluation.cross_site=true >"$work/log" 2>&1; then
        not_ok "$task: two hospitals train and are judged" "$(cat "$work/log")"
        return
    fi
    ok "$task: two hospitals train and are judged"
    local report=$work/out-$task/report
    if /usr/bin/python3 -c 'import jsonschema' 2>/dev/null; then
        check "$task: report.json validates against its schema" validates "$report/report.json"
    else
        skip "$task: report.json validates against its schema" "python3-jsonschema is not installed"
    fi
    check "$task: sites.csv has $metric of the shared and the own model, and the benefit" has "$report/sites.csv" "$metric"
    check "$task: and $other" has "$report/sites.csv" "$other"
    check "$task: the rounds are watched by it" watched "$report/report.json" "$metric"
    check "$task: own models are worth the same elsewhere, however they get there" crossed "$task"
    check "$task: each site has its page" test -s "$report/sites/nord.html" -a -s "$report/sites/sud.html"
    kept=$(echo "$work/out-$task"/homes/nord/runs/*/predictions.csv)
    check "$task: the hospital keeps what was predicted, case by case" test "$(wc -l <"$kept")" -gt 5
}

# drawn REPORT: how two annotators of one hospital agree, and the model with them; by number
drawn() {
    grep -q '"pairs"' "$1/report.json" && grep -q 'annotators 1 and 2' "$1/sites/sud.html" &&
        ! grep -q 'reader-' "$1/report.json" && ! grep -q 'id="annotators"' "$1/sites/nord.html"
}

# grouped TASK METRIC GAP: groups of nord have the metric, differences the gap, and a page shows them
grouped() {
    /usr/bin/python3 -c '
import json, sys
nord = [s for s in json.load(open(sys.argv[1]))["sites"] if s["name"] == "nord"][0]
shown = [g for g in nord["subgroups"] if g["n"] is not None]
assert shown and all(g[sys.argv[2]]["n"] <= g["n"] for g in shown if sys.argv[2] in g), shown
assert [g for g in nord["disparities"] if sys.argv[3] in g], nord["disparities"]' \
        "$work/out-$1/report/report.json" "$2" "$3" && grep -q 'For whom it is good' "$work/out-$1/report/sites/nord.html"
}

play segment dice iou
check "segment: Dice by group, and how groups differ" grouped segment dice dice_gap
check "segment: a hospital with two annotators sees the model beside them" drawn "$work/out-segment/report"
# never_showed REPORT: what is called of the one hospital's cases whose disease it never learnt
never_showed() {
    grep -q 'Your training cases never showed nodule, which' "$1/sites/sud.html" &&
        ! grep -q 'id="unseen"' "$1/sites/nord.html" && grep -q 'id="unseen"' "$1/index.html"
}

play multilabel auc sensitivity
check "multilabel: a hospital hears what a disease is called that its training cases never showed" \
    never_showed "$work/out-multilabel/report"
check "multilabel: figures by group, each finding's where every cell may be shown" grouped multilabel auc auc_gap
play regress mae rmse
check "regress: error and bias by group, and how groups differ" grouped regress bias bias_gap

# joined TASK MEASURE ERROR_OF SQUARE: two federations, and two rounds, as one model, whose SQUARE (a mean square) is at most
# the mean of theirs, for it is convex
joined() {
    /usr/bin/python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
_, _, measure, error_of, square = sys.argv
power = 2 if square == "rmse" else 1
sites = {s["name"]: s["models"]["global"] for s in r["sites"]}
for team in ("ensemble", "snapshot"):
    for name, at in r["baselines"][team]["sites"].items():
        u, of = at["uncertainty"], [m[square]["value"] ** power for m in at["members"]]
        assert len(of) == 2 and of[0] != of[1], (team, name, of)
        assert at["metrics"][square]["value"] ** power <= sum(of) / 2 + 1e-9, (team, name)
        assert u["how"] == "ensemble:2" and u["measure"] == measure and u["error_of"] == error_of, u
        assert u["measures"][measure]["pearson"]["n"] == u["error"]["n"] > 0
        if team == "ensemble":
            assert at["members"][0][square] == sites[name][square], name
            assert abs(at["differences"][square]["value"] - (at["metrics"][square]["value"] - sites[name][square]["value"])) < 1e-9
        else:
            assert at["members"][2 - r["select"]["round"]][square] == sites[name][square], name' \
        "$work/out-$1/report/report.json" "$2" "$3" "$4" && grep -q 'Independent federations as one model' "$work/out-$1/report/sites/nord.html"
}
check "multilabel: two federations and two rounds as one model" joined multilabel entropy findings brier
check "regress: likewise" joined regress spread numbers rmse

check "multilabel: each finding has its own figures" grep -q '"class": "effusion"' "$work/out-multilabel/report/report.json"

model=$(echo "$work"/out-segment/homes/nord/runs/*/model/final.onnx)
"$bin/client" evaluate --model "$model" --data "$work/out-segment/data/nord" --json >"$work/evaluate.json" 2>"$work/log" ||
    cat "$work/log"
check "the final model evaluates by itself" grep -q '"dice"' "$work/evaluate.json"

# pictures DIR WHAT: a PNG of each test case
pictures() { [ "$(ls "$1"/*."$2".png | wc -l)" = 12 ]; }
data=$work/out-segment/data/nord
check "its masks and its gate's weights are written as images" "$bin/client" predict --model "$model" --data "$data" --out "$work/maps" --maps
check "a mask of each test case" pictures "$work/maps" mask
check "and where the gate looked" pictures "$work/maps" attention1
cat >"$work/volume.yaml" <<EOF
$(job volume)
  task: classify
  data: {input: [2, 8, 24, 24], classes: [normal, tumour], positive: tumour}
  model: {name: cnn}
generate: {phantom: mri, task: tumour, difficulty: 0.2, size: 24, depth: 8}
hospitals:
  - {name: nord, patients: {n: {train: 16, val: 4, test: 4}, prevalence: 0.5}}
EOF
"$bin/sim" hospital --scenario "$work/volume.yaml" --out "$work/volumes" >"$work/log" 2>&1 &&
    "$bin/client" train --model "{name: cnn, channels: [4, 8], fc: 16}" --data "$work/volumes/nord" --epochs 1 --batch 8 \
        --out "$work/volume.onnx" >>"$work/log" 2>&1 || cat "$work/log"
case=$(sed -n 2p "$work/volumes/nord/manifest.csv" | cut -d, -f1)
check "a volume is explained, by its strongest slice" eval '"$bin/client" explain "$case" --model "$work/volume.onnx" \
    --data "$work/volumes/nord" --out "$work/volume.png" | grep -qE "slice [0-7] of 8"'
refuses "by sight alone too" 1 'a volume takes gradcam' \
    "$bin/client" explain "$case" --model "$work/volume.onnx" --data "$work/volumes/nord" --out "$work/volume.png" --method shap

check "the original's form of U-Net is trained on whole images" "$bin/client" train --model "{name: unet, base: 4, depth: 1, padding: valid}" \
    --data "$data" --epochs 1 --batch 8 --out "$work/valid.onnx"
check "and masks them whole" "$bin/client" predict --model "$work/valid.onnx" --data "$data" --out "$work/valid" --maps
check "at the images' size" test "$("$bin/client" inspect "$(ls "$work"/valid/*.mask.png | head -n 1)" --json | tr -d ' \n' | grep -oE '"(rows|cols)":32' | wc -l)" = 2
refuses "too deep for the images" 2 'depth: 4 mirrors [0-9]+ pixels of each side of the image, which has only 32' \
    "$bin/client" train --model "{name: unet, base: 4, depth: 4, padding: valid}" --data "$data" --out "$work/no.onnx"
