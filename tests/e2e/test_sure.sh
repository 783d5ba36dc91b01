#!/bin/bash
# test_sure.sh - a federation that asks how sure its model is; every figure is found again in the hospitals' own tables
. "$(dirname "$0")/lib.sh"

# nord has a conformal quantile of its own, the others take the pooled one; est has too few validation patients for sums of
# log losses, ile for anything.
cat >"$work/classify.yaml" <<EOF
job:
  name: sure
  intended_use: tests
  task: classify
  data: {input: [1, 32, 32], classes: [normal, opacity], positive: opacity}
  model: {name: cnn, channels: [8, 16], fc: 32, dropout: 0.2}
  rounds: 2
  seed: 5
  local: {epochs: 2, batch: 16, optimizer: adam, lr: 0.004}
  sites: {quorum: 2, of: all, patience: 60s, late: drop}
  evaluation: {local_baseline: {budget: none}, uncertainty: {how: "mc:4", alpha: 0.1, refer: 0.25}}
generate: {phantom: xray, task: opacity, difficulty: 0.2, size: 32}
hospitals:
  - {name: nord, patients: {n: {train: 96, val: 220, test: 80}, female: 0.5, age: [60, 14], prevalence: 0.4}, shift: [blur: 1]}
  - {name: sud, like: nord, patients: {n: {train: 64, val: 60, test: 80}}, shift: [noise: 1]}
  - {name: est, like: nord, patients: {n: {train: 48, val: 24, test: 40}}, shift: [contrast: 1]}
  - {name: ile, like: nord, patients: {n: {train: 24, val: 6, test: 30}}}
clients: {processes: 4}
EOF
cat >"$work/segment.yaml" <<EOF
job:
  name: sure
  intended_use: tests
  task: segment
  data: {input: [1, 32, 32], classes: [background, nodule]}
  model: {name: unet, base: 4, depth: 2}
  rounds: 2
  seed: 3
  local: {epochs: 6, batch: 8, optimizer: adam, lr: 0.01, loss: {name: dice_ce, weights: [1, 5]}}
  sites: {quorum: 2, of: all, patience: 60s, late: drop}
  select: {metric: dice, split: val, keep: best}
  evaluation: {local_baseline: {budget: none}, uncertainty: {how: "tta:8", refer: 0.25}}
generate: {phantom: xray, task: nodule, difficulty: 0, size: 32}
hospitals:
  - {name: nord, patients: {n: {train: 32, val: 16, test: 40}, female: 0.5, age: [60, 14], prevalence: 0.8}, shift: [blur: 1]}
  - {name: sud, like: nord, shift: [noise: 1]}
clients: {processes: 2}
EOF

cat >"$work/multilabel.yaml" <<EOF
job:
  name: sure
  intended_use: tests
  task: multilabel
  data: {input: [1, 32, 32], classes: [opacity, nodule, effusion]}
  model: {name: cnn, channels: [8, 16], fc: 32, dropout: 0.2}
  rounds: 2
  seed: 6
  local: {epochs: 2, batch: 8, optimizer: adam, lr: 0.004}
  sites: {quorum: 2, of: all, patience: 60s, late: drop}
  evaluation: {local_baseline: {budget: none}, threshold: {rule: fixed, at: 0.4}, uncertainty: {how: "mc:4", refer: 0.25}}
generate: {phantom: xray, task: findings, difficulty: 0, size: 32}
hospitals:
  - {name: nord, patients: {n: {train: 48, val: 16, test: 60}, female: 0.5, age: [60, 14], prevalence: 0.6}, shift: [blur: 1]}
  - {name: sud, like: nord, shift: [noise: 1]}
