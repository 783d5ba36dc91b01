#!/bin/sh
# The robustness lab: a model goes to a hospital that took no part, and then to photographed films.
# usage: sim/labs/robustness.sh [OUT]      (out/labs/robustness; ROBUSTNESS.md is the sheet)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=${BUILD:-$here/../../build}/bin
out=${1:-out/labs/robustness}

mkdir -p "$out"
[ -s "$out/a/report/report.json" ] || "$bin/sim" run "$here/robustness-a.yaml" --out "$out/a" --quiet
model=$out/a/federation/runs/robustness/model/final.onnx

# Hospital B writes one label a patient, in its own words and finer than the model's; robustness-map.yaml
# says which class each is.
if [ ! -d "$out/b/film-5" ]; then
    rm -rf "$out/b.new"
    "$bin/sim" hospital --scenario "$here/robustness-b.yaml" --out "$out/b.new" >/dev/null
    for set in "$out"/b.new/digital "$out"/b.new/film-*; do
        awk -F, -v OFS=, 'NR == 1 { $4 = "label" }
            NR > 1 { $4 = $6 ? ($4 || $5 ? "parapneumonic_effusion" : "pleural_effusion") : $4 ? "consolidation" : $5 ? "lung_nodule" : "no_finding" }
            { print $1, $2, $3, $4, $7, $8, $9, $10 }' "$set/manifest.csv" >"$set/manifest.new"
        mv "$set/manifest.new" "$set/manifest.csv"
        sed -i -e 's/^task: .*/task: classify/' -e '/^classes:/d' "$set/dataset.yaml"
    done
    mv "$out/b.new" "$out/b"
fi

# column NAME FILE: the value of the last such line of `client evaluate`
column() { grep -F -- "$1" "$2" | sed 's/.*  *\(-\{0,1\}[0-9][0-9]*\.[0-9][0-9]*\)  *-\{0,1\}[0-9.]* to .*/\1/' | tail -n 1; }

printf '\n%-12s %6s %6s %13s %13s %20s %18s\n' "test cases" AUC F1 sensitivity specificity "error -> referred" "AUROC of wrong"
for name in a/data/uni b/digital b/film-1 b/film-3 b/film-5; do
    text=$out/$(basename "$name").txt
    map=
    [ "${name%%/*}" = a ] || map="--label-map $here/robustness-map.yaml"
    # shellcheck disable=SC2086
    "$bin/client" evaluate --model "$model" --data "$out/$name" $map --uncertainty mc:20 >"$text"
    printf '%-12s %6s %6s %13s %13s %20s %18s\n' "$(basename "$name")" "$(column 'auc   ' "$text")" "$(column 'f1   ' "$text")" \
        "$(column 'sensitivity   ' "$text")" "$(column 'specificity   ' "$text")" \
        "$(column 'error   ' "$text") -> $(column 'error when 20 % are referred' "$text")" \
        "$(column 'entropy: AUROC for wrong calls' "$text")"
done
printf '\nfigures with intervals: %s/*.txt    the federation: %s/a/report/index.html\n' "$out" "$out"
