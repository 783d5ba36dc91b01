#!/bin/bash
# test_same_bits.sh - the same seed gives the same model, however it is run
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/e2e/tiny.yaml

# run NAME ARGS...: plays the tiny scenario; leaves the model's hash in $work/NAME.sha
run() {
    local name=$1; shift
    if ! "$bin/sim" run "$tiny" --out "$work/$name" --quiet "$@" >"$work/$name.log" 2>&1; then
        cat "$work/$name.log" >&2
        tail -n 5 "$work/$name"/logs/* >&2
        return 1
    fi
    json "$(report_of "$work/$name")" model.sha256 >"$work/$name.sha"
}
same() { cmp "$work/$1.sha" "$work/$2.sha"; }
differ() { ! cmp -s "$work/$1.sha" "$work/$2.sha"; }

check "a federation of three processes runs to its report" run first
check "the same again gives the same model" eval 'run second && same first second'
check "one process that hosts all sites gives the same model" eval 'run one --set clients.processes=1 && same first one'
check "sites that start in reverse order give the same model" eval 'run reverse --reverse && same first reverse'
# Pieces rounded to bfloat16, with what rounding left carried to the next round on both sides.
check "rounded pieces give one model too, however they are run" eval '
    run rounded --set pieces=bf16 && run rounded-one --set pieces=bf16 --set clients.processes=1 &&
    same rounded rounded-one && differ first rounded'
check "nothing of what rounding left stays in a home" eval '! ls "$work"/rounded/homes/*/runs/tiny/rest* 2>/dev/null'
check "its record holds" "$bin/coordinator" verify "$work/rounded/federation/runs/tiny"
check "and a hospital finds in it what it sent" \
    "$bin/client" verify --home "$work/rounded/homes/nord" "$work/rounded/federation/runs/tiny"
check "another seed gives another model" eval 'run other --seed 6 && differ first other'
check "the report names every round's participants" eval \
    '[ "$(json "$(report_of "$work/first")" rounds.2.participants)" = "[\"est\", \"nord\", \"sud\"]" ]'

# The hospital's side after a job.
home=$work/first/homes/nord
for file in job.yaml model/final.onnx model/final.safetensors report.html predictions.csv; do
    check "a hospital has $file at the end" test -s "$home/runs/tiny/$file"
done
check "predictions stay readable for the hospital only" eval '[ "$(stat -c %a "$home/runs/tiny/predictions.csv")" = 600 ]'
check "keys are readable for the hospital only" eval '[ "$(stat -c %a "$home"/keys/*.key | sort -u)" = 600 ]'
"$bin/client" sent --home "$home" >"$work/sent.txt" 2>&1
check "sent lists three updates" eval '[ "$(grep -c update "$work/sent.txt")" = 3 ]'
check "the final model scores as the predictions say" eval '
    "$bin/client" predict --model "$home/runs/tiny/model/final.onnx" --data "$work/first/data/nord" --out "$work/pred" &&
    test -s "$work/pred/predictions.csv"'
check "the pages say what the coordinator could see" \
    grep -qi "coordinator could see each hospital" "$work/first/report/index.html" "$work/first/report/sites/nord.html" "$home/runs/tiny/report.html"
