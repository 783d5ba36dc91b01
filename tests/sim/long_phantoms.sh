#!/bin/bash
# long_phantoms.sh - every phantom is worth training on, and a hospital's scanner matters
# (usage: long_phantoms.sh [NAME/TASK ...]; prints the table of docs/PHANTOMS.md)
#
# For each phantom at its default difficulty, with three hospitals (one as the ideal scanner shows it, two with
# chains of severity 3), 500 training images each and a small convolutional network:
#   auc       of the first hospital's model on the first hospital's test cases
#   elsewhere the same model at the hospital where it does worst
#   told      accuracy of a model that is asked which of the three an image comes from
. "$(dirname "$0")/../e2e/lib.sh"

# phantom task channels positive classes epochs | chain of a | chain of b
phantoms="
xray opacity 1 opacity normal,opacity 16 | blur: 3, gamma: 3 | resolution: 3, noise: 3, contrast: 3
xray nodule 1 nodule normal,nodule 30 | blur: 3, gamma: 3 | resolution: 3, noise: 3, contrast: 3
xray effusion 1 effusion normal,effusion 16 | uneven_light: 3, glare: 3, perspective: 3 | resolution: 3, noise: 3, contrast: 3
xray findings 1 - opacity,nodule,effusion 20 | glare: 3, moire: 3 | resolution: 3, noise: 3, contrast: 3
mri tumour 2 tumour normal,tumour 16 | rician: 3, bias: 3 | motion: 3, blur: 3
histology grade 3 high low,high 16 | stain: 3, blur: 3 | colour: 3, jpeg: 3, resolution: 3
ct lung 1 nodule normal,nodule 30 | metal: 3, noise: 3 | blur: 3, partial_volume: 3, noise: 3
ct liver 1 lesion normal,lesion 30 | noise: 3, ring: 3 | blur: 3, partial_volume: 3
pet malignancy 2 malignant benign,malignant 16 | noise: 3, gain: 3 | blur: 3, gamma: 3
mammography density 1 - a,b,c,d 16 | gamma: 3, noise: 3 | contrast: 3, blur: 3, window: 3
mammography mass 1 mass normal,mass 30 | gamma: 3, noise: 3 | contrast: 3, blur: 3
mammography calcification 1 calcification normal,calcification 30 | gamma: 3, noise: 3 | contrast: 3, blur: 3
ultrasound lesion 1 malignant benign,malignant 16 | field_of_view: 3, gain: 3 | resolution: 3, blur: 3, speckle: 3
"
size=64

# number FILE EXPRESSION: of a JSON file, r
number() { /usr/bin/python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); print("%.4f" % eval(sys.argv[2]))' "$1" "$2"; }
holds()  { /usr/bin/python3 -c 'import sys; sys.exit(not eval(sys.argv[1]))' "$1"; }

# The scenario: three hospitals of one phantom
scenario() {
    local task=classify positive=", positive: $positive"
    [ "$phantom/$name" != xray/findings ] || task=multilabel
    [ "$positive" != ", positive: -" ] || positive=
    cat <<YAML
job:
  name: phantoms
  task: $task
  data: {input: [$channels, $size, $size], classes: [${classes//,/, }]$positive}
  model: {name: cnn}
  rounds: 1
  seed: 11
generate: {phantom: $phantom, task: $name, size: $size}
hospitals:
  - {name: ideal, patients: {n: {train: 500, val: 150, test: 400}}, shift: []}
  - {name: a, like: ideal, shift: [$chain_a]}
  - {name: b, like: ideal, shift: [$chain_b]}
YAML
}

# One data set whose label is the hospital, of the three's files.
ask_where() {
    local dir=$1 data=$2 h
    mkdir -p "$dir"
    for h in ideal a b; do
        /usr/bin/python3 - "$data/$h" "$h" "$dir/manifest.csv" <<'PY'
import csv, os, sys
source, hospital, out = sys.argv[1:]
first = not os.path.exists(out)
rows = list(csv.DictReader(open(source + "/manifest.csv")))
files = [k for k in rows[0] if k.split(":")[0] == "file"]
with open(out, "a", newline="") as f:
    w = csv.writer(f)
    if first:
        w.writerow(["case", "patient", *files, "label", "split"])
    for r in rows:
        w.writerow([hospital + r["case"], r["patient"], *(source + "/" + r[k] for k in files), hospital, r["split"]])
PY
    done
    { echo "task: classify"; echo "classes: {ideal: ideal, a: a, b: b}"; grep '^split\|^preprocess' "$data/ideal/dataset.yaml"; } >"$dir/dataset.yaml"
}

printf '%-26s %8s %10s %8s\n' phantom auc elsewhere told
while IFS='|' read -r head chain_a chain_b; do
    read -r phantom name channels positive classes epochs <<<"$head"
    [ -n "${phantom:-}" ] || continue
    case " $* " in "  " | *" $phantom/$name "*) ;; *) continue ;; esac
    at=$work/$phantom-$name
    mkdir "$at"
    scenario >"$at/s.yaml"
    if ! "$bin/sim" hospital --scenario "$at/s.yaml" --out "$at/data" >"$at/log" 2>&1 ||
        ! "$bin/client" train --model "{name: cnn, dropout: 0.2}" --data "$at/data/ideal" --epochs "$epochs" --optimizer adam \
            --out "$at/m.onnx" >>"$at/log" 2>&1; then
        not_ok "$phantom/$name is made and trained on" "$(tail -3 "$at/log")"
        continue
    fi
    for h in ideal a b; do
        "$bin/client" evaluate --model "$at/m.onnx" --data "$at/data/$h" --json >"$at/$h.json" 2>>"$at/log"
    done
    auc=$(number "$at/ideal.json" 'r["metrics"]["auc"]["value"]')
    elsewhere=$(for h in a b; do number "$at/$h.json" 'r["metrics"]["auc"]["value"]'; done | sort -n | head -1)
    ask_where "$at/where" "$at/data"
    "$bin/client" train --model "{name: cnn}" --data "$at/where" --epochs 3 --optimizer adam --out "$at/w.onnx" >>"$at/log" 2>&1
    "$bin/client" evaluate --model "$at/w.onnx" --data "$at/where" --json >"$at/where.json" 2>>"$at/log"
    told=$(number "$at/where.json" 'r["metrics"]["accuracy"]["value"]')
    printf '%-26s %8.3f %10.3f %8.3f\n' "$phantom/$name" "$auc" "$elsewhere" "$told"
    check "$phantom/$name: neither trivial nor hopeless with 500 images ($auc)" holds "0.80 <= $auc <= 0.97"
    check "$phantom/$name: one hospital's model loses at the most shifted other ($auc, $elsewhere)" holds "$auc - $elsewhere >= 0.05"
    check "$phantom/$name: an image tells its hospital ($told)" holds "$told > 0.9"
    rm -rf "$at/data" "$at/where"
done <<<"$phantoms"
