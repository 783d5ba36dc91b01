#!/bin/bash
# test_policy_withdrawn.sh - what a policy forbids does not leave, even if it was made before: an update waits in the outbox for a
# coordinator that does not answer, and meanwhile the hospital changes its policy
. "$(dirname "$0")/lib.sh"
tiny_data || exit 1

# withdrawn NAME QUORUM OLD NEW: est's update of the second round waits for a coordinator that is stopped, and OLD becomes NEW in its
# policy.
withdrawn() {
    local site
    tiny_job "$work/job.yaml" rounds 3 sites "{quorum: $2, of: all, patience: 60m}" \
        local '{epochs: 40, batch: 16, optimizer: sgd, lr: 0.02, momentum: 0.9}'
    fed=$work/fed-$1 run=$work/fed-$1/runs/tiny port=$(free_port)
    rm -rf "$work"/home-*
    federation "$fed" "$port" nord sud est
    start "coordinator-$1" "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"; coordinator=$last
    for site in nord sud est; do start "$site-$1" "$bin/client" run --home "$work/home-$site" --once; client=$last; done
    training() { grep -q "order=train round=2" "$work/est-$1.log"; }
    made() { ls "$work"/home-est/outbox/*-update-0000000002.out >/dev/null 2>&1; }
    wait_until 120 training "$1" && kill -STOP "$coordinator" && wait_until 120 made &&
        sed -i "s/^$3/$4/" "$work/home-est/policy.yaml" || { not_ok "an update is made" "$(cat "$work"/*.log)"; exit 1; }
}
rounds_of_est() { grep '"kind":"train".*"site":"est".*"what":"contribution"' "$run/audit.jsonl" | grep -o '"round":[0-9]*' | tr '\n' ' '; }

withdrawn refused 2 'tasks: .*' 'tasks: [segment]'
kill -CONT "$coordinator"; wait "$coordinator"
check "a policy that refuses the job keeps it" test "$(rounds_of_est)" = '"round":1 '
check "and the record has the reason" grep -q "training failed: this hospital's policy does not allow jobs of task classify" "$run/audit.jsonl"

withdrawn pending 3 'approve: all' 'approve: each'
kill_hard "$client"  # and a new process finds what was made
start est-again "$bin/client" run --home "$work/home-est" --once; client=$last
kill -CONT "$coordinator"
held() { [ -n "$(ls "$work/home-est/pending" 2>/dev/null)" ]; }
check "a policy that asks holds it" wait_until 60 held
held || exit 1
check "of what was made before nothing has left" test "$(rounds_of_est)" = '"round":1 '
check "and lets it leave when a person has said so" "$bin/client" approve --home "$work/home-est" "$(basename "$work"/home-est/pending/*.yaml .yaml)"
wait "$coordinator"
wait "$client"
check "the update as it was made, once" test "$(rounds_of_est)" = '"round":1 "round":2 "round":3 ' -a \
    "$(grep '"update"' "$work/home-est/receipts.jsonl" | grep '"round": *2[,}]' | grep -c '"sent"')" = 1
check "the client has the model" test -s "$work/home-est/runs/tiny/model/final.onnx"
check "the record holds" "$bin/coordinator" verify "$run"
check "est finds its part in it" "$bin/client" verify --home "$work/home-est" "$run/audit.jsonl"
