#!/bin/bash
# test_three_machines.sh - README's "A real federation on three machines", word for word
#
# Three network namespaces joined by a bridge stand for three machines.  The blocks of
# the README that are marked `sh coordinator` and `sh hospital` are run as they
# stand; the second hospital reads sud for nord.
. "$(dirname "$0")/lib.sh"
name="the README's steps in three network namespaces"

tag=cns$$
hosts=(coordinator nord sud)
cleanup() {
    local h
    for h in "${hosts[@]}"; do
        ip netns pids "$tag-$h" 2>/dev/null | xargs -r kill -9 2>/dev/null
        ip netns del "$tag-$h" 2>/dev/null
        rm -rf "/etc/netns/$tag-$h"
    done
    ip link del "$tag-br" 2>/dev/null
    finish
}
trap cleanup EXIT

# Made, and entered: the latter fails in a chroot whose root is no mount point.
if ! ip netns add "$tag-coordinator" 2>/dev/null || ! ip netns exec "$tag-coordinator" true 2>/dev/null; then
    skip "$name" "network namespaces cannot be made or entered here"
    exit 0
fi
lan=10.213.77
ip link add "$tag-br" type bridge && ip link set "$tag-br" up || { skip "$name" "a bridge cannot be made here"; exit 0; }
i=1
for h in "${hosts[@]}"; do
    ip netns add "$tag-$h" 2>/dev/null
    ip link add "$tag-v$i" type veth peer name eth0 netns "$tag-$h"
    ip link set "$tag-v$i" master "$tag-br" up
    ip -n "$tag-$h" addr add "$lan.$i/24" dev eth0
    ip -n "$tag-$h" link set eth0 up
    ip -n "$tag-$h" link set lo up
    mkdir -p "/etc/netns/$tag-$h" "$work/$h"
    printf '127.0.0.1 localhost\n%s.1 coordinator.example.org\n' "$lan" >"/etc/netns/$tag-$h/hosts"
    i=$((i + 1))
done

# What `make install` puts on every machine.
mkdir -p "$work/bin"
for p in coordinator client sim; do ln -s "$(realpath "$bin/$p")" "$work/bin/consilium-$p"; done

# block N: the N-th fenced block of README whose info string begins with `sh coordinator` or `sh hospital`.
block() {
    awk -v want="$1" '/^```sh (coordinator|hospital)/ { n++; on = n == want; next } /^```/ { on = 0 } on' "$top/README.md"
}
# on HOST TEXT: runs TEXT in HOST's namespace, in its folder.
on() {
    ip netns exec "$tag-$1" env PATH="$work/bin:$PATH" HOME="$work/$1" bash -ec "cd '$work/$1'; $2"
}
as_sud() { sed 's/nord/sud/g'; }

"$bin/sim" hospital --scenario "$top/tests/e2e/tiny.yaml" --out "$work/made" --set generate.size=64 --set 'data.input=[1, 64, 64]' \
    >/dev/null || { not_ok "making data"; exit 1; }
for h in nord sud; do cp -r "$work/made/$h" "$work/$h/data"; done
awk '/^```yaml job.yaml/ { on = 1; next } /^```/ { on = 0 } on' "$top/README.md" >"$work/coordinator/job.yaml"

check "step 1: the coordinator founds and invites" on coordinator "$(block 1)"
cp "$work/coordinator/nord.invitation" "$work/nord/" 2>/dev/null
cp "$work/coordinator/sud.invitation" "$work/sud/" 2>/dev/null
check "step 2: nord looks at its data and joins" on nord "$(block 2)"
check "step 2: sud looks at its data and joins" on sud "$(block 2 | as_sud)"
start run-nord on nord "$(block 3)"
start run-sud on sud "$(block 3 | as_sud)"
start run-coordinator on coordinator "$(block 4)"
coordinator=$last

waiting() { on "$1" "consilium-client approve --home consilium" | grep -qE '[0-9a-f]{16}'; }
for h in nord sud; do
    wait_until 60 waiting $h || { not_ok "step 5: the job waits for $h" "$(tail -n 5 "$work"/run-*.log)"; exit 1; }
    digest=$(on $h "consilium-client approve --home consilium" | grep -oE '[0-9a-f]{16,64}' | head -n 1)
    # The first command lists; the second agrees.
    check "step 5: $h approves the job" on $h "$(block 5 | sed "s/DIGEST/$digest/")"
done
if wait_until 180 test -s "$work/coordinator/federation/runs/chest-opacity/report/index.html"; then
    wait "$coordinator"
    check "step 6: the coordinator ends well" test $? = 0
else
    not_ok "step 6: the run ends" "$(tail -n 5 "$work"/run-*.log)"
fi
for h in nord sud; do
    for file in model/final.onnx model/final.safetensors report.html predictions.csv; do
        check "step 6: $h has $file" wait_until 20 test -s "$work/$h/consilium/runs/chest-opacity/$file"
    done
    check "step 6: $h sees what left" eval "on $h '$(block 6)' | grep -q update"
done
