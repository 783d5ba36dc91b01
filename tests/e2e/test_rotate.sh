#!/bin/bash
# test_rotate.sh - client rotate: a hospital changes its keys while everything goes on; killed at each step it has the old keys or the
# new ones, and what it signed is checked with the keys of its time
. "$(dirname "$0")/lib.sh"
preload=$BUILD/tests/e2e/chaos/preload.so
fed=$work/fed port=$(free_port)
tiny_data || exit 1
tiny_job "$work/job.yaml" rounds 60
federation "$fed" "$port" nord sud est
home=$work/home-est
fingerprint() { sed -n 's/^fingerprint: "\(.*\)"/\1/p' "$home/keys/public.yaml"; }
known() { "$bin/coordinator" sites "$fed" | grep -q "est .*$1"; }
settled() { [ ! -e "$home/keys/next" ] && known "$(fingerprint)"; }
refuses "a hospital that is not enrolled has nothing to change" 1 'est is not enrolled yet' "$bin/client" rotate --home "$home"
start coordinator "$bin/coordinator" run "$fed" --bind "tcp://127.0.0.1:$port"; coordinator=$last
start client-est "$bin/client" run --home "$home"; est=$last
enrolled() { [ ! -e "$home/keys/invitation.yaml" ]; }
wait_until 30 enrolled || not_ok "est enrols" "$(cat "$work/client-est.log")"
first=$(fingerprint)
check "rotate says the new fingerprint" eval '"$bin/client" rotate --home "$home" | grep -q "^new fingerprint  [0-9a-f-]*$"'
refuses "a second one waits for the first" 1 'a rotation is under way' "$bin/client" rotate --home "$home"
wait_until 30 settled
check "the coordinator knows the new keys, and no longer the old ones" eval '[ "$(fingerprint)" != "$first" ] && settled && ! known "$first"'

# Killed at each step: started again, it ends with keys that both sides agree on, and they are the new ones.
kill_hard "$est"
n=0
for fault in 'rename|before|kill|1|next/accepted' 'rename|after|kill|1|next/accepted' 'fsync|after|kill|1|former.jsonl' \
    'rename|after|kill|1|keys/public.yaml' 'rename|after|kill|1|keys/curve.key' 'rename|after|kill|1|keys/sign.key' 'rename|after|kill|1|next.done'; do
    n=$((n + 1)) before=$(fingerprint)
    "$bin/client" rotate --home "$home" >"$work/rotate.log" 2>&1
    new=$(sed -n 's/^new fingerprint  //p' "$work/rotate.log")
    start "client-$n" env LD_PRELOAD="$preload" CHAOS_PROGRAM="$(readlink -f "$bin/client")" CHAOS_FAULT="$fault" CHAOS_FIRED="$work/fired-$n" \
        "$bin/client" run --home "$home"
    dead() { ! kill -0 "$last" 2>/dev/null; }
    wait_until 30 dead
    start "client-$n-again" "$bin/client" run --home "$home"; est=$last
    wait_until 30 settled
    check "killed at $fault" test "$(fingerprint)" = "$new" -a -n "$new" -a "$new" != "$before" -a -s "$work/fired-$n"
    wait_until 30 grep -q 'session.link.*connected' "$work/client-$n-again.log"
    kill_hard "$est"
done
kill_hard "$coordinator"

# In mid-run, at two hospitals at once, the coordinator killed right after.
start coordinator-2 "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"; coordinator=$last
for site in nord sud est; do start "run-$site" "$bin/client" run --home "$work/home-$site" --once; eval "client_$site=$last"; done
run=$fed/runs/tiny
wait_until 60 committed 2 || not_ok "two rounds" "$(cat "$work/coordinator-2.log")"
kill -STOP "$client_sud"  # so that the round waits for the new keys, however fast the machine
"$bin/client" rotate --home "$work/home-nord" >/dev/null
"$bin/client" rotate --home "$work/home-est" >/dev/null
rotated() { grep '"what":"site"' "$run/audit.jsonl" | grep -q '"rotations":.*"site":"nord"'; }
wait_until 30 rotated
kill_hard "$coordinator"
kill -CONT "$client_sud"
start coordinator-3 "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"
wait "$last"; rc=$?
check "the run goes on to its end, nobody absent" test "$rc" = 0
for site in nord sud est; do eval "wait \$client_$site"; check "$site has its model" test $? = 0 -a -s "$work/home-$site/runs/tiny/model/final.onnx"; done
check "the record has nord's new keys with the old ones' signature" rotated
check "and holds" "$bin/coordinator" verify "$run"
for site in nord sud est; do check "$site finds its part in it" "$bin/client" verify --home "$work/home-$site" "$run/audit.jsonl"; done
sed 's/"old_signature":"./"old_signature":"x/' "$run/audit.jsonl" >"$work/forged.jsonl"
refuses "a record that was changed there does not hold" 1 'audit|forged' "$bin/client" verify --home "$work/home-est" "$work/forged.jsonl"
