#!/bin/bash
# The coordinator's commands without a hospital in sight: what they write, what
# they refuse, in which words and with which exit code.  Prints TAP; run by
# tests/run from the top folder.

coordinator=$BUILD/bin/coordinator
if [ ! -x "$coordinator" ]; then
    echo "1..0 # skipped: $coordinator is not built"
    exit 0
fi
dir=$(mktemp -d) || exit 1
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
server=
failed=0
n=0

report()
{
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        sed 's/^/# /' out err
        failed=1
    fi
}

# says CODE TEXT NAME ARGUMENT...: the command exits with CODE and says TEXT.
says()
{
    local code=$1 text=$2 name=$3
    shift 3
    "$coordinator" "$@" >out 2>err
    [ $? = "$code" ] && { [ -z "$text" ] || cat out err | grep -qF -- "$text"; }
    report $? "$name"
}

job()
{
    cat <<END
name: tiny
task: classify
data: {input: [4], classes: [neg, pos], positive: pos}
model: {name: logistic}
rounds: 2
strategy: {name: ${1:-fedavg}}
local: {steps: 5, batch: 4, lr: 0.1}
sites: {quorum: ${2:-1}, patience: 10s}
END
}

says 0 "fingerprint" "init makes a federation" init fed --name lungs --address tcp://127.0.0.1:7799
says 1 "there is a federation already" "a second init changes nothing" init fed
[ "$(stat -c %a fed/keys/sign.key fed/keys/curve.key | tr '\n' ' ')" = "600 600 " ]
report $? "keys can be read by their owner only"
touch file
says 1 "file is there and is no folder" "a file where a folder is to be made" init file/fed
if [ "$(id -u)" = 0 ]; then
    mkdir theirs && chmod 755 . && cp "$coordinator" coordinator && cp -r fed closed && chmod 700 closed
    setpriv --reuid=65534 --regid=65534 --clear-groups ./coordinator init theirs/fed >out 2>err
    [ $? = 1 ] && grep -q "theirs/fed: Permission denied" err
    report $? "a folder that may not be made is not called absent"
    setpriv --reuid=65534 --regid=65534 --clear-groups ./coordinator sites closed >out 2>err
    [ $? = 1 ] && grep -q "closed/federation.yaml: Permission denied" err
    report $? "nor one that may not be looked into called no federation"
fi
says 2 "expected tcp://HOST:PORT" "an address that is none" init other --address localhost:7700
says 1 "holds no federation" "a folder without a federation" sites nowhere
says 1 "holds no federation" "and no run there" run nowhere
says 1 "no unfinished run is called lnugs" "a mistyped run is not taken for none" run fed --name lnugs --bind tcp://127.0.0.1:*

says 0 "valid until" "an invitation" invite fed --site nord
[ "$(stat -c %a fed/invitations/nord.yaml)" = 600 ] && grep -q 7799 fed/invitations/nord.yaml
report $? "the invitation's file is private and names the address"
says 0 "the earlier invitation of this site is useless now" "a second one for the same site" invite fed --site nord
says 0 "elsewhere.yaml" "an invitation elsewhere" invite fed --site sud --out elsewhere.yaml --days 3 --confirm
says 1 "found 'Nord'" "a site's name with capitals" invite fed --site Nord
says 2 "--site is required" "an invitation for nobody" invite fed
says 2 "--days" "an invitation for no time" invite fed --site est --days 0
says 1 "No such file or directory" "an invitation that cannot be written" invite fed --site est --out no/such/folder/x
"$coordinator" sites fed --json >before
says 1 "the earlier one stays valid" "or not, where there is one already" invite fed --site nord --out no/such/folder/x
as_before() { "$coordinator" sites fed --json | diff before - >out 2>err && [ -z "$(ls fed/invitations | grep -v '^nord.yaml$')" ]; }
grep -q '"invited"' before && as_before
report $? "then the earlier one is as it was"
mkdir fed/invitations/west.yaml
says 1 "west.yaml is a folder" "nor where one of several cannot be" invite fed --site nord --site west
rmdir fed/invitations/west.yaml
as_before
report $? "then none is made"
says 0 "invited" "sites lists them" sites fed
"$coordinator" sites fed --json | python3 -c '
import json, sys
sites = json.load(sys.stdin)
assert [s["name"] for s in sites if s["status"] == "invited"] == ["nord", "sud"], sites' >out 2>err
report $? "sites as JSON"
says 1 "no site is called west" "removing a stranger" remove fed west
says 0 "is removed" "removing an invited site" remove fed sud
says 1 "nothing to confirm" "confirming who never enrolled" sites fed --confirm nord

job >job.yaml
job fedavg 5 >greedy.yaml
job fedbest >odd.yaml
job | sed 's/rounds: 2/rounds: 3.7/' >fraction.yaml
says 2 "the job needs 5 sites, 1 is enrolled or invited" "a quorum out of reach" run fed --job greedy.yaml
says 2 "fedavg fedprox fedavgm" "an unknown strategy" run fed --job odd.yaml
says 2 "fraction.yaml:5" "a number of rounds that is none" run fed --job fraction.yaml
says 1 "missing.yaml" "a job that is not there" run fed --job missing.yaml
[ -z "$(ls fed/runs)" ]
report $? "nothing of refused jobs is left"

exec 9>fed/lock
flock 9  # as `rotate --now` has it for a moment
"$coordinator" run fed --job job.yaml --bind tcp://127.0.0.1:0 >server.log 2>&1 9>&- &
server=$!
sleep 0.5 9>&-
exec 9>&-
for _ in $(seq 1200); do
    grep -q listening server.log && break
    sleep 0.05
