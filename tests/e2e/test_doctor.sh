#!/bin/bash
# test_doctor.sh - what the client says to the person who mends it: each cause in its own words, with what to do
. "$(dirname "$0")/lib.sh"
tiny_data || exit 1
fed=$work/fed port=$(free_port)
federation "$fed" "$port" nord sud
home=$work/home-nord
start coordinator "$bin/coordinator" run "$fed" --bind "tcp://127.0.0.1:$port"
doctor() { "$bin/client" doctor --home "$@"; }
enrolled() { "$bin/coordinator" sites "$fed" | grep -q "^$1 *enrolled"; }
start client "$bin/client" run --home "$home" --home "$work/home-sud"; client=$last
wait_until 60 enrolled nord && wait_until 60 enrolled sud || not_ok "they enrol" "$(cat "$work/client.log")"
kill "$client"; wait "$client" 2>/dev/null

check "all is well" doctor "$home"
refuses "a home that is named twice is not called another process's" 2 'home-nord is named twice' \
    "$bin/client" run --home "$home" --home "$work/../$(basename "$work")/home-nord"
sed -i "s,^data:.*,data: \"$work/none\"," "$home/client.yaml"
refuses "data that are not where client.yaml says" 1 '^data +FAILS  .*/none, as .*/client.yaml says: No such file' doctor "$home"
echo 'bogus: 1' >>"$home/policy.yaml"
refuses "a policy that cannot be read" 1 '^policy +FAILS  .*policy.yaml:[0-9]*: bogus: unknown key' doctor "$home"

"$bin/coordinator" remove "$fed" sud >/dev/null
told() { doctor "$work/home-sud" | grep -q '^handshake *FAILS  refused by the coordinator: .*; this site was removed: ask'; }
check "a site that was removed is told whom to ask" wait_until 30 told
other=$(free_port)
start web /usr/bin/python3 -m http.server "$other" --bind 127.0.0.1
wait_until 30 bash -c "</dev/tcp/127.0.0.1/$other"
sed -i "s,127.0.0.1:$port,127.0.0.1:$other," "$work/home-sud/client.yaml"
refuses "another program at that port is called that" 1 '^handshake +FAILS .*not as a coordinator does: is it the right port' doctor "$work/home-sud"

# A site that a person must confirm: who waits for whom, by which command, and what to compare.
"$bin/coordinator" invite "$fed" --site est --confirm --out "$work/est.invitation" >/dev/null
est=$work/home-est
"$bin/client" join "$work/est.invitation" --home "$est" --data "$work/data/nord" >/dev/null
fingerprint=$(sed -n 's/^fingerprint: "\(.*\)"/\1/p' "$est/keys/public.yaml")
start client-est "$bin/client" run --home "$est"; client=$last
log_of() { grep -q "$2" "$work/$1.log"; }
check "the client's log says that a person must confirm it, how, and what to compare" \
    wait_until 60 log_of client-est "order.wait.* confirm the fingerprint $fingerprint with .consilium-coordinator sites DIR --confirm est.*own is $fingerprint: compare"
check "the coordinator's says so too" log_of coordinator "enrol.confirm site=est .*: consilium-coordinator sites $fed --confirm est"
"$bin/coordinator" status "$fed" >"$work/status"
check "and its status" eval 'grep -q "est waits to be confirmed: compare $fingerprint" "$work/status" && grep -q "consilium-coordinator sites $fed --confirm est" "$work/status"'
check "as JSON" eval '"$bin/coordinator" status "$fed" --json >"$work/status.json" && test "$(json "$work/status.json" .to_confirm.0.fingerprint)" = "$fingerprint"'
kill "$client"; wait "$client" 2>/dev/null
check "doctor says so" eval 'doctor "$est" | grep -q "^confirmed *odd *no: .*--confirm est.*own is $fingerprint: compare"'
"$bin/coordinator" sites "$fed" --confirm est >/dev/null
confirmed() { doctor "$est" | grep -q "^confirmed *ok *this site takes part; its fingerprint is $fingerprint"; }
check "and when it is over" wait_until 30 confirmed

# Memory that is written and executed is forbidden, as by a unit's MemoryDenyWriteExecute (prctl PR_SET_MDWE).
without_jit() { /usr/bin/python3 -c '
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0: sys.exit(99)
os.execv(sys.argv[1], sys.argv[1:])' "$@"; }
if without_jit /bin/true; then
    refuses "a client that could take part in no round says so at its start" 2 'forbids code .*MemoryDenyWriteExecute=no in the unit' \
        without_jit "$bin/client" run --home "$est"
    refuses "a training there has failed, its command is right" 1 'forbids code that is made at run time' \
        without_jit "$bin/client" train --model logistic --data "$work/data/nord" --out "$work/m.onnx"
else
    skip "a client that could take part in no round says so at its start" "this kernel cannot forbid it"
fi

refuses "a file that is no invitation, said once" 2 '^consilium-client join: reading the invitation: .*tiny.yaml' \
    "$bin/client" join "$top/tests/e2e/tiny.yaml" --home "$work/new" --data "$work/data/nord"

# In a run the hospital's own log says what to do, where the coordinator is told the cause only.
rm -rf "$work"/home-*
fed=$work/fed2 port=$(free_port) join_with=()
federation "$fed" "$port" nord sud
tiny_job "$work/job.yaml"
sed -i "s,^data:.*,data: \"$work/none\"," "$work/home-sud/client.yaml"
start client-2 "$bin/client" run --home "$work/home-nord" --home "$work/home-sud"
start coordinator-2 "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"; coordinator=$last
says() { grep -q "$1" "$work/client-2.log"; }
check "how to approve a job" wait_until 60 says "order.next site=nord consilium-client approve --home $work/home-nord"
approve() { "$bin/client" approve --home "$1" "$("$bin/client" approve --home "$1" | awk '$1 == "job" { print $2 }')"; }
check "why it waits, where the person looks who is to approve it" eval '"$bin/client" approve --home "$work/home-nord" |
    grep -q "why it waits  policy.yaml says approve: each; its quorum of 2 sites is less than the 3 that the policy wants"'
wait_until 30 approve "$work/home-sud"; wait_until 30 approve "$work/home-nord"
check "where the data were looked for" wait_until 60 says "order.next site=sud the data set is $work/none, as $work/home-sud/client.yaml says"
status_of_sud() { "$bin/coordinator" status "$fed" | grep "sud has not joined: "; }  # it waits for the data
check "which the coordinator does not learn" eval 'wait_until 30 status_of_sud && ! status_of_sud | grep -q "$work/none" &&
    ! grep -q "$work/none" "$work/coordinator-2.log"'
