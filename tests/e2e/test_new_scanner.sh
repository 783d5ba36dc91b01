#!/bin/bash
# test_new_scanner.sh - a scanner that is replaced while a federation runs changes the rounds from
# then on and no round before, whoever is started anew
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/e2e/tiny.yaml
event='[{round: 3, site: sud, shift: [noise: 4, gamma: 3], scanner: new}]'

run() {
    local name=$1; shift
    if ! "$bin/sim" run "$tiny" --out "$work/$name" --quiet "$@" >"$work/$name.log" 2>&1; then
        cat "$work/$name.log" >&2
        tail -n 5 "$work/$name"/logs/* >&2
        return 1
    fi
}
model_of() { sha256sum "$work/$1"/federation/runs/tiny/model/round-000"$2".safetensors | cut -d' ' -f1; }
same()   { [ "$(model_of "$1" "$3")" = "$(model_of "$2" "$3")" ]; }
# Value of a report: auc NAME SITE
auc() { /usr/bin/python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
print(next(s["models"]["global"]["auc"]["value"] for s in r["sites"] if s["name"] == sys.argv[2]))' "$(report_of "$work/$1")" "$2"; }

check "a federation runs as it was" run old --set select.keep=last
check "and with a scanner that is replaced at round 3" run new --set select.keep=last --set "events=$event"
check "the hospital has the images of both, of the same patients" eval '
    cmp <(cut -d, -f1-7 "$work/new/data/sud/manifest.csv") <(cut -d, -f1-7 "$work/new/data/sud/round-003/manifest.csv") &&
    ! cmp -s "$work/new/data/sud/images/000001.png" "$work/new/data/sud/round-003/images/000001.png" &&
    cmp "$work/new/data/sud/images/000001.png" "$work/old/data/sud/images/000001.png"'
check "rounds before it are the same to the bit" eval 'same old new 1 && same old new 2'
check "the round with it is not" eval '! same old new 3'
check "the hospital is judged on what the new scanner shows" eval '[ "$(auc old sud)" != "$(auc new sud)" ]'
check "one process that hosts all sites gives the same" eval '
    run one --set select.keep=last --set clients.processes=1 --set "events=$event" && same new one 3'
refuses "a round that the job does not have is refused" 2 "the job has only 3 rounds" \
    "$bin/sim" run "$tiny" --out "$work/never" --set 'events=[{round: 9, site: sud, shift: []}]'
