#!/bin/sh
# The uncertainty lab: does a U-Net know which outlines it draws badly?
# usage: sim/labs/uncertainty.sh [OUT]      (out/labs/uncertainty; UNCERTAINTY.md is the sheet)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=${BUILD:-$here/../../build}/bin
out=${1:-out/labs/uncertainty}
model="{name: unet, base: 8, depth: 3, dropout: 0.3}"

mkdir -p "$out"
[ -d "$out/data/known" ] || "$bin/sim" hospital --scenario "$here/uncertainty.yaml" --out "$out/data" >/dev/null
[ -s "$out/unet.onnx" ] || "$bin/client" train --model "$model" --data "$out/data/known" --epochs 15 --batch 8 \
    --optimizer adam --lr 0.002 --metric dice --out "$out/unet.onnx"

# column NAME FILE: the value of a line of `client evaluate`
column() { grep -F -- "$1" "$2" | sed 's/.*  *\(-\{0,1\}[0-9][0-9]*\.[0-9][0-9]*\)  *-\{0,1\}[0-9.]* to .*/\1/' | head -n 1; }

printf '\n%-10s %-12s %7s %22s %22s %22s %16s\n' hospital predictions "Dice" \
    "r(expected error)" "r(variance)" "r(entropy)" "error -> referred"
for hospital in known strange; do
    for how in mc:2 mc:5 mc:20; do
        text=$out/$hospital-$how.txt
        "$bin/client" evaluate --model "$out/unet.onnx" --data "$out/data/$hospital" --uncertainty "$how" >"$text"
        printf '%-10s %-12s %7s %22s %22s %22s %16s\n' "$hospital" "$how" "$(column 'dice ' "$text")" \
            "$(column 'expected_error: correlation' "$text")" "$(column 'variance: correlation' "$text")" \
            "$(column 'entropy: correlation' "$text")" \
            "$(column 'error   ' "$text") -> $(column 'error when 20 % are referred' "$text")"
    done
done

"$bin/client" predict --model "$out/unet.onnx" --data "$out/data/known" --uncertainty mc:20 --maps --out "$out/maps" >"$out/maps.txt"
printf '\nfigures: %s/*.txt    maps of every test case: %s/maps/CASE.{mask,prob,entropy,variance}.png\n' "$out" "$out"
cat "$out/maps.txt"
