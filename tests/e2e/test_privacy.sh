#!/bin/bash
# test_privacy.sh - no name that a hospital gives its patients, cases, files or folders leaves it or is logged
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/e2e/tiny.yaml

"$bin/sim" run "$tiny" --out "$work/plain" --quiet >"$work/plain.log" 2>&1 || { not_ok "a run to take the job and data from" "$(cat "$work/plain.log")"; exit 1; }

# The same data under names that stand for people's: each is a word that nothing else has.
fed=$work/fed port=$(free_port)
mkdir "$work/data"
for site in nord sud est; do
    folder=$work/data/MARKFOLDER-$site
    cp -r "$work/plain/data/$site" "$folder" && mv "$folder/images" "$folder/MARKIMAGES"
    (cd "$folder/MARKIMAGES" && for f in *.png; do mv "$f" "MARKFILE$f"; done)
    /usr/bin/python3 - "$folder/manifest.csv" <<'PY'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1], newline="")))
for r in rows:
    r["case"] = "MARKCASE" + r["case"]
    r["patient"] = "MARKPATIENT^" + r["patient"]
    r["file"] = "MARKIMAGES/MARKFILE" + r["file"].split("/")[-1]
with open(sys.argv[1], "w", newline="") as f:
    w = csv.DictWriter(f, list(rows[0]))
    w.writeheader()
    w.writerows(rows)
PY
done
# One file that is refused and counted, so that a message about it exists.
sed -i 's/^on_error:.*//' "$work/data/MARKFOLDER-sud/dataset.yaml"
echo 'on_error: skip' >>"$work/data/MARKFOLDER-sud/dataset.yaml"
printf 'no image' >"$(ls "$work"/data/MARKFOLDER-sud/MARKIMAGES/*.png | head -n 1)"

"$bin/coordinator" init "$fed" --name tiny --address "tcp://127.0.0.1:$port" >"$work/init.log" || exit 1
for site in nord sud est; do
    "$bin/coordinator" invite "$fed" --site $site --out "$work/$site.invitation" >>"$work/init.log" &&
        "$bin/client" join "$work/$site.invitation" --home "$work/home-$site" --data "$work/data/MARKFOLDER-$site" --approve all >"$work/join-$site.log" || exit 1
done
start coordinator "$bin/coordinator" run "$fed" --job "$work/plain/job.yaml" --bind "tcp://127.0.0.1:$port"
coordinator=$last
for site in nord sud est; do start "client-$site" "$bin/client" run --home "$work/home-$site" --once; done
wait_until 120 test -s "$fed/runs/tiny/report/report.json" || { not_ok "the run ends" "$(tail -n 5 "$work"/*.log)"; exit 1; }
wait "$coordinator"
ok "a run over data with marked names ends"

marks='MARK(CASE|PATIENT|FILE|IMAGES|FOLDER)'
check "the marks are in the data" grep -qrE "$marks" "$work/data/MARKFOLDER-nord/manifest.csv"
none() { ! grep -rlaE "$marks" "$@"; }
check "nothing of them is in what the coordinator has" none "$fed"
check "nor in what the programs say" none "$work"/coordinator.log "$work"/client-*.log
check "nor in what a hospital keeps of the messages that left" none "$work"/home-*/receipts.jsonl
check "nor in the pages and models a hospital gets back" eval \
    'none $(find "$work"/home-*/runs -type f ! -name predictions.csv ! -path "*/worst/*")'
# These two are for the hospital's own people, who need a case's name to find it.
check "what stays names cases, never patients, files or folders" eval \
    'grep -qE "MARKCASE" "$work"/home-nord/runs/*/predictions.csv &&
     ! grep -rqE "MARK(PATIENT|FILE|IMAGES|FOLDER)" "$work"/home-*/runs/*/{predictions.csv,worst}'
check "the secret of the pseudonyms is the owner's alone" eval \
    '[ "$(stat -c %a "$work"/home-*/keys/patients.key | sort -u)" = 600 ] &&
     [ "$(cat "$work"/home-*/keys/patients.key | sort -u | wc -l)" = 3 ]'
check "the refused file is in the report's flow" eval \
    'grep -q "\"refused\": *{[^}]*1" <(tr -d "\n" <"$fed/runs/tiny/report/report.json")'

# What the hospital's own engineer sees: the line of the manifest, never a name in it.
for site in nord sud est; do
    "$bin/client" check-data "$work/data/MARKFOLDER-$site" --json >"$work/check-$site.json" 2>"$work/check-$site.log"
    "$bin/client" check-data "$work/data/MARKFOLDER-$site" >"$work/check-$site.txt" 2>>"$work/check-$site.log"
done
check "check-data names nobody" none "$work"/check-*
sed -i '/on_error/d' "$work/data/MARKFOLDER-sud/dataset.yaml"
out=$("$bin/client" check-data "$work/data/MARKFOLDER-sud" 2>&1)
check "a refused file is told by its line" grep -qE 'manifest.csv:[0-9]+: ' <<<"$out"
check "and not by its name" eval '! grep -qE "MARK(CASE|PATIENT|FILE|IMAGES)" <<<"$out"'
