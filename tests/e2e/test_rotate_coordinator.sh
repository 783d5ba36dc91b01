#!/bin/bash
# test_rotate_coordinator.sh - coordinator rotate: new keys for the coordinator while sites come and go and a run goes on; killed at each
# step, on either side, it has the old keys or the new ones; who was away learns them when it is back, or from a file
. "$(dirname "$0")/lib.sh"
preload=$BUILD/tests/e2e/chaos/preload.so
fed=$work/fed port=$(free_port)
tiny_data || exit 1
tiny_job "$work/job.yaml" rounds 60
federation "$fed" "$port" nord sud est
key() { sed -n 's/^signing_key: "\(.*\)"/\1/p' "$fed/keys/public.yaml"; }
new_of() { sed -n 's/^new fingerprint of the coordinator  //p' "$1"; }
fingerprint() { sed -n 's/^fingerprint: "\(.*\)"/\1/p' "$fed/keys/public.yaml"; }
# knows SITE: the coordinator's key that is in use is the last that the site follows.
knows() { tail -1 "$work/home-$1/keys/coordinator.jsonl" | grep -q "\"sign_key\":\"$(key)\""; }
taken() { [ ! -e "$fed/keys/next" ] && knows nord && knows sud && knows est; }
enrolled() { for site in nord sud est; do [ ! -e "$work/home-$site/keys/invitation.yaml" ] || return 1; done; }
told_all_but() { "$bin/coordinator" rotate "$fed" | grep -q "It waits for: $1\$"; }
serve() { start "$1" "$bin/coordinator" run "$fed" --bind "tcp://127.0.0.1:$port"; coordinator=$last; }
serve coordinator
for site in nord sud est; do start "client-$site" "$bin/client" run --home "$work/home-$site"; eval "client_$site=$last"; done
wait_until 30 enrolled || not_ok "the sites enrol" "$(cat "$work/coordinator.log")"

# est is away, and nobody is in a hurry.
kill_hard "$client_est"
first=$(fingerprint)
check "rotate says the new fingerprint" eval '"$bin/coordinator" rotate "$fed" >"$work/rotate.log" && [ -n "$(new_of "$work/rotate.log")" ]'
check "said again, it waits for the site that is away" wait_until 30 told_all_but est
check "until then the old keys are in use" test "$(fingerprint)" = "$first" -a ! -e "$work/home-nord/keys/coordinator.jsonl"
refuses "and their passphrase stays as it is" 1 'a rotation of these keys is under way' "$bin/coordinator" passphrase "$fed" --remove
start client-est-back "$bin/client" run --home "$work/home-est"; client_est=$last
check "it is back, and all take the new keys" wait_until 30 taken
check "which are those that were said" test "$(fingerprint)" = "$(new_of "$work/rotate.log")" -a "$(fingerprint)" != "$first"

# The coordinator is killed at each step: started again, it ends with the new keys, and so do the sites.
kill_hard "$coordinator"
n=0
for fault in 'rename|before|kill|1|next/accepted' 'rename|after|kill|1|next/accepted' 'rename|after|kill|1|keys/curve.key'; do
    n=$((n + 1))
    start "faulty-$n" env LD_PRELOAD="$preload" CHAOS_PROGRAM="$(readlink -f "$bin/coordinator")" CHAOS_FAULT="$fault" CHAOS_FIRED="$work/fired-$n" \
        "$bin/coordinator" run "$fed" --bind "tcp://127.0.0.1:$port"
    "$bin/coordinator" rotate "$fed" >"$work/rotate.log" 2>&1
    dead() { ! kill -0 "$last" 2>/dev/null; }
    wait_until 60 dead || not_ok "killed at $fault" "$(cat "$work/faulty-$n.log")"
    serve "coordinator-$n"
    wait_until 60 taken
    check "killed at $fault" test "$(fingerprint)" = "$(new_of "$work/rotate.log")" -a -s "$work/fired-$n" -a ! -e "$fed/keys/next"
    kill_hard "$coordinator"
done

