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
