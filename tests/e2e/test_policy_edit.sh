#!/bin/bash
# test_policy_edit.sh - a hospital changes its policy while a run goes on: what it says from then on is obeyed, and a person can say yes
. "$(dirname "$0")/lib.sh"
tiny_run 20
sed -i 's/^approve: all/approve: each/' "$work/home-est/policy.yaml"
held() { [ -n "$(ls "$work/home-est/pending" 2>/dev/null)" ]; }
check "a policy that asks from now on holds the job for a person" wait_until 60 held
held || exit 1  # the run would wait for ever, or be over
absent() { grep -q '"reason":"waits for a person at the hospital: `consilium-client approve`".*"what":"absent"' "$run/audit.jsonl"; }
check "the record says why the hospital is absent" wait_until 20 absent
job=$(ls "$work/home-est/pending")
check "a person approves it" "$bin/client" approve --home "$work/home-est" "${job%.yaml}"
wait "$coordinator"
check "the run goes to its end with it" test -s "$run/model/round-0020.safetensors"
wait "$client_est"
check "and it has the model" test $? = 0 -a -s "$work/home-est/runs/tiny/model/final.onnx"
check "the record holds" "$bin/coordinator" verify "$run"
check "est finds its part in it" "$bin/client" verify --home "$work/home-est" "$run/audit.jsonl"
