#!/bin/bash
# long_soak.sh - two thousand rounds with joins and leaves: no memory grows, no descriptor stays open
#
# Four sites that train nothing (tests/bench/play_sites.c) play on and on; every twenty-five rounds one
# more site joins or the one that joined last is gone for a while.  Resident memory at round 2,000 is
# held against round 100's, for the coordinator and for a client that is there from beginning to end.
. "$(dirname "$0")/lib.sh"
rounds=${SOAK_ROUNDS:-2000} early=100 every=25
port=$(free_port)
cat >"$work/job.yaml" <<JOB
name: soak
intended_use: a test
task: classify
data: {input: [1, 8, 8], classes: [a, b], positive: b}
model: {name: mlp, hidden: [4]}
rounds: $rounds
seed: 1
strategy: {name: fedavg}
local: {steps: 1, batch: 1, lr: 0.1}
sites: {quorum: 3, patience: 1s}
evaluation:
  threshold: {rule: fixed, at: 0.5}
JOB
"$bin/coordinator" init "$work/fed" --address "tcp://127.0.0.1:$port" >/dev/null
"$bin/coordinator" invite "$work/fed" --site site-00000 --site site-00001 --site site-00002 --site site-00003 \
    --site site-00004 >/dev/null
cp -r "$work/fed/invitations" "$work/invitations"
start coordinator "$bin/coordinator" run "$work/fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"
coordinator=$last
log=$work/coordinator.log
start homes "$BUILD/tests/bench/play_sites" "$work" 0 4
client=$last
come() { start "guest-$1" "$BUILD/tests/bench/play_sites" "$work" 4 1; guest=$last; }
come 0

rounds_done() { grep -c 'round.commit' "$log"; }
kb() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
files() { ls "/proc/$1/fd" | wc -l; }
reached() { [ "$(rounds_done)" -ge "$1" ]; }
note() { echo "$1 $(kb "$coordinator") $(kb "$client") $(files "$coordinator") $(files "$client")" >>"$work/marks"; }
n_changes=0 next=$every
while kill -0 "$coordinator" 2>/dev/null && ! reached $((rounds - 5)); do
    wait_until 600 reached "$next" || { not_ok "rounds go on" "$(tail -5 "$log")"; break; }
    note "$(rounds_done)"
    n_changes=$((n_changes + 1))
    if [ $((n_changes % 2)) = 1 ]; then kill_hard "$guest"; else come "$n_changes"; fi
    next=$((next + every))
done
cat "$work/marks" >&2
verdict() {
    awk -v early="$early" -v n_rounds="$rounds" '
        $1 >= early && first == "" { first = $0; c0 = $2; s0 = $3; f0 = $4; g0 = $5 }
        { at = $1; c = $2; s = $3; f = $4 > f ? $4 : f; g = $5 > g ? $5 : g }
        END {
            printf "rounds %s to %s: coordinator %d KB, then %d (%+.1f %%); client %d KB, then %d (%+.1f %%); files at most %d and %d\n",
                early, at, c0, c, 100 * (c - c0) / c0, s0, s, 100 * (s - s0) / s0, f, g
            exit !(first != "" && at >= n_rounds - 60 && c <= 1.02 * c0 && s <= 1.02 * s0 && f <= f0 + 4 && g <= g0 + 4)
        }' "$work/marks"
}
if said=$(verdict); then ok "memory and descriptors stay ($said)"; else not_ok "memory and descriptors stay" "$said"; fi
ok "sites came and went $n_changes times"
