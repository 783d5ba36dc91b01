#!/bin/bash
# test_heart.sh - four real hospitals, federated: in the range of the published figures
#
# Two seeds say whether the path works; long_heart.sh holds ten against the paper.
. "$(dirname "$0")/lib.sh"
if [ ! -d "${CONSILIUM_DATA:-/nowhere}/uci-heart" ]; then
    skip "four real hospitals" "CONSILIUM_DATA has no uci-heart"
    exit 0
fi
mean_of() { /usr/bin/python3 "$top/tests/e2e/mean_of.py" "$@"; }
check "the heart scenario runs" "$bin/sim" run "$top/sim/scenarios/heart.yaml" --out "$work/heart" --seeds 1-2
check "the pooled test set has 254 rows" eval '[ "$(json "$work"/heart/seed-1/*/report/report.json baselines.global_on_pooled.accuracy.n)" = 254 ]'
# The published spread over seeds is .024; two seeds may lie three of them away.
check "federated accuracy is in the published range" mean_of "$work/heart/results.csv" pooled global accuracy 0.676 0.82
check "centralised accuracy is the published one" mean_of "$work/heart/results.csv" pooled centralised accuracy 0.775 0.815
