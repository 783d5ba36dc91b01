#!/bin/bash
# real_samples.sh - makes tests/report/{sure,masks,full}.json anew, from the runs of the .yaml beside them
#
# usage: tests/report/real_samples.sh        (from the top folder, after `make`; a few minutes)
# Not a test: other machines round otherwise, so what a page must say of them is checked in.
set -eu
bin=${BUILD:-build}/bin
work=$(mktemp -d "${TMPDIR:-/tmp}/consilium-samples.XXXXXX")
trap 'rm -rf "$work"' EXIT
for name in sure masks; do
    "$bin/sim" run "tests/report/$name.yaml" --out "$work/$name" --quiet
    /usr/bin/python3 -c '
import json, sys
json.dump(json.load(sys.stdin), sys.stdout, separators=(",", ":"))
print()' <"$work/$name/report/report.json" >"tests/report/$name.json"
done
"$bin/sim" run tests/report/full.yaml --out "$work/full" --quiet
/usr/bin/python3 tests/vectors/report_full.py <"$work/full/report/report.json" >tests/report/full.json
