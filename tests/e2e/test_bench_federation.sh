#!/bin/bash
# test_bench_federation.sh - a bench whose programs are missing or die ends with a sentence, and does not wait
. "$(dirname "$0")/lib.sh"
real=$BUILD
bench=$real/tests/bench/bench_federation
export BENCH_FILTER=10x100000 BENCH_ROUNDS=1 BENCH_REPEATS=1 BENCH_PYTHON=/bin/false TMPDIR=$work/tmp

# a_build: a build folder with the real programs, to be spoilt; in $BUILD.
a_build() {
    export BUILD=$work/build
    rm -rf "$BUILD" "$TMPDIR" "$work/out.json"
    mkdir -p "$BUILD/bin" "$BUILD/tests/bench" "$TMPDIR"
    ln -s "$real/bin/coordinator" "$BUILD/bin/coordinator"
    ln -s "$real/tests/bench/play_sites" "$BUILD/tests/bench/play_sites"
}
# program NAME TEXT: takes the place of one.
program() { rm "$BUILD/$1"; printf '#!/bin/bash\n%s\n' "$2" >"$BUILD/$1"; chmod +x "$BUILD/$1"; }
nothing_is_left() { [ ! -e "$work/out.json" ] && [ -z "$(ls -A "$TMPDIR")" ]; }

for name in bin/coordinator tests/bench/play_sites; do
    a_build
    rm "$BUILD/$name"
    refuses "$name that is not there is named, and what builds it" 1 \
        "^bench_federation: $BUILD/$name: No such file.*make bench-federation. builds it" "$bench" "$work/out.json"
    check "nothing is left" nothing_is_left
done

a_build
program tests/bench/play_sites 'echo "no home today"; exit 3'
refuses "sites that end at once end the bench" 1 \
    "^bench_federation: $BUILD/tests/bench/play_sites: ended with exit code 3 .*no home today" "$bench" "$work/out.json"
check "nothing is left" nothing_is_left

a_build
program bin/coordinator "[ \"\$1\" != run ] || { echo 'out of luck'; kill -9 \$\$; }; exec '$real/bin/coordinator' \"\$@\""
refuses "and so does a coordinator" 1 \
    "^bench_federation: $BUILD/bin/coordinator: ended by signal 9 .*out of luck" "$bench" "$work/out.json"
check "nothing is left" nothing_is_left

a_build
program bin/coordinator 'echo "cannot found anything"; exit 1'
refuses "and one that cannot found a federation" 1 \
    "^bench_federation: $BUILD/bin/coordinator: init failed: cannot found anything" "$bench" "$work/out.json"

a_build
check "with its programs it measures" "$bench" "$work/out.json"
check "a row" grep -q '"name": "federation 10 x 99621"' "$work/out.json"
