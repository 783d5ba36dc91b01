#!/bin/bash
# test_audit.sh - what was changed in a run's record or models is found, by the coordinator and by each hospital
. "$(dirname "$0")/lib.sh"
"$bin/sim" run "$top/tests/e2e/tiny.yaml" --out "$work/run" --quiet >"$work/run.log" 2>&1 || { not_ok "the run" "$(cat "$work/run.log")"; exit 1; }
good=$work/run/federation/runs/tiny home=$work/run/homes/nord

check "the coordinator's record holds" "$bin/coordinator" verify "$good"
for site in nord sud est; do
    check "$site finds its heads and its contributions in it" "$bin/client" verify --home "$work/run/homes/$site" "$good"
done
cp -r "$home" "$work/locked"; printf 'a long passphrase\n' >"$work/secret"; chmod 600 "$work/secret"
CONSILIUM_NEW_PASSPHRASE_FILE=$work/secret "$bin/client" passphrase --home "$work/locked" >/dev/null
check "without the passphrase of its keys" eval 'grep -q "under a passphrase" "$work/locked/keys/sign.key" &&
    "$bin/client" verify --home "$work/locked" "$good" </dev/null'
check "facts as JSON" eval '"$bin/coordinator" verify "$good" --json | grep -q "\"contributions\": 30, \"models\": 4"'

key=$(sed -n 's/^signing_key: *"*\([0-9a-f]*\)"*$/\1/p' "$work/run/federation/keys/public.yaml")
check "it says with which key the head is signed, for others to compare" \
    eval 'test ${#key} = 64 && "$bin/coordinator" verify "$good" | grep -q "$key"'
refuses "a folder that is no run's is told from one that was damaged" 1 'holds no record of a run' "$bin/coordinator" verify "$work/run/federation"
refuses "by the hospital's program too" 1 'holds no record of a run' "$bin/client" verify --home "$home" "$work/run/federation"
cp -r "$good" "$work/copy"; rm -f "$work"/copy/state.db*
check "a copy without state.db holds, and it is said that nothing was compared with it" \
    eval '"$bin/coordinator" verify "$work/copy" | grep -q "no state.db"'
if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
    cp -r "$good" "$work/theirs"; chmod 755 "$work"; chmod -R a+rX "$work/theirs"
    mkdir "$work/bin"; cp "$bin/coordinator" "$work/bin"
    check "somebody who may only read checks it all" \
        setpriv --reuid=65534 --regid=65534 --clear-groups "$work/bin/coordinator" verify "$work/theirs"
else
    skip "somebody who may only read checks it all" "needs root and setpriv"
fi

# spoil FILE PYTHON: a copy of the run whose FILE's bytes b went through PYTHON.
spoil() {
    rm -rf "$work/bad"; cp -r "$good" "$work/bad"
    /usr/bin/python3 - "$work/bad/$1" "$2" <<'PY'
import sys
path, code = sys.argv[1:]
b = bytearray(open(path, "rb").read())
lines = bytes(b).splitlines(keepends=True)
scope = {"b": b, "lines": lines}
exec(code, scope)
open(path, "wb").write(bytes(scope["b"]))
PY
}

# found PATTERN: verify refuses the copy and says so.
found() { local out; ! out=$("$bin/coordinator" verify "$work/bad" 2>&1) && grep -qE -- "$1" <<<"$out"; }

missed=0 tried=0
while read -r at; do
    spoil audit.jsonl "b[$at] ^= 1"; tried=$((tried + 1))
    found 'audit\.jsonl' || missed=$((missed + 1))
done < <(/usr/bin/python3 -c "
import os, random, sys
n = os.path.getsize(sys.argv[1]); random.seed(7)
print(*sorted(random.sample(range(n), 30) + [0, n - 1]), sep='\n')" "$good/audit.jsonl")
check "each of $tried single bytes that were flipped in audit.jsonl is found" test "$missed" = 0

for model in round-0000 round-0001 round-0003 final; do
    missed=0
    for at in 3 20 -1 'len(b)//2'; do
        spoil model/$model.safetensors "b[$at] ^= 1"
        found "$model\.safetensors" || missed=$((missed + 1))
    done
    check "a byte that was flipped in $model.safetensors is found" test "$missed" = 0
done
spoil model/final.onnx 'b[len(b)//2] ^= 1'
check "and one in final.onnx" found 'final\.onnx: is not the file that was written'
spoil report/report.json 'b += b" "'
check "one in the report, which may be made anew, is told" eval '"$bin/coordinator" verify "$work/bad" | grep -q "report.json is not the one that was written at the end"'
spoil job.yaml 'b += b"# later\n"'
check "and a job that was changed" found 'job\.yaml: is not the job of the record'

spoil audit.jsonl 'b = b"".join(lines[:-20])'
check "a record that was cut is found" found 'ends at line'
refuses "by the hospital too, which was given a later head" 1 'the rest is missing' "$bin/client" verify --home "$home" "$work/bad"
# The last thing that nord sent has no payload, as its scores, and follows on the last head that it was given.
spoil audit.jsonl "
last = max(i for i, l in enumerate(lines) if b'\"contribution\"' in l and b'\"site\":\"nord\"' in l)
b = b''.join(lines[:last])"
refuses "one that ends before the hospital's last contribution, too" 1 \
    'the done contribution of round 3 that the coordinator accepted from this hospital is not in the record' \
    "$bin/client" verify --home "$home" "$work/bad"
spoil audit.jsonl 'lines[20], lines[21] = lines[21], lines[20]; b = b"".join(lines)'
check "two lines that were swapped are found" found 'audit\.jsonl:21: '

# A coordinator that writes its record anew: every line follows on the one before.
rewrite='
import hashlib, json
out, prev = [], "0" * 64
for line in lines:
    d = json.loads(line)
    change(d)
    d["prev"], d["seq"] = prev, len(out) + 1
    text = json.dumps(d, separators=(",", ":"), sort_keys=True).encode()
    prev = hashlib.sha256(text).hexdigest()
    out.append(text + b"\n")
b = b"".join(out)'
spoil audit.jsonl "
def change(d):
    if d['seq'] == 15: d['time'] = '2020-01-01T00:00:00Z'
$rewrite"
check "a record that was written anew is found" found 'is not the line whose head was signed'
refuses "and the hospital holds the head of the first one" 1 'the record was rewritten, or there are two' \
    "$bin/client" verify --home "$home" "$work/bad"
spoil audit.jsonl "
def change(d):
    if d['what'] == 'contribution' and d['site'] == 'sud': d['site'] = 'nord'
$rewrite"
refuses "another's contribution under a hospital's name is found by the hospital" 1 \
    'differ from what was signed|the record was rewritten' "$bin/client" verify --home "$home" "$work/bad"
/usr/bin/python3 - "$home/receipts.jsonl" <<'PY'
import sys
lines = open(sys.argv[1]).read().splitlines(keepends=True)
i = next(i for i, l in enumerate(lines) if '"what":"head"' in l)
lines[i] = lines[i].replace('"lines":', '"lines":1')
open(sys.argv[1], "w").writelines(lines)
PY
refuses "receipts that were changed are told from a record that was" 1 "this hospital's own file was changed" \
    "$bin/client" verify --home "$home" "$good"
