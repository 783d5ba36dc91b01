#!/bin/bash
# test_hardening.sh - the programs are built as the Makefile says: position-independent, relocations read-only before main,
# stack protector, checked copies (FORTIFY), no executable stack
BUILD=${BUILD:-build}
ok()     { echo "ok - $1"; }
not_ok() { echo "not ok - $1"; }
check()  { local name=$1; shift; if "$@" >/dev/null 2>&1; then ok "$name"; else not_ok "$name"; fi; }
command -v readelf >/dev/null || { echo "skipped - hardening: there is no readelf"; exit 0; }
case $BUILD in *-san-*) echo "skipped - hardening: sanitizers take the place of FORTIFY"; exit 0 ;; esac
for program in coordinator client sim; do
    file=$BUILD/bin/$program
    head=$(readelf -hW "$file") segments=$(readelf -lW "$file") dynamic=$(readelf -dW "$file") symbols=$(readelf --dyn-syms -W "$file")
    check "$program is position-independent" grep -q 'Type: *DYN' <<<"$head"
    check "$program binds every symbol before main" grep -qE '\((FLAGS_1|FLAGS)\).*NOW' <<<"$dynamic"
    check "$program makes what it relocated read-only" grep -q 'GNU_RELRO' <<<"$segments"
    check "$program has no executable stack" grep -qE 'GNU_STACK.* RW +0x' <<<"$segments"
    check "$program has no segment that is written and run" eval '! grep -qE "LOAD.* RWE " <<<"$segments"'
    check "$program has a stack protector" grep -q '__stack_chk_fail' <<<"$symbols"
    check "$program checks its copies" grep -qE '__(memcpy|snprintf|vsnprintf|strcpy|read|fprintf)_chk' <<<"$symbols"
done
