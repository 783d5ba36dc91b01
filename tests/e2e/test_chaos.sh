#!/bin/bash
# test_chaos.sh - a federation that is broken on purpose ends as the undisturbed one, or says why not
. "$(dirname "$0")/lib.sh"
chaos=$BUILD/tests/e2e/chaos/chaos
[ -x "$chaos" ] || { skip "faults" "$chaos is not built"; exit 0; }
seed=${CHAOS_SEED:-1}

TMPDIR=$work "$chaos" --runs 14 --least 60 --seed "$seed" >"$work/chaos.log" 2>&1
rc=$?
sed 's/^/# /' "$work/chaos.log"
check "sixty faults: nothing is lost, counted twice, different or stuck" test "$rc" = 0
if grep -q '^no small disks' "$work/chaos.log"; then
    skip "full and read-only disks" "the system allows no mount namespace"
fi
