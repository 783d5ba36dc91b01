#!/bin/sh
# The include arrows of common/layers.txt hold, and the check can see a wrong
# one.  Prints TAP; run by tests/run from the top folder.

report()
{
    if [ "$1" = 0 ]; then
        echo "ok - $2"
    else
        echo "not ok - $2"
        failed=1
    fi
}

failed=0
awk -f tests/layers.awk common/layers.txt $(find common coordinator client sim \
    -name '*.[ch]' -o -name '*.cc')
report $? "every include follows an arrow"

toy=$(mktemp -d) || exit 1
trap 'rm -rf "$toy"' EXIT
mkdir -p "$toy/common/nn" "$toy/client"
cp common/layers.txt "$toy/common"
top=$(pwd)

# refuses FILE LINE: the check complains about this include in this file.
refuses()
{
    echo "$2" >"$toy/$1"
    (cd "$toy" && ! awk -f "$top/tests/layers.awk" common/layers.txt "$1" >/dev/null)
    report $? "refused: $2 in $1"
    rm "$toy/$1"
}

accepts()
{
    echo "$2" >"$toy/$1"
    (cd "$toy" && awk -f "$top/tests/layers.awk" common/layers.txt "$1")
    report $? "accepted: $2 in $1"
    rm "$toy/$1"
}

refuses common/nn/a.c '#include "fed/dp.h"'
refuses common/nn/a.c '#include <zmq.h>'
refuses common/nn/a.c '  # include "coordinator/round.h"'
refuses client/a.c '#include "coordinator/round.h"'
accepts common/nn/a.c '#include "base/err.h"'
accepts common/nn/dnnl.c '#include <dnnl.h>'
accepts client/a.c '#include "fed/dp.h"'
exit $failed
