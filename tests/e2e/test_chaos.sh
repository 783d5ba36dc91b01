#!/bin/bash
# test_chaos.sh - a federation that is broken on purpose ends as the undisturbed one, or says why not
#
# CHAOS_SEED=N plays other runs; make chaos plays many more.
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

# The rig is trusted because it finds a bug that is planted.
# finds SENTENCE BUG PROGRAM KIND PATTERN
finds() {
    local log=$work/$2.log
    TMPDIR=$work "$chaos" "--$3" "${chaos%/*}/planted/$2" --only "$4" --runs 20 --seed "$seed" --until-bad >"$log" 2>&1
    if grep -q '^undisturbed.* s $' "$log" && grep -qE "^run [0-9]+: BAD.*($5)" "$log"; then
        ok "$1"
    else
        not_ok "$1" "$(cat "$log")"
    fi
}
finds "what is committed before it is recorded is found" commit_before_record coordinator instant \
    "another line|verify|No such file"
finds "what is folded before it is verified is found" fold_before_verify coordinator lies \
    "where the undisturbed run has|expected a number between"
finds "noise that is drawn again for what is sent again is found" renoise client calls \
    "two different updates"
