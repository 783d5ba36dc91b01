#!/bin/bash
# test_sweep.sh - a sweep shares data, goes on where it stopped, and takes no other settings' figures for its own
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/e2e/tiny.yaml
sweep=$work/sweep # not $out: that is a local of check

# sweep ARGS...: two strategies, one round each unless ARGS say otherwise.
sweep() {
    if ! "$bin/sim" run "$tiny" --out "$sweep" --sweep strategy.name=fedavg,fedadam --set local.lr=0.01 "$@" >"$work/sweep.log" 2>&1; then
        tail -n 20 "$work/sweep.log"
        return 1
    fi
}
reports() { find "$sweep" -path '*/runs/*/report/report.json' -printf '%p %T@\n' | sort; }
# rows PATTERN: how many lines of results.csv match.
rows() { grep -cE "$1" "$sweep/results.csv"; }

check "a sweep runs every value" sweep --set rounds=1
reports >"$work/first"
cp "$sweep/results.csv" "$work/first.csv" 2>/dev/null
check "two runs have a report" test "$(wc -l <"$work/first")" = 2
check "results.csv has the columns that were promised" \
    test "$(head -n 1 "$sweep/results.csv")" = scenario,strategy,settings,seed,site,model,metric,value,ci_low,ci_high,n
for site in nord sud est; do
    check "every strategy's AUC at $site, global and local" test "$(rows "^tiny,fed(avg|adam),\"strategy.name=fed.*\",5,$site,(global|local),auc,")" = 4
done
check "and on the pooled test cases" test "$(rows '^tiny,fed(avg|adam),.*,5,pooled,global,auc,0')" = 2
check "the settings are held against each other" grep -q 'Would other patients have given the same' "$sweep/compare/compare.html"
check "at each hospital by its cases, paired" \
    test "$(grep -cE '^cases,auc,strategy.name=fedadam,strategy.name=fedavg,(nord|sud|est),5,.*"DeLong, paired"' "$sweep/compare/tests.csv")" -ge 2
check "with one seed, which tells nothing of others" grep -q '^seeds,.*one seed does not tell' "$sweep/compare/tests.csv"
check "the drawing is a file too" test -s "$sweep/compare/figures/compare-contrasts.svg" -a -s "$sweep/compare/figures/compare-contrasts.pdf"
check "both runs share one data set" test "$(find "$sweep" -name stamp | wc -l)" = 1

check "the same again" sweep --set rounds=1
reports >"$work/second"
check "does nothing twice" cmp "$work/first" "$work/second"
check "and gives the same table" cmp "$work/first.csv" "$sweep/results.csv"

check "other settings" sweep --set rounds=2
check "are other runs" test "$(reports | wc -l)" = 4
check "whose figures are not the old ones" eval '! cmp -s "$work/first.csv" "$sweep/results.csv"'
check "and the old ones are still there" sweep --set rounds=1
check "with the old table" cmp "$work/first.csv" "$sweep/results.csv"

refuses "a value that the job does not take" 2 'strategy.*fedmagic' "$bin/sim" run "$tiny" --out "$work/none" --sweep strategy.name=fedmagic
refuses "an axis without values" 2 '^consilium-sim run: --sweep: .*rounds=' "$bin/sim" run "$tiny" --out "$work/none" --sweep rounds=
refuses "seeds that are none" 2 '^consilium-sim run: --seeds: .*3-1' "$bin/sim" run "$tiny" --out "$work/none" --seeds 3-1
mkdir -p "$work/thesis" && echo years >"$work/thesis/thesis.tex"
refuses "a folder of somebody else" 1 'thesis.*not made by the simulator' "$bin/sim" run "$tiny" --out "$work/thesis"
refuses "and for data alone" 1 'thesis.*not made by the simulator' "$bin/sim" hospital --scenario "$tiny" --out "$work/thesis"
check "which is as it was" test "$(cat "$work/thesis"/*)" = years
