#!/bin/bash
# test_transfer.sh - models that start from one that was trained elsewhere: by `client train`, and in a federation
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/e2e/tiny.yaml
data=$work/data
"$bin/sim" hospital --scenario "$tiny" --out "$data" >/dev/null || exit 1
nord=$data/nord

train() { "$bin/client" train --data "$nord" --epochs 1 --json "$@" >"$work/out.json" 2>"$work/said"; }
said() { grep -qF -- "$1" "$work/said"; }
# same FILE FILE PATTERN: every tensor whose name matches has the same bytes in both files; differ: none has.
same() { /usr/bin/python3 - "$@" <<'E2'
import json, re, struct, sys
def read(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    return {k: data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]] for k, v in head.items() if k != "__metadata__"}
a, b, found = read(sys.argv[1]), read(sys.argv[2]), 0
for name in a:
    if re.fullmatch(sys.argv[3], name):
        found += 1
        if (a[name] == b.get(name)) != (sys.argv[4:] != ["differ"]):
            sys.exit(name)
sys.exit(0 if found else "no such name")
E2
}

cnn="{name: cnn, channels: [4, 8], fc: 16}"
check "a first model" train --model "$cnn" --out "$work/first.onnx" --out-safetensors "$work/first.safetensors"
check "its last block is trained further" train --model "$cnn" --init "$work/first.onnx" --train-last 1 \
    --out "$work/last.onnx" --out-safetensors "$work/last.safetensors"
check "what matched is said" said "8 of the model's 8 parameters start from it"
check "and which blocks are trained" said "trained: fc2"
check "the others are as they were" same "$work/first.safetensors" "$work/last.safetensors" '(conv.*|fc1\..*)'
check "and the last is not" same "$work/first.safetensors" "$work/last.safetensors" 'fc2.weight' differ
check "the same by a pattern" train --model "$cnn" --init "$work/first.safetensors" --freeze 'conv*' \
    --out "$work/frozen.onnx" --out-safetensors "$work/frozen.safetensors"
check "freezes what it names" same "$work/first.safetensors" "$work/frozen.safetensors" 'conv.*'
check "and no more" same "$work/first.safetensors" "$work/frozen.safetensors" 'fc1.weight' differ

check "a file's model cut behind a block gets a new end" train --model "$work/first.onnx" --truncate-after conv2 --train-last 1 \
    --out "$work/cut.onnx" --out-safetensors "$work/cut.safetensors"
check "which starts at random" said "not in the file: head.weight head.bias"
check "while the rest starts from the file" same "$work/cut.safetensors" "$work/first.safetensors" 'conv.*'
check "other sizes of a layer are no error" train --model "{name: cnn, channels: [4, 8], fc: 8}" --init "$work/first.onnx" --out "$work/other.onnx"
check "and are listed" said "not from the file, whose shape differs: fc1.weight ("
refuses "freezing what is drawn at random" 2 'freeze and train_last need --init' \
    "$bin/client" train --data "$nord" --model cnn --freeze 'conv*' --out "$work/no.onnx"
refuses "a pattern of no parameter" 2 'no parameter matches layer9' \
    "$bin/client" train --data "$nord" --model "$cnn" --init "$work/first.onnx" --freeze 'layer9*' --out "$work/no.onnx"
refuses "a cut behind nothing" 2 'truncate_after: .*layer9' \
    "$bin/client" train --data "$nord" --model "$work/first.onnx" --truncate-after layer9 --out "$work/no.onnx"

# The same in a federation: frozen layers come out as they went in, and the local models start from them too.
run=$work/run
sed "s|model: .*|model: {name: cnn, channels: [4, 8], fc: 16, freeze: ['conv*']}|; s|^\(  *\)rounds: |\1init: $work/first.safetensors\n\1rounds: |" "$tiny" >"$work/transfer.yaml"
check "a federation that starts from the file" "$bin/sim" run "$work/transfer.yaml" --out "$run"
final=$(find "$run" -path '*runs/*/model/final.safetensors' | head -n 1)
model=$(find "$run" -name 'round-0001.safetensors' | head -n 1)
check "leaves what is frozen" same "$work/first.safetensors" "${final:-$model}" 'conv.*'
check "and trains the rest" same "$work/first.safetensors" "${final:-$model}" 'fc1.weight' differ
kept=$(find "$run" -name first.safetensors | head -n 1)
check "a site keeps the first model for its own" same "$work/first.safetensors" "${kept:-none}" '.*'
report=$(find "$run" -name report.json -path '*report/*' | head -n 1)
check "and its local-only model is judged" json "$report" .sites.0.models.local.auc.value
