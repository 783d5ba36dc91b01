#!/bin/bash
# long_flood.sh - ten thousand bad messages a second, and what honest sites notice of them
#
# Ten sites without training (tests/bench/play_sites.c) play one round after the other, while for
# ten seconds somebody floods the coordinator (tests/bench/play_flood.c): a stranger; an enrolled
# site; the same one, revoked.  Before and after each flood there is as long a time without.
. "$(dirname "$0")/lib.sh"
read -r load _ </proc/loadavg  # a busy machine's times say nothing; the figures are shown all the same
cores=$(nproc)
busy() { awk -v l="$load" -v n="$cores" 'BEGIN { exit !(l > n) }'; }
sites=10 rate=${FLOOD_RATE:-10000} seconds=${FLOOD_SECONDS:-10}
port=$(free_port)
mkdir -p "$work"
cat >"$work/job.yaml" <<JOB
name: flood
intended_use: a test
task: classify
data: {input: [1, 32, 32], classes: [a, b], positive: b}
model: {name: mlp, hidden: [97]}
rounds: 100000
seed: 1
strategy: {name: fedavg}
local: {steps: 1, batch: 1, lr: 0.1}
sites: {quorum: $sites, patience: 10m}
evaluation:
  threshold: {rule: fixed, at: 0.5}
JOB
"$bin/coordinator" init "$work/fed" --address "tcp://127.0.0.1:$port" >/dev/null
"$bin/coordinator" invite "$work/fed" $(for i in $(seq 0 $((sites - 1))); do printf -- '--site site-%05d ' "$i"; done) >/dev/null
cp -r "$work/fed/invitations" "$work/invitations"
start coordinator "$bin/coordinator" run "$work/fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"
coordinator=$last
for i in $(seq 0 $((sites - 1))); do
    start "site-$i" "$BUILD/tests/bench/play_sites" "$work" "$i" 1
done
log=$work/coordinator.log
# One more site, enrolled by the real client, for its keys.
"$bin/coordinator" invite "$work/fed" --site hostile >/dev/null
"$bin/client" join "$work/fed/invitations/hostile.yaml" --home "$work/hostile" --data none --approve all >/dev/null
start hostile "$bin/client" run --home "$work/hostile"
wait_until 120 grep -q 'round.commit.*round=5 ' "$log" || { not_ok "rounds are played" "$(tail -5 "$log")"; exit 1; }
wait_until 60 sh -c "'$bin/coordinator' sites '$work/fed' | grep hostile | grep -q enrolled" || not_ok "the hostile site enrols"
kill_hard "$last"
key=$(sed -n 's/.*curve_key: "\(.*\)"/\1/p' "$work/hostile/client.yaml")

rounds() { grep -c 'round.commit' "$log"; }
cpu() { awk '{ sub(/.*\) /, ""); print ($12 + $13) / '"$(getconf CLK_TCK)"' }' "/proc/$coordinator/stat"; }
arrived() { /usr/bin/python3 - "$work/fed/federation.db" <<'PY'
import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("SELECT coalesce(sum(count), 0) FROM refusal").fetchone()[0])
PY
}
# During NAME COMMAND: rounds, CPU seconds and their median time go to $work/NAME.
during() {
    local name=$1 from cpu_from; shift
    from=$(rounds); cpu_from=$(cpu)
    "$@" >"$work/$name.sent" 2>"$work/$name.said"
    sed 1d <(grep 'round.commit' "$log" | tail -n +"$from") | sed 's/.* seconds=\([0-9.]*\).*/\1/' | sort -n |
        awk -v cpu="$(cpu)" -v before="$cpu_from" '{ t[NR] = $1 }
            END { print NR, cpu - before, (NR > 0 ? t[int((NR + 1) / 2)] : "inf") }' >"$work/$name"
}
# flood NAME SENTENCE COMMAND...: quiet, flooded, quiet.
flood() {
    local name=$1 sentence=$2 before; shift 2
    during "$name.before" sleep "$seconds"
    before=$(arrived)
    during "$name" "$@"
    during "$name.after" sleep "$seconds"
    sleep 2
    if /usr/bin/python3 - "$work/$name" "$(cat "$work/$name.sent")" $(($(arrived) - before)) >"$work/$name.out" 2>&1 <<'PY'
import sys
path, sent, arrived = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
def read(p):
    n, cpu, median = open(p).read().split()
    return int(n), float(cpu), float(median)
b, f, a = read(path + ".before"), read(path), read(path + ".after")
quiet = (b[2] + a[2]) / 2
a_round = (b[1] + a[1]) / (b[0] + a[0])
ratio = f[2] / quiet
extra = max(0, f[1] - f[0] * a_round)
print("%.0f sent, %.0f refused; a round %.3f s instead of %.3f (x %.2f), %d rounds instead of %d; %.1f us of the server's CPU for each that reached it"
      % (sent, arrived, f[2], quiet, ratio, f[0], (b[0] + a[0]) / 2, 1e6 * extra / max(arrived, 1)))
sys.exit(0 if ratio <= 1.5 and f[0] > 0 else 1)
PY
    then ok "$sentence ($(cat "$work/$name.out"))"
    elif busy && grep -q sent "$work/$name.out"; then skip "$sentence" "the machine was busy (load $load): $(cat "$work/$name.out")"
    else not_ok "$sentence" "$(cat "$work/$name.out" "$work/$name.said")"
    fi
}
flooder=$BUILD/tests/bench/play_flood
flood stranger "a stranger's flood leaves honest rounds within 1.5 of their time" "$flooder" stranger "$port" "$rate" "$seconds"
flood enrolled "a hostile site's flood does" "$flooder" enrolled "tcp://127.0.0.1:$port" "$key" "$work/hostile/keys" "$rate" "$seconds"
"$bin/coordinator" remove "$work/fed" hostile >/dev/null
sleep 2
flood revoked "a revoked site's flood does" "$flooder" enrolled "tcp://127.0.0.1:$port" "$key" "$work/hostile/keys" "$rate" "$seconds"
check "the coordinator has gone through it all" kill -0 "$coordinator"
