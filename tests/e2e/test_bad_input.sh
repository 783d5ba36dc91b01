#!/bin/bash
# test_bad_input.sh - one sentence, an exit code, nothing half-written
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/e2e/tiny.yaml

"$bin/sim" hospital --scenario "$tiny" --out "$work/data" >/dev/null || { not_ok "making data"; exit 1; }
"$bin/coordinator" init "$work/fed" --name bad --address tcp://127.0.0.1:7700 >/dev/null
port=$(free_port)
for site in nord sud est; do "$bin/coordinator" invite "$work/fed" --site $site --out "$work/$site.invitation" >/dev/null; done

# job TEXT REPLACEMENT: the tiny job with one thing changed (sed expression).
sed -n '/^job:/,/^generate:/p' "$tiny" | sed '1d;$d;s/^  //' >"$work/good.yaml"
job() { sed -e "$1" "$work/good.yaml" >"$work/job.yaml"; }
run_job() { "$bin/coordinator" run "$work/fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"; }
no_run() { [ ! -e "$work/fed/runs/tiny" ]; }

job 's/^rounds: 3/rounds: 3.7/'
refuses "3.7 rounds" 2 'job.yaml:[0-9]+: rounds: .*3\.7' run_job
job 's/^rounds: 3/rounds: nan/'
refuses "nan rounds" 2 'job.yaml:[0-9]+: rounds: .*nan' run_job
job 's/^rounds: 3/rounds: 0/'
refuses "no rounds" 2 'job.yaml:[0-9]+: rounds: ' run_job
job 's/^rounds:/roundz:/'
refuses "a misspelt key" 2 'job.yaml:[0-9]+: .*roundz' run_job
job 's/lr: 0.02/lr: .inf/'
refuses "an infinite learning rate" 2 'job.yaml:[0-9]+: local.lr' run_job
job 's/name: fedavg/name: fedmagic/'
refuses "an unknown strategy" 2 'fedavg.*fedmagic' run_job
job 's/name: fedavg/name: fedavg, mu: 0.1/'
refuses "a parameter the strategy has not" 2 'mu' run_job
job 's/name: cnn/name: resnet9000/'
refuses "an unknown model" 2 'resnet9000.*cnn' run_job
job 's/positive: opacity/positive: fracture/'
refuses "a positive class that is none of the classes" 2 'fracture' run_job
job 's/quorum: 2/quorum: 5/'
refuses "a quorum that exceeds the sites" 2 'quorum.*5.*3' run_job
check "nothing of a refused job is left" no_run
refuses "a job file that is not there" 1 'absent.yaml' "$bin/coordinator" run "$work/fed" --job "$work/absent.yaml" --bind "tcp://127.0.0.1:$port"
head -c 200 "$work/good.yaml" >"$work/job.yaml"
refuses "a truncated job" 2 'job.yaml' run_job
head -c 3000 /dev/urandom >"$work/job.yaml"
refuses "a job of random bytes" 2 'job.yaml' run_job

# A port in use.
job ''
/usr/bin/python3 -c 'import socket,sys,time
s = socket.socket(); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); time.sleep(60)' "$port" & started+=($!)
sleep 0.5
refuses "a port in use" 1 "$port" run_job
kill "${started[-1]}"

# Data sets.
data() { rm -rf "$work/d" && cp -r "$work/data/nord" "$work/d"; }
look() { "$bin/client" check-data "$work/d" --job "$work/good.yaml"; }
data; check "a good data set" look
data; rm "$work/d/images/000007.png"
refuses "a missing image" 1 'manifest.csv:8: .*not exist' look
data; truncate -s 100 "$work/d/images/000007.png"
refuses "a truncated image" 1 'manifest.csv:8: PNG' look
data; sed -i '5s/normal\|opacity/fracture/' "$work/d/manifest.csv"
refuses "a label out of range" 1 'manifest.csv:5.*fracture' look
data; sed -i '1s/file/fyle/' "$work/d/manifest.csv"
refuses "a manifest without a needed column" 1 'manifest.csv.*file' look
data; sed -i 's/,test,/,train,/' "$work/d/manifest.csv"
refuses "a data set with no test split" 1 'test' look
data; sed -i 's/classes: .*/classes: {normal: normal, nodule: opacity}/' "$work/d/dataset.yaml"
refuses "classes that differ from the job's" 1 'opacity.*nodule|nodule.*opacity' look
data; sed -i '5s/,\([FM]\),/,X,/' "$work/d/manifest.csv"
refuses "an attribute code that the job does not have" 1 'sex.*X|X.*sex' look
sed 's/input: \[1, 32, 32\]/input: [3, 32, 32]/' "$work/good.yaml" >"$work/rgb.yaml"
data; refuses "images of another number of channels" 1 '3x32x32.*1x32x32|1x32x32.*3x32x32' "$bin/client" check-data "$work/d" --job "$work/rgb.yaml"
mkdir -p "$work/t"
printf 'task: classify\nclasses: {no: 0, yes: 1}\ntable: {file: t.csv, label: {column: y}}\nsplit: {by: patient, val: 0.2, test: 0.3, seed: 1}\n' >"$work/t/dataset.yaml"
{ echo a,b,y; for i in $(seq 20); do echo "$i,$((i * i)),$((i % 2))"; done; echo nan,4,1; } >"$work/t/t.csv"
refuses "a table with nan" 2 't.csv:22' "$bin/client" check-data "$work/t"
refuses "an invitation that is none" 2 'invitation' "$bin/client" join "$work/good.yaml" --home "$work/h" --data "$work/data/nord"
check "and no home is left behind" test ! -e "$work/h/keys"

# A site whose data do not fit is found before round 1, by name.
data; sed -i 's/classes: .*/classes: {normal: normal, nodule: opacity}/' "$work/d/dataset.yaml"
port=$(free_port)
"$bin/coordinator" init "$work/fed2" --name bad --address "tcp://127.0.0.1:$port" >/dev/null
for site in nord sud; do "$bin/coordinator" invite "$work/fed2" --site $site --out "$work/$site.inv" >/dev/null; done
"$bin/client" join "$work/nord.inv" --home "$work/hn" --data "$work/d" --approve all >/dev/null
"$bin/client" join "$work/sud.inv" --home "$work/hs" --data "$work/data/sud" --approve all >/dev/null
start nord "$bin/client" run --home "$work/hn"
start sud "$bin/client" run --home "$work/hs"
refuses "a site whose classes differ stops the job before round 1, by name" 1 'nord.*nodule' timeout 60 "$bin/coordinator" run "$work/fed2" --job "$work/good.yaml" --bind "tcp://127.0.0.1:$port"
check "and no round was begun" test ! -e "$work/fed2/runs/tiny/model/round-0001.safetensors"

# A full disk: the coordinator's folder on a tmpfs of 3 MiB.
if mkdir -p "$work/small" && mount -t tmpfs -o size=3m tmpfs "$work/small" 2>/dev/null; then
    port=$(free_port)
    cp -r "$work/fed2" "$work/small/fed" 2>/dev/null
    rm -rf "$work/small/fed/runs"
    head -c 4m /dev/zero >"$work/small/filler" 2>/dev/null
    refuses "a full disk" 1 'disk is full|space' timeout 60 "$bin/coordinator" run "$work/small/fed" --job "$work/good.yaml" --bind "tcp://127.0.0.1:$port"
    umount "$work/small"
else
    skip "a full disk" "a tmpfs cannot be mounted here"
fi