clients: {processes: 2}
EOF
# Noise grows with x, so that the cases that go wrong are those where the models have least to go by.
for site in nord sud; do
    mkdir "$work/table-$site"
    awk -v seed=$((${#site} * 7919)) 'BEGIN {
        print "case,x,z,y,split"; s = seed
        for (i = 0; i < 160; i++) {
            for (k = 0; k < 3; k++) { s = (s * 16807) % 2147483647; u[k] = s / 2147483647 }
            split_ = i % 4 == 0 ? "test" : i % 5 == 0 ? "val" : "train"
            printf "c%d,%.4f,%.4f,%.4f,%s\n", i, u[0], u[1], 2 * u[0] - 3 * u[1] + 2 * u[0] * (u[2] - 0.5), split_
        }
    }' >"$work/table-$site/t.csv"
    printf '%s\n' 'task: regress' 'table: {file: t.csv, case: case, label: {column: y}, standardise: site}' 'split: {column: split}' \
        >"$work/table-$site/dataset.yaml"
done
cat >"$work/regress.yaml" <<EOF
job:
  name: sure
  intended_use: tests
  task: regress
  data: {input: [2]}
  model: {name: mlp, hidden: [16], dropout: 0.2}
  rounds: 2
  seed: 7
  local: {epochs: 10, batch: 8, lr: 0.02}
  sites: {quorum: 2, of: all, patience: 60s, late: drop}
  select: {metric: mae}
  evaluation: {local_baseline: {budget: none}, uncertainty: {how: "mc:4", refer: 0.25}}
hospitals:
  - {name: nord, data: $work/table-nord}
  - {name: sud, data: $work/table-sud}
clients: {processes: 2}
EOF

# tables TASK SITE HOW SEED: the site's own case tables, made by its final model
tables() {
    local run=$work/$1 to=$work/$1/tables/$2 data=$work/$1/data/$2 split name
    local model=$run/homes/$2/runs/sure/model/final.onnx
    mkdir -p "$to"
    cp "$run/homes/$2/runs/sure/predictions.csv" "$to/test.csv" || return 1
    "$bin/client" predict --model "$model" --data "$data" --split val --out "$to/v" >/dev/null && mv "$to/v/predictions.csv" "$to/val.csv" || return 1
    for split in test val; do
        name=doubt; [ "$split" = test ] || name=doubt-val
        "$bin/client" predict --model "$model" --data "$data" --split "$split" --uncertainty "$3" --seed "$4" --out "$to/d" >/dev/null &&
            mv "$to/d/predictions.csv" "$to/$name.csv" || return 1
    done
}

# play TASK HOW SEED SITE...
play() {
    local task=$1 how=$2 seed=$3 site; shift 3
    if ! "$bin/sim" run "$work/$task.yaml" --out "$work/$task" --quiet >"$work/log" 2>&1; then
        not_ok "$task, $how: a federation asks how sure its model is" "$(cat "$work/log")"
        return
    fi
    ok "$task, $how: a federation asks how sure its model is"
    for site in "$@"; do
        tables "$task" "$site" "$how" "$seed" || not_ok "$task: the own tables of $site"
    done
    /usr/bin/python3 "$top/tests/e2e/sure.py" "$task" "$(report_of "$work/$task")" "$work/$task/tables" || failures=$((failures + 1))
}

play classify mc:4 5 nord sud est ile
play segment tta:8 3 nord sud
play multilabel mc:4 6 nord sud
play regress mc:4 7 nord sud
refuses "a number alone, which says nothing of how sure it is" 2 'one: a number alone says nothing of how sure it is' \
    "$bin/sim" run "$work/regress.yaml" --out "$work/alone" --set evaluation.uncertainty.how=one

# left SITE: what left of validation scores, as the hospital's own list has it
left() { "$bin/client" sent --home "$work/classify/homes/$1"; }
check "sums of 220 validation cases leave" eval 'left nord | grep -q "temperature, nonconformity"'
check "of 24 counts alone" eval 'left est | grep -q nonconformity && ! left est | grep -q temperature'
check "of 6 nothing" eval '! left ile | grep -qE "temperature|nonconformity"'

model=$work/segment/homes/nord/runs/sure/model/final.onnx
data=$work/segment/data/nord
# explained MODEL DATA: the share of uncertain pixels in the explained region is a share, of all outlined cases
explained() {
    "$bin/client" evaluate --model "$1" --data "$2" --uncertainty tta:8 --explained --json | /usr/bin/python3 -c '
import json, sys
e = json.load(sys.stdin)["uncertainty"]["explained"]
sys.exit(not (e["chance"] == 0.1 and e["n_outlined"] + e["n_without"] == 40 and e["n_outlined"] > 0 and
              0 <= e["share"]["value"] <= 1 and e["share"]["n"] == e["n_outlined"]))'
}
check "how much of the uncertain pixels lies where the model looked" explained "$model" "$data"
refuses "which needs an uncertainty" 2 '--explained goes with --uncertainty' \
    "$bin/client" evaluate --model "$model" --data "$data" --explained
# The case with the largest outline (n_pred).
case=$(sort -t, -k7,7nr "$(echo "$work"/segment/homes/nord/runs/sure/predictions.csv)" | head -n 1 | cut -d, -f1)
check "an outline is explained" eval '"$bin/client" explain "$case" --model "$model" --data "$data" --out "$work/cam.png" | grep -q "pixels that are called so"'
check "in a picture" eval '"$bin/client" inspect "$work/cam.png" --json | grep -q "\"channels\": 3"'
refuses "by sight alone" 1 'a model that outlines takes gradcam' \
    "$bin/client" explain "$case" --model "$model" --data "$data" --out "$work/cam.png" --method lime