# A site is killed at each step.
serve coordinator-sites
for fault in 'rename|after|kill|1|keys/coordinator.next' 'fsync|after|kill|1|coordinator.jsonl'; do
    n=$((n + 1))
    kill_hard "$client_est"
    start "faulty-$n" env LD_PRELOAD="$preload" CHAOS_PROGRAM="$(readlink -f "$bin/client")" CHAOS_FAULT="$fault" CHAOS_FIRED="$work/fired-$n" \
        "$bin/client" run --home "$work/home-est"
    dead() { ! kill -0 "$last" 2>/dev/null; }
    "$bin/coordinator" rotate "$fed" >"$work/rotate.log" 2>&1
    wait_until 60 dead || not_ok "killed at $fault" "$(cat "$work/faulty-$n.log")"
    start "client-est-$n" "$bin/client" run --home "$work/home-est"; client_est=$last
    wait_until 60 taken
    check "a site killed at $fault" test "$(fingerprint)" = "$(new_of "$work/rotate.log")" -a -s "$work/fired-$n"
done
kill_hard "$coordinator"
for site in nord sud est; do eval "kill_hard \$client_$site"; done

# In mid-run.
start coordinator-run "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"; coordinator=$last
for site in nord sud est; do start "run-$site" "$bin/client" run --home "$work/home-$site" --once; eval "client_$site=$last"; done
run=$fed/runs/tiny
wait_until 60 committed 2 || not_ok "two rounds" "$(cat "$work/coordinator-run.log")"
kill -STOP "$client_sud"  # so that the round waits for the new keys, however fast the machine
"$bin/coordinator" rotate "$fed" >"$work/rotate.log" 2>&1
wait_until 30 told_all_but sud || not_ok "all but one know" "$(cat "$work/coordinator-run.log")"
kill -CONT "$client_sud"
wait "$coordinator"; rc=$?
check "the run goes on to its end, nobody absent" test "$rc" = 0
check "with the new keys" test "$(fingerprint)" = "$(new_of "$work/rotate.log")" -a ! -e "$fed/keys/next"
for site in nord sud est; do eval "wait \$client_$site"; check "$site has its model" test $? = 0 -a -s "$work/home-$site/runs/tiny/model/final.onnx"; done
check "the record names the coordinator's keys twice" test "$(grep -c '"what":"coordinator"' "$run/audit.jsonl")" = 2
check "and holds" "$bin/coordinator" verify "$run"
for site in nord sud est; do check "$site finds its part in it" "$bin/client" verify --home "$work/home-$site" "$run/audit.jsonl"; done

# In a hurry, under a passphrase, while est is away.
printf 'correct horse battery\n' >"$work/pass"
export CONSILIUM_PASSPHRASE_FILE=$work/pass CONSILIUM_NEW_PASSPHRASE_FILE=$work/pass
"$bin/coordinator" passphrase "$fed" >/dev/null || not_ok "a passphrase"
check "--now changes the keys of a coordinator that does not run" eval '"$bin/coordinator" rotate "$fed" --now >"$work/rotate.log" && [ "$(fingerprint)" = "$(new_of "$work/rotate.log")" ]'
check "says who needs the file" grep -q 'not know them yet: est, nord, sud' "$work/rotate.log"
check "the new keys are under the passphrase too" grep -q 'under a passphrase' "$fed/keys/sign.key"
cp "$fed/keys/former.jsonl" "$work/former.jsonl"
serve coordinator-now
refuses "the old key is refused" 1 'handshake' "$bin/client" doctor --home "$work/home-est"
head -1 "$work/former.jsonl" >"$work/none.jsonl"
sed 's/"sign_key":"./"sign_key":"x/' "$work/former.jsonl" >"$work/forged.jsonl"
refuses "a file that leads nowhere is none" 1 'leads on' "$bin/client" trust "$work/none.jsonl" --home "$work/home-est"
refuses "nor is a forged one" 1 'leads on' "$bin/client" trust "$work/forged.jsonl" --home "$work/home-est"
check "the coordinator's file is followed" eval '"$bin/client" trust "$work/former.jsonl" --home "$work/home-est" | grep -q "$(fingerprint)"'
is_back() { "$bin/client" doctor --home "$work/home-est" | grep -q "has the expected key"; }
check "and the site is back" wait_until 30 is_back
check "its part is still found in the old record" "$bin/client" verify --home "$work/home-est" "$run/audit.jsonl"
"$bin/coordinator" rotate "$fed" --now >"$work/rotate.log" 2>&1
check "of a coordinator that runs the file is for those who are not connected" \
    grep -q '^Give those of them that are not connected now .*former.jsonl' "$work/rotate.log"