done
port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' server.log)
says 1 "another coordinator runs on this federation" "two coordinators on one folder" run fed --job job.yaml
says 0 "checking" "status of a run" status fed
says 0 "waiting for nord" "and whom it waits for" status fed
says 0 '"state": "checking"' "status as JSON" status fed --json
"$coordinator" init second --address tcp://127.0.0.1:7798 >/dev/null
says 1 "$port" "a port that is in use" run second --bind "tcp://127.0.0.1:$port"
kill -KILL $server
wait $server 2>/dev/null
job fedavg 1 | sed 's/rounds: 2/rounds: 4/' >job.yaml
says 1 "--name" "another job of the same name" run fed --job job.yaml
"$coordinator" run fed >server.log 2>&1 &
server=$!
for _ in $(seq 1200); do
    grep -q "run tiny" server.log && break
    sleep 0.05
done
grep -q "run tiny" server.log
report $? "after a kill, run goes on without naming the job"
kill $server
wait $server
[ $? = 1 ] && grep -q "goes on where it was" server.log
report $? "a stopped run says that it can go on"
server=

# Who only reads needs no room on the disk, though SQLite makes a file for its log's index.
on_full_disk()
{
    unshare -rm sh -c 'mkdir full && mount -t tmpfs -o size=4m none full && cp -r fed full/fed && rm -f full/fed/*-shm || exit 99
        { cat /dev/zero >full/filling; } 2>/dev/null
        "$@"' sh "$@"
}
if unshare -rm sh -c 'mkdir try && mount -t tmpfs none try' 2>/dev/null; then
    on_full_disk "$coordinator" sites full/fed >out 2>err && grep -q '^nord *invited' out
    report $? "sites on a full disk"
    rmdir full
    on_full_disk "$coordinator" status full/fed >out 2>err && grep -q '^tiny *checking' out
    report $? "and status"
    rmdir full
    python3 -c '
import os, sqlite3
db = sqlite3.connect("fed/federation.db")
db.execute("UPDATE invitation SET expires_ms = 4102444800000")
db.commit()
os._exit(0)'  # as if killed: the change is in the log of commits
    on_full_disk "$coordinator" sites full/fed >out 2>err && [ -s fed/federation.db-wal ] &&
        grep -q "^nord *invited .*until 2100-01-01" out
    report $? "sites reads the log that a killed program left"
    rmdir full
    on_full_disk "$coordinator" remove full/fed nord >out 2>err; [ $? = 1 ] && grep -q "the disk is full" err
    report $? "who has to write says that the disk is full"
    rmdir full
fi

# A model and two updates of two numbers: (3 x 1 + 1 x 5) / 4 = 2 on top.
tensor()
{
    local header='{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    printf "\\x$(printf %x ${#header})\\0\\0\\0\\0\\0\\0\\0%s" "$header"
    printf "$1"
}
tensor '\0\0\x80\x3f\0\0\0\0' >global.safetensors     # 1, 0
tensor '\0\0\x80\x3f\0\0\0\0' >a.safetensors          # 1, 0
tensor '\0\0\xa0\x40\0\0\x80\xbf' >b.safetensors      # 5, -1
says 0 "" "aggregate takes options after its files" aggregate a.safetensors:3 b.safetensors:1 \
    --strategy fedavg --global global.safetensors --out new.safetensors
tail -c 8 new.safetensors | od -A n -t f4 | tr -s ' ' >out
[ "$(cat out)" = " 3 -0.25" ]
report $? "and computes the weighted mean"
for step in 1 2; do
    "$coordinator" aggregate --strategy fedavgm --param lr=1 --param momentum=0.5 --state state.safetensors \
        --global global.safetensors --out new.safetensors b.safetensors:7
done
tail -c 8 new.safetensors | od -A n -t f4 | tr -s ' ' >out
[ "$(cat out)" = " 8.5 -1.5" ]
report $? "a strategy's vectors go on from step to step"
says 0 "left out: b.safetensors:9" "aggregate says whose update the strategy left out" aggregate --strategy multi_krum \
    --param byzantine=0 --param keep=2 --global global.safetensors --out new.safetensors b.safetensors:9 a.safetensors:1 a.safetensors:1
tail -c 8 new.safetensors | od -A n -t f4 | tr -s ' ' >out
[ "$(cat out)" = " 2 0" ]
report $? "and makes the model of the others'"
says 2 "krum needs 5 updates" "too few updates for a rule" aggregate --strategy krum --global global.safetensors \
    --out new.safetensors a.safetensors:3 b.safetensors:1
says 2 "expected UPDATE.safetensors:N" "an update without its weight" aggregate --strategy fedavg \
    --global global.safetensors --out new.safetensors a.safetensors
says 2 "strategy.mu" "a setting of another strategy" aggregate --strategy fedadam --param mu=1 \
    --global global.safetensors --out new.safetensors a.safetensors:1
says 1 "not the state of fedadam" "the state of another strategy" aggregate --strategy fedadam \
    --state state.safetensors --global global.safetensors --out new.safetensors a.safetensors:1
head -c 40 a.safetensors >torn.safetensors
says 1 "torn.safetensors" "a torn update" aggregate --strategy fedavg --global global.safetensors \
    --out new.safetensors torn.safetensors:1

says 0 "strategy: {name: fedyogi}" "keys lists jobs and strategies" keys
says 0 "address" "and federation.yaml" keys
says 1 "has no report yet" "a report of a run that is not finished" report fed/runs/tiny
printf 'name: x\naddress: tcp://h:1\nadress: y\n' >fed/federation.yaml
says 2 "federation.yaml:3" "a mistyped key in federation.yaml" sites fed

echo "1..$n"
exit $failed
