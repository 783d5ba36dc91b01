# lib.sh - what the end-to-end scripts share; sourced, never run
#
# A script does things with the real programs and says `ok`, `not_ok` or
# `skip` for each sentence it set out to show.  Folders live under $work, which is removed
# at the end; so are processes started with `start`.
set -u

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-$top/build}
bin=$BUILD/bin
work=$(mktemp -d "${TMPDIR:-/tmp}/consilium-e2e.XXXXXX")
started=()
failures=0

finish() {
    local pid
    for pid in "${started[@]:-}"; do
        [ -z "$pid" ] || kill_hard "$pid"
    done
    [ -n "${KEEP:-}" ] || rm -rf "$work"
    [ "$failures" = 0 ] || exit 1
}
trap finish EXIT

ok()     { echo "ok - $1"; }
not_ok() { echo "not ok - $1"; shift; [ $# = 0 ] || printf '%s\n' "$@" | sed 's/^/#   /'; failures=$((failures + 1)); }
skip()   { echo "skipped - $1: $2"; }

# check NAME COMMAND...: ok when the command succeeds.
check() {
    local name=$1 out; shift
    if out=$("$@" 2>&1); then ok "$name"; else not_ok "$name" "$out"; fi
}

# refuses NAME CODE PATTERN COMMAND...: the command exits with CODE and says, in one line, PATTERN (a regular
# expression of grep -E).
refuses() {
    local name=$1 code=$2 pattern=$3 out rc; shift 3
    out=$("$@" 2>&1 </dev/null); rc=$?
    if [ "$rc" != "$code" ]; then
        not_ok "$name" "exit code $rc instead of $code; it said: $out"
    elif ! grep -qE -- "$pattern" <<<"$out"; then
        not_ok "$name" "expected /$pattern/; it said: $out"
    elif [ "$(grep -cE '^(error|consilium-[a-z]+):' <<<"$out")" -gt 1 ]; then
        not_ok "$name" "more than one sentence: $out"
    else
        ok "$name"
    fi
}

# start NAME COMMAND...: in the background, output to $work/NAME.log; its pid is in $last.
start() {
    local name=$1; shift
    "$@" >"$work/$name.log" 2>&1 </dev/null &
    last=$!
    started+=("$last")
}

# kill_hard PID: SIGKILL, and waits until the process is gone (and its locks with it).
kill_hard() { { kill -9 "$1"; wait "$1"; } 2>/dev/null; }

# wait_until SECONDS COMMAND...: polls; false when the time is over.
wait_until() {
    local until=$((SECONDS + $1)); shift
    while ! "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.05
    done
}

# A value of a JSON file: json FILE .model.sha256 (python3, which the tests need anyway for jsonschema).
json() { /usr/bin/python3 -c '
import json, sys
v = json.load(open(sys.argv[1]))
for k in sys.argv[2].strip(".").split("."):
    v = v[int(k)] if isinstance(v, list) else v[k]
print(json.dumps(v) if isinstance(v, (dict, list)) else v)' "$1" "$2"; }

free_port() { /usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# tiny_data: what the hospitals of tiny.yaml have, in $work/data.
tiny_data() {
    "$bin/sim" hospital --scenario "$top/tests/e2e/tiny.yaml" --out "$work/data" >"$work/sim.log" 2>&1 ||
        { not_ok "the data" "$(cat "$work/sim.log")"; return 1; }
}

# tiny_job FILE [KEY VALUE]...: the job of tiny.yaml, with other values at its top level.
tiny_job() { /usr/bin/python3 - "$top/tests/e2e/tiny.yaml" "$@" <<'PY'
import re, sys
text = re.search(r"^job:\n((?:  .*\n)+)", open(sys.argv[1]).read(), re.M).group(1)
text = re.sub(r"^  ", "", text, flags=re.M)
for key, value in zip(sys.argv[3::2], sys.argv[4::2]):
    text, n = re.subn(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.M)
    assert n == 1, key
open(sys.argv[2], "w").write(text)
PY
}

# federation DIR PORT SITE...: made; each SITE is joined, with $work/data/SITE, at home in $work/home-SITE.  join_with: options of `join`.
join_with=(--approve all)
federation() {
    local dir=$1 port=$2 site; shift 2
    "$bin/coordinator" init "$dir" --name tiny --address "tcp://127.0.0.1:$port" >/dev/null || exit 1
    for site in "$@"; do
        "$bin/coordinator" invite "$dir" --site "$site" --out "$work/$site.invitation" >/dev/null &&
            "$bin/client" join "$work/$site.invitation" --home "$work/home-$site" --data "$work/data/$site" "${join_with[@]}" >/dev/null || exit 1
    done
}

# tiny_run ROUNDS: nord, sud and est are two rounds into the tiny job, none of which is made without est.  Sets fed, port, run,
# coordinator and client_SITE (pids).
tiny_run() {
    local site
    fed=$work/fed port=$(free_port) run=$work/fed/runs/tiny
    tiny_data || exit 1
    tiny_job "$work/job.yaml" rounds "$1" sites '{quorum: 3, of: all, patience: 60m}'
    federation "$fed" "$port" nord sud est
    start coordinator "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port"; coordinator=$last
    for site in nord sud est; do start "client-$site" "$bin/client" run --home "$work/home-$site" --once; eval "client_$site=$last"; done
    wait_until 60 committed 1 || not_ok "a round" "$(cat "$work/coordinator.log")"
}
# committed N: more than N models of $run are written, the first one among them.
committed() { [ "$(ls "$run"/model/round-*.safetensors 2>/dev/null | wc -l)" -gt "$1" ]; }

# report of a folder made by sim run
report_of() { echo "$1/report/report.json"; }
