#!/bin/sh
# Plays a scenario with the real programs: sim/run.sh SCENARIO.yaml --out DIR
exec "${BUILD:-$(dirname "$0")/../build}/bin/sim" run "$@"
