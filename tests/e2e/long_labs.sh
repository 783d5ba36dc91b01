#!/bin/bash
# long_labs.sh - the labs run with one command each and show what their sheets say
. "$(dirname "$0")/lib.sh"

# near FILE LINE LOW HIGH: the first number of a line of `client evaluate` lies between.
near() { awk -v text="$2" -v low="$3" -v high="$4" \
    'index($0, text) { s = substr($0, index($0, text) + length(text)); split(s, w, " "); exit !(w[1] >= low && w[1] <= high) } END { if (s == "") exit 1 }' "$1"; }

lab=$work/uncertainty
check "the uncertainty lab runs" env BUILD="$BUILD" "$top/sim/labs/uncertainty.sh" "$lab"
check "the variance of 20 passes goes with the Dice error" near "$lab/known-mc:20.txt" 'variance: correlation with the error' 0.4 0.7
check "referring a fifth cuts the error by a third" near "$lab/known-mc:20.txt" 'share of the error that this cuts' 0.33 0.6
check "where tumours are missed entropy is low" near "$lab/strange-mc:20.txt" 'entropy: correlation with the error' -1 -0.1
check "and the expected error still tells" near "$lab/strange-mc:20.txt" 'expected_error: correlation with the error' 0.6 1
check "every test case has its maps" test "$(find "$lab/maps" -name '*.variance.png' | wc -l)" = 120

# The lines of the mean prediction come last.
lab=$work/robustness
last() { near <(grep -F -- "$2" "$1" | tail -n 1) "$2" "$3" "$4"; }
check "the robustness lab runs" env BUILD="$BUILD" "$top/sim/labs/robustness.sh" "$lab"
check "the model is good at home" last "$lab/uni.txt" 'auc ' 0.9 1
check "and at a hospital that writes in its own words" last "$lab/digital.txt" 'auc ' 0.93 1
check "whose other diseases are out of scope" near "$lab/digital.txt" "consolidation                   out of the model's scope" 50 50
check "film takes the AUC" last "$lab/film-3.txt" 'auc ' 0.5 0.8
check "and F1 before it" last "$lab/film-1.txt" 'f1 ' 0.15 0.6
check "uncertain cases mark the failures at home" last "$lab/digital.txt" 'entropy: AUROC for wrong calls' 0.8 1
check "and not on film" last "$lab/film-5.txt" 'entropy: AUROC for wrong calls' 0.3 0.65
