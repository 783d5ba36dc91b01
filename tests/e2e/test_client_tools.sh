#!/bin/bash
# test_client_tools.sh - the client's local work, as a person would do it
. "$(dirname "$0")/lib.sh"

client=$bin/client
dir=$work

# shows SENTENCE: ok when the function of that name succeeds.
shows()
{
    check "$1" "$1"
}

# refused CODE SENTENCE ARGUMENT...: the client says so, in one line, and
# exits with that code.
refused()
{
    local code=$1 sentence=$2 rc
    shift 2
    "$client" "$@" >"$dir/refusal.out" 2>"$dir/refusal"
    rc=$?
    grep -v '^usage: \|^step ' "$dir/refusal" >"$dir/sentence"
    if [ $rc != "$code" ] || [ "$(wc -l <"$dir/sentence")" != 1 ] ||
        ! grep -qF -- "$sentence" "$dir/sentence"; then
        echo "$*: exit $rc, expected $code and: $sentence"
        cat "$dir/refusal"
        return 1
    fi
}

# holds FILE EXPRESSION: true of the JSON in FILE, which is called j.
holds()
{
    python3 -c '
import json, sys
j = json.load(open(sys.argv[1]))
assert eval("(" + sys.argv[2] + ")"), sys.argv[2] + json.dumps(j, indent=1)[:2000]' "$1" "$2"
}

# ------------------------------------------------------------------ the data

# Two groups of points that overlap a little; sex and age say nothing.
mkdir "$dir/clinic"
awk 'BEGIN {
    srand(4)
    print "id,who,part,x,y,sex,age,sick"
    for (i = 0; i < 400; i++) {
        sick = rand() < 0.4
        x = rand() + rand() + rand() - 1.5 + 0.9 * sick
        y = rand() + rand() + rand() - 1.5 - 0.6 * sick
        part = i % 5 == 0 ? "val" : i % 4 == 0 ? "test" : "train"
        printf "c%d,p%d,%s,%.4f,%.4f,%s,%d,%d\n", i, i, part, x, y,
            rand() < 0.5 ? "F" : "M", 20 + int(70 * rand()), sick
    }
}' >"$dir/clinic/table.csv"
cat >"$dir/clinic/dataset.yaml" <<'END'
task: classify
classes: {healthy: 0, sick: 1}
positive: sick
reference_standard: a coin
attributes: {sex: {column: sex, values: {F: F, M: M}}, age: age}
table: {file: table.csv, case: id, patient: who, drop: [sex, age],
        label: {column: sick}}
split: {column: part}
END
cat >"$dir/job.yaml" <<'END'
name: clinic
task: classify
data: {input: [2], classes: [healthy, sick], positive: sick,
       attributes: {sex: [F, M], age: years}}
model: {name: logistic}
rounds: 2
END
clinic=$dir/clinic
train="train --model logistic --data $clinic --lr 0.1 --epochs 20"

# --------------------------------------------------------------------- train

every_command_explains_itself()
{
    local command
    for command in join run approve sent check-data inspect train evaluate \
        predict explain metrics keys; do
        "$client" "$command" --help | grep -q "^usage: consilium-client $command" ||
            return 1
    done
    "$client" --man | grep -q '^\.SS' && "$client" --version | grep -q consilium
}
shows every_command_explains_itself

the_same_seed_trains_the_same_model()
{
    "$client" $train --seed 3 --out "$dir/a.onnx" --json >"$dir/a.json" &&
        "$client" $train --seed 3 --out "$dir/b.onnx" --json >"$dir/b.json" &&
        "$client" $train --seed 4 --out "$dir/c.onnx" --json >"$dir/c.json" &&
        cmp "$dir/a.onnx" "$dir/b.onnx" && ! cmp -s "$dir/a.onnx" "$dir/c.onnx" &&
        holds "$dir/a.json" "j['sha256'] == json.load(open('$dir/b.json'))['sha256']" &&
        holds "$dir/a.json" "j['parameters'] == 3 and j['steps'] == 160" &&
        holds "$dir/a.json" "j['chosen_by'] == 'auc' and j['validation']['auc'] > 0.8" &&
        holds "$dir/a.json" "0 < j['kept_step'] <= 160"
}
shows the_same_seed_trains_the_same_model

the_last_model_is_kept_when_asked()
{
    "$client" $train --keep last --out "$dir/last.onnx" --json >"$dir/last.json" &&
        holds "$dir/last.json" "j['kept_step'] == j['steps'] and j['chosen_by'] is None"
}
shows the_last_model_is_kept_when_asked

steps_may_stand_for_epochs()
{
    "$client" train --model logistic --data "$clinic" --steps 11 --batch 4 \
        --optimizer adam --out "$dir/s.onnx" --out-safetensors "$dir/s.safetensors" \
        --json >"$dir/s.json" &&
        holds "$dir/s.json" "j['steps'] == 11 and j['samples'] == 44" &&
        [ -s "$dir/s.safetensors" ]
}
shows steps_may_stand_for_epochs

training_goes_on_from_a_model()
{
    "$client" train --model "$dir/a.onnx" --data "$clinic" --epochs 1 --lr 1e-9 \
        --out "$dir/on.onnx" --json >"$dir/on.json" &&
        "$client" train --model logistic --init "$dir/a.onnx" --data "$clinic" \
            --epochs 1 --lr 1e-9 --out "$dir/on2.onnx" --json >"$dir/on2.json" &&
        holds "$dir/on.json" "abs(j['validation']['auc'] -
            json.load(open('$dir/a.json'))['validation']['auc']) < 1e-6" &&
        holds "$dir/on.json" "j['sha256'] == json.load(open('$dir/on2.json'))['sha256']"
}
shows training_goes_on_from_a_model

an_interrupted_training_writes_nothing()
{
    "$client" train --model "{name: mlp, hidden: [64]}" --data "$clinic" \
        --epochs 1000000 --out "$dir/never.onnx" 2>"$dir/stopped" &
    local pid=$!
    for _ in $(seq 200); do
        grep -q 'step ' "$dir/stopped" && break
        sleep 0.05
    done
    kill -INT $pid
    wait $pid
    [ $? = 1 ] && grep -q 'training: stopped after' "$dir/stopped" &&
        [ -z "$(ls "$dir" | grep never)" ]
}
shows an_interrupted_training_writes_nothing

bad_training_is_refused()
{
    mkdir -p "$dir/nan"
    awk -F, -v OFS=, 'NR == 3 { $4 = "nan" } { print }' "$clinic/table.csv" >"$dir/nan/table.csv"
    cp "$clinic/dataset.yaml" "$dir/nan"
    refused 2 "table.csv:3: x: " train --model logistic --data "$dir/nan" --out "$dir/x.onnx" &&
        refused 2 "--epochs: expected a whole number from 1 to 1000000, found 3.7" \
            train --model logistic --data "$clinic" --epochs 3.7 --out "$dir/x.onnx" &&
        refused 2 "--epochs is given twice" $train --epochs 3 --out "$dir/x.onnx" &&
        refused 2 "--lr: expected a number from 1e-12 to 1000, found nan" \
            train --model cnn --data x --lr nan --out "$dir/x.onnx" &&
        refused 2 "no model is called 'cmm'" train --model cmm --data "$clinic" --out "$dir/x.onnx" &&
        refused 2 "model cnn needs images" train --model cnn --data "$clinic" --out "$dir/x.onnx" &&
        refused 2 "--positive: expected one of the classes healthy, sick, found ill" \
            train --model logistic --data "$clinic" --positive ill --out "$dir/x.onnx" &&
        refused 2 "--task: expected classify" \
            train --model logistic --data "$clinic" --task guess --out "$dir/x.onnx" &&
        refused 1 "there is no folder $dir/none" $train --out "$dir/none/x.onnx" &&
        refused 1 "$dir/no.data: No such file" \
            train --model logistic --data "$dir/no.data" --out "$dir/x.onnx" &&
        refused 1 "training: the loss stopped being finite" \
            train --model logistic --lr 1000 --weight-decay 10 --data "$clinic" \
            --out "$dir/x.onnx" &&
        [ ! -e "$dir/x.onnx" ]
}
shows bad_training_is_refused

# ------------------------------------------------- evaluate, predict, metrics

metrics_of_predictions_are_those_of_evaluate()
{
    "$client" evaluate --model "$dir/a.onnx" --data "$clinic" --json >"$dir/e.json" &&
        "$client" predict --model "$dir/a.onnx" --data "$clinic" --out "$dir/p/q" &&
        [ "$(stat -c %a "$dir/p/q/predictions.csv")" = 600 ] &&
        head -1 "$dir/p/q/predictions.csv" | grep -qx 'case,patient,label,score_0,score_1,sex,age' &&
        "$client" metrics "$dir/p/q/predictions.csv" --json >"$dir/m.json" &&
        holds "$dir/e.json" "j['metrics'] == json.load(open('$dir/m.json'))['metrics']" &&
        holds "$dir/e.json" "j['n'] == 80 and j['split'] == 'test' and j['threshold'] == 0.5" &&
        holds "$dir/e.json" "set(j['metrics']) == set('''accuracy balanced_accuracy auc auprc
            f1 sensitivity specificity ppv npv brier nll ece sensitivity_at_spec90
            ppv_at_prevalence npv_at_prevalence observed_expected calibration_intercept
            calibration_slope'''.split())" &&
        holds "$dir/e.json" "j['metrics']['auc']['ci_low'] < j['metrics']['auc']['value']
            < j['metrics']['auc']['ci_high']" &&
        holds "$dir/e.json" "{g['attribute'] for g in j['subgroups']} == {'sex', 'age'}" &&
        holds "$dir/e.json" "sum(g['n'] for g in j['subgroups'] if g['attribute'] == 'sex') == 80"
}
shows metrics_of_predictions_are_those_of_evaluate

several_models_are_judged_side_by_side()
{
    "$client" evaluate --model "$dir/a.onnx" --model "$dir/c.onnx" --data "$clinic" \
        --split val --threshold 0.3 --json >"$dir/e2.json" &&
        holds "$dir/e2.json" "[m['model'] for m in j['models']] == ['$dir/a.onnx', '$dir/c.onnx']" &&
        holds "$dir/e2.json" "all(m['threshold'] == 0.3 and m['n'] == 80 for m in j['models'])" &&
        "$client" evaluate --model "$dir/a.onnx" --data "$clinic" --by age:40,60 >"$dir/e.txt" &&
        grep -q '^auc ' "$dir/e.txt" && grep -q '^age = 40-60 ' "$dir/e.txt" &&
        ! grep -q '^sex' "$dir/e.txt"
}
shows several_models_are_judged_side_by_side

# 3 of the 4 pairs (0.35 and 0.8 against 0.1 and 0.4) are in order.
figures_are_those_counted_by_hand()
{
    printf '%s\n' 'case,patient,label,score_0,score_1,ward' \
        'a,1,0,0.9,0.1,x' 'b,2,0,0.6,0.4,x' 'c,3,1,0.65,0.35,y' 'd,4,1,0.2,0.8,x' \
        'e,5,,0.5,0.5,x' >"$dir/hand.csv"
    "$client" metrics "$dir/hand.csv" --json >"$dir/h.json" &&
        holds "$dir/h.json" "j['metrics']['auc']['value'] == 0.75" &&
        holds "$dir/h.json" "j['metrics']['accuracy']['value'] == 0.75" &&
        holds "$dir/h.json" "j['metrics']['sensitivity']['value'] == 0.5" &&
        holds "$dir/h.json" "j['metrics']['specificity']['value'] == 1" &&
        holds "$dir/h.json" "j['metrics']['auc']['n'] == 4" &&
        holds "$dir/h.json" "[(g['value'], g['n']) for g in j['subgroups']] == [('x', 3), ('y', 1)]" &&
        holds "$dir/h.json" "j['subgroups'][1]['auc']['value'] is None and j['subgroups'][1]['auc']['why']" &&
        "$client" metrics "$dir/hand.csv" --threshold 0.3 --json >"$dir/h2.json" &&
        holds "$dir/h2.json" "j['metrics']['sensitivity']['value'] == 1" &&
        holds "$dir/h2.json" "j['metrics']['specificity']['value'] == 0.5" &&
        "$client" metrics "$dir/hand.csv" --positive 0 --json >"$dir/h3.json" &&
        holds "$dir/h3.json" "j['metrics']['sensitivity']['value'] == 1" &&
        holds "$dir/h3.json" "j['metrics']['auc']['value'] == 0.75"
}
shows figures_are_those_counted_by_hand

# The other's scores turn two of the four pairs round; rows in another order.
one_model_is_held_against_another_by_case()
{
    printf '%s\n' 'case,patient,label,score_0,score_1' \
        'd,4,1,0.6,0.4' 'c,3,1,0.95,0.05' 'b,2,0,0.4,0.6' 'a,1,0,0.9,0.1' 'e,5,,0.5,0.5' >"$dir/old.csv"
    "$client" metrics "$dir/hand.csv" --against "$dir/old.csv" --json >"$dir/h4.json" &&
        holds "$dir/h4.json" "j['differences']['auc']['value'] == 0.5" &&
        holds "$dir/h4.json" "j['differences']['sensitivity']['value'] == 0.5" &&
        holds "$dir/h4.json" "j['differences']['auc']['why'].startswith('too few')" &&
        "$client" metrics "$dir/hand.csv" --against "$dir/old.csv" --metric auc --json >"$dir/h5.json" &&
        holds "$dir/h5.json" "list(j['differences']) == ['auc']" &&
        "$client" metrics "$dir/hand.csv" --against "$dir/hand.csv" | grep -q '^auc  *0.000'
}
shows one_model_is_held_against_another_by_case

predictions_of_other_cases_are_not_compared()
{
    sed 's/^b,2,0/b,2,1/' "$dir/old.csv" >"$dir/relabelled.csv"
    sed '$d' "$dir/old.csv" >"$dir/fewer.csv"
    sed 's/^b,/a,/' "$dir/old.csv" >"$dir/twice.csv"
    for bad in relabelled fewer; do
        "$client" metrics "$dir/hand.csv" --against "$dir/$bad.csv" 2>&1 |
            grep -q 'are not of the same cases with the same labels: see case' || return 1
    done
    "$client" metrics "$dir/hand.csv" --against "$dir/twice.csv" 2>&1 | grep -q 'twice.csv:5: case a is there twice' &&
        "$client" metrics "$dir/hand.csv" --against "$dir/old.csv" --metric luck 2>&1 |
            grep -q 'no figure of classes is called luck'
}
shows predictions_of_other_cases_are_not_compared

other_tools_tables_are_read_too()
{
    # named classes, columns in another order, labels as floats
    printf '%s\n' 'score_cat,score_dog,score_emu,label' \
        '0.8,0.1,0.1,cat' '0.2,0.7,0.1,dog' '0.3,0.3,0.4,cat' '0.1,0.2,0.7,emu' >"$dir/named.csv"
    printf 'label,score_0,score_1\n1.0,0.2,0.8\n0.0,0.7,0.3\n' >"$dir/float.csv"
    printf '%s\n' 'case,label_0,label_1,score_0,score_1' \
        'a,1,0,0.9,0.9' 'b,0,1,0.2,0.8' 'c,,1,0.5,0.95' >"$dir/findings.csv"
    printf 'case,label,score_0\na,1.5,1\nb,-2,-1\n' >"$dir/values.csv"
    "$client" metrics "$dir/named.csv" --json >"$dir/n.json" &&
        holds "$dir/n.json" "j['metrics']['accuracy']['value'] == 0.75" &&
        "$client" metrics "$dir/float.csv" --json >"$dir/n.json" &&
        holds "$dir/n.json" "j['metrics']['accuracy']['value'] == 1" &&
        "$client" metrics "$dir/findings.csv" --json >"$dir/n.json" &&
        holds "$dir/n.json" "j['metrics']['auc']['value'] == 0.75" &&
        "$client" metrics "$dir/values.csv" --json >"$dir/n.json" &&
        holds "$dir/n.json" "j['metrics']['mae']['value'] == 0.75"
}
shows other_tools_tables_are_read_too

bad_predictions_are_refused_with_their_line()
{
    local head='case,patient,label,score_0,score_1'
    bad()
    {
        printf '%s\n' "$2" "$3" >"$dir/bad.csv"
        refused 1 "$1" metrics "$dir/bad.csv"
    }
    bad "bad.csv:2: score_1: expected a number from 0 to 1, found nan" "$head" 'a,1,0,0.5,nan' &&
        bad "bad.csv:2: score_0: expected a number from 0 to 1, found 1.5" "$head" 'a,1,0,1.5,-0.5' &&
        bad "bad.csv:2: the scores sum to 1.4; expected 1" "$head" 'a,1,0,0.7,0.7' &&
        bad "bad.csv:2: label: expected a class that has a score column" "$head" 'a,1,2,0.5,0.5' &&
        bad "bad.csv:1: there is no column score_0" 'case,patient,label' 'a,1,0' &&
        bad "bad.csv:1: there is no column label" 'case,score_0,score_1' 'a,0.5,0.5' &&
        bad "bad.csv:1: column score_0 is there twice" 'label,score_0,score_0' '1,0.5,0.5' &&
        bad "bad.csv:2: expected 5 cells as in the first row, found 4" "$head" 'a,1,0,0.5' &&
        printf '%s\n' "$head" >"$dir/bad.csv" &&
        refused 1 "bad.csv: there are no cases" metrics "$dir/bad.csv" &&
        refused 2 "--positive: expected one of the classes 0, 1, found 2" \
            metrics "$dir/hand.csv" --positive 2 &&
        refused 2 "--threshold: expected a number from 0 to 1, found 2" \
            metrics "$dir/hand.csv" --threshold 2 &&
        refused 2 "--by: there is no attribute age" metrics "$dir/hand.csv" --by age:1 &&
        refused 2 "--by: expected NAME:EDGE,EDGE" metrics "$dir/hand.csv" --by ward:3,1
}
shows bad_predictions_are_refused_with_their_line

how_sure_models_are_is_said_with_what_it_is_good_for()
{
    "$client" train --model "{name: mlp, hidden: [8], dropout: 0.3}" --data "$clinic" --epochs 5 \
        --batch 8 --lr 0.05 --out "$dir/wet.onnx" &&
        "$client" evaluate --model "$dir/wet.onnx" --data "$clinic" --uncertainty mc:10 --refer 0.3 \
            --json >"$dir/mc.json" &&
        holds "$dir/mc.json" "j['uncertainty']['how'] == 'mc:10' and j['uncertainty']['members'] == 10 and
            j['uncertainty']['measures']['information']['mean'] > 0 and
            j['uncertainty']['refer']['share'] == 0.3 and
            j['uncertainty']['measures']['entropy']['auroc']['n'] == j['n']" &&
        "$client" evaluate --model "$dir/wet.onnx" --data "$clinic" --uncertainty mc:10 --refer 0.3 \
            --json | cmp - "$dir/mc.json" &&
        "$client" evaluate --model "$dir/a.onnx" --model "$dir/wet.onnx" --data "$clinic" \
            --uncertainty ensemble --json >"$dir/both.json" &&
        holds "$dir/both.json" "len(j['models']) == 3 and j['models'][2]['uncertainty']['members'] == 2" &&
        "$client" predict --model "$dir/wet.onnx" --data "$clinic" --uncertainty one --out "$dir/sure" \
            >"$dir/sure.txt" &&
        grep -q 'flagged where entropy is' "$dir/sure.txt" &&
        head -1 "$dir/sure/predictions.csv" | grep -q '^case,patient,label,score_0,score_1,entropy,flag,' &&
        refused 2 "--uncertainty: mc: this model holds no Dropout" \
            evaluate --model "$dir/a.onnx" --data "$clinic" --uncertainty mc:30 &&
        refused 2 "--uncertainty: expected mc:N or tta:N" \
            evaluate --model "$dir/a.onnx" --data "$clinic" --uncertainty dropout &&
        refused 2 "--uncertainty ensemble needs two --model or more" \
            evaluate --model "$dir/a.onnx" --data "$clinic" --uncertainty ensemble
}
shows how_sure_models_are_is_said_with_what_it_is_good_for

what_a_prediction_rests_on_is_weighed()
{
    local case
    case=$(sed -n 2p "$dir/sure/predictions.csv" | cut -d, -f1)
    "$client" explain "$case" --model "$dir/a.onnx" --data "$clinic" --json >"$dir/shap.json" &&
        holds "$dir/shap.json" "j['method'] == 'shap' and
            abs(sum(f['weight'] for f in j['features']) + j['without'] - j['score']) < 1e-6" &&
        "$client" explain "$case" --model "$dir/a.onnx" --data "$clinic" --json | cmp - "$dir/shap.json" &&
        "$client" explain "$case" --model "$dir/a.onnx" --data "$clinic" --method lime |
            grep -q 'fit of the line' &&
        refused 1 "has no case nobody" explain nobody --model "$dir/a.onnx" --data "$clinic" &&
        refused 2 "gradcam: for images" explain "$case" --model "$dir/a.onnx" --data "$clinic" --method gradcam &&
        refused 2 "expected gradcam, lime or shap" explain "$case" --model "$dir/a.onnx" --data "$clinic" --method tea &&
        refused 2 "a table's weights are printed" explain "$case" --model "$dir/a.onnx" --data "$clinic" --out "$dir/x.png" &&
        [ ! -e "$dir/x.png" ]
}
shows what_a_prediction_rests_on_is_weighed

# Cases whose numbers are ten times as large, of a disease that nobody taught the model.
cases_unlike_those_of_training_are_told()
{
    mkdir "$dir/strange"
    awk -F, -v OFS=, 'NR > 1 { $4 = 10 * $4 + 5 } { print }' "$clinic/table.csv" >"$dir/strange/table.csv"
    sed 's/sick: 1/new: 1/; s/^positive: sick/positive: new/' "$clinic/dataset.yaml" >"$dir/strange/dataset.yaml"
    "$client" evaluate --model "$dir/wet.onnx" --data "$clinic" --reference "$clinic" --json >"$dir/own.json" &&
        holds "$dir/own.json" "j['metrics']['auc']['value'] > 0.5 and
            abs(j['outside']['sets'][0]['mahalanobis']['auroc']['value'] - 0.5) < 1e-9 and
            j['outside']['features'] == 8 and j['outside']['unseen'] == []" &&
        "$client" evaluate --model "$dir/wet.onnx" --data "$dir/strange" --reference "$clinic" --json \
            >"$dir/strange.json" &&
        holds "$dir/strange.json" "'metrics' not in j and
            j['outside']['sets'][0]['mahalanobis']['auroc']['value'] > 0.8 and
            [u['class'] for u in j['outside']['unseen']] == ['new'] and
            abs(sum(c['share']['value'] for c in j['outside']['unseen'][0]['called']) - 1) < 1e-9" &&
        "$client" evaluate --model "$dir/wet.onnx" --data "$dir/strange" --reference "$clinic" |
            grep -q '^new, which the model was never taught, [0-9]* cases: called healthy' &&
        "$client" predict --model "$dir/wet.onnx" --data "$clinic" --reference "$clinic" --out "$dir/near" \
            >"$dir/near.txt" &&
        grep -q 'unlike the training images' "$dir/near.txt" &&
        head -1 "$dir/near/predictions.csv" | grep -q '^case,patient,label,score_0,score_1,distance,unlike,' &&
        refused 2 "healthy, sick" evaluate --model "$dir/wet.onnx" --data "$dir/strange" &&
        refused 2 "is of other classes than the model: its cases cannot be judged" evaluate \
            --model "$dir/wet.onnx" --data "$dir/strange" --reference "$clinic" --uncertainty one &&
        refused 1 "--reference $dir/none: $dir/none: No such file" \
            evaluate --model "$dir/wet.onnx" --data "$clinic" --reference "$dir/none"
}
shows cases_unlike_those_of_training_are_told

# Another hospital's words: two kinds of sick, and injuries, which the model was not made for.
labels_of_ones_own_are_mapped_to_the_models()
{
    local other=$dir/other
    mkdir "$other"
    awk -F, -v OFS=, 'NR > 1 { $8 = $8 == 0 ? "well" : NR % 2 ? "flu" : "cold" } { print }' "$clinic/table.csv" >"$other/table.csv"
    sed '/^classes:/d; /^positive:/d' "$clinic/dataset.yaml" >"$other/dataset.yaml"
    printf 'labels: {well: healthy, flu: sick, cold: sick}\n' >"$dir/map.yaml"
    printf 'label,class\nwell,healthy\nflu,sick\ncold,ignore\n' >"$dir/map.csv"
    "$client" evaluate --model "$dir/a.onnx" --data "$other" --label-map "$dir/map.yaml" --json >"$dir/mapped.json" &&
        holds "$dir/mapped.json" "j['metrics'] == json.load(open('$dir/e.json'))['metrics']" &&
        holds "$dir/mapped.json" "j['n'] == 80 and sum(l['test'] for l in j['labels']) == 80" &&
        "$client" evaluate --model "$dir/a.onnx" --data "$other" --label-map "$dir/map.csv" --json >"$dir/scoped.json" &&
        holds "$dir/scoped.json" "[l['class'] for l in j['labels'] if l['label'] == 'cold'] == [None] and
            j['n'] + [l['test'] for l in j['labels'] if l['label'] == 'cold'][0] == 80 and
            j['flow']['refused']['out of the model\\'s scope'] + j['flow']['cases'] == 400 and
            j['metrics']['auc']['n'] == j['n'] < 80" &&
        "$client" evaluate --model "$dir/a.onnx" --data "$other" --label-map "$dir/map.csv" |
            grep -q "cold  *out of the model's scope" &&
        "$client" evaluate --model "$dir/a.onnx" --model "$dir/wet.onnx" --data "$other" \
            --label-map "$dir/map.yaml" --uncertainty ensemble --json >"$dir/mapped3.json" &&
        holds "$dir/mapped3.json" "j['models'][2]['metrics']['auc']['n'] == 80" &&
        printf 'labels: {well: healthy, flu: sick}\n' >"$dir/map.yaml" &&
        refused 2 "does not name the label cold of this data set; give its class, or ignore" \
            evaluate --model "$dir/a.onnx" --data "$other" --label-map "$dir/map.yaml" &&
        printf 'labels: {well: ignore, flu: ignore, cold: ignore}\n' >"$dir/map.yaml" &&
        refused 2 "leaves no class of the model with a case in the test split" \
            evaluate --model "$dir/a.onnx" --data "$other" --label-map "$dir/map.yaml" &&
        printf 'labels: {well: healthy, flu: ill, cold: sick}\n' >"$dir/map.yaml" &&
        refused 2 "map.yaml:1: flu: expected a class of the model (healthy, sick) or ignore, found ill" \
            evaluate --model "$dir/a.onnx" --data "$other" --label-map "$dir/map.yaml"
}
shows labels_of_ones_own_are_mapped_to_the_models

what_comes_later_says_so()
{
    refused 1 "shift: blur: only for images and volumes" evaluate --model "$dir/a.onnx" --data "$clinic" --shift blur:1 &&
        refused 2 "expected severities such as 3 or 1-5" evaluate --model "$dir/a.onnx" --data "$clinic" --shift blur:0-9 &&
        refused 2 "--maps: only for task segment, this model is for classify" predict --model "$dir/a.onnx" --data "$clinic" --out "$dir/maps" --maps &&
        [ ! -e "$dir/maps" ]
}
shows what_comes_later_says_so

a_broken_model_or_split_is_refused()
{
    head -c 100 "$dir/a.onnx" >"$dir/short.onnx"
    refused 1 "short.onnx: " evaluate --model "$dir/short.onnx" --data "$clinic" &&
        refused 1 "$dir/none.onnx: No such file" evaluate --model "$dir/none.onnx" --data "$clinic" &&
        refused 2 "--split: expected train, val or test, found tset" \
            evaluate --model "$dir/a.onnx" --data "$clinic" --split tset
}
shows a_broken_model_or_split_is_refused

# ------------------------------------------------------- check-data, inspect

data_are_checked_against_a_job()
{
    "$client" check-data "$clinic" --job "$dir/job.yaml" >"$dir/check.txt" &&
        grep -q "^the data fit $dir/job.yaml" "$dir/check.txt" &&
        grep -q 'train .*240 cases' "$dir/check.txt" &&
        "$client" check-data "$clinic" --json >"$dir/check.json" &&
        holds "$dir/check.json" "j['flow']['cases'] == 400 and j['flow']['patients'] == 400" &&
        holds "$dir/check.json" "j['table1']['test']['n'] == 80 and j['mismatch'] is None" &&
        holds "$dir/check.json" "j['reference_standard'] == 'a coin' and j['input'] == [2]"
}
shows data_are_checked_against_a_job

data_that_do_not_fit_are_told_why()
{
    sed 's/classes: .healthy, sick./classes: [healthy, ill]/; s/positive: sick/positive: ill/' \
        "$dir/job.yaml" >"$dir/other.yaml"
    sed 's/input: .2./input: [3]/' "$dir/job.yaml" >"$dir/wider.yaml"
    sed 's/sex: .F, M./sex: [F, M], smoker: [no, yes]/' "$dir/job.yaml" >"$dir/more.yaml"
    refused 1 "the data do not fit $dir/other.yaml: " check-data "$clinic" --job "$dir/other.yaml" &&
        grep -q 'ill' "$dir/sentence" && grep -q 'sick' "$dir/sentence" &&
        refused 1 "the data do not fit $dir/wider.yaml: " check-data "$clinic" --job "$dir/wider.yaml" &&
        refused 1 "smoker" check-data "$clinic" --job "$dir/more.yaml" --json &&
        holds "$dir/refusal.out" "'smoker' in j['mismatch'] and j['flow']['cases'] == 400" &&
        sed 's/rounds: 2/rounds: 3.7/' "$dir/job.yaml" >"$dir/bad.yaml" &&
        refused 2 "bad.yaml:6: rounds: expected a whole number from 1 to 100000, found 3.7" \
            check-data "$clinic" --job "$dir/bad.yaml" &&
        mkdir -p "$dir/untested" && cp "$clinic/dataset.yaml" "$dir/untested" &&
        grep -v ',test,' "$clinic/table.csv" >"$dir/untested/table.csv" &&
        refused 1 "the test split has 0 cases" check-data "$dir/untested" --job "$dir/job.yaml"
}
shows data_that_do_not_fit_are_told_why

# A 3 x 2 gray PNG: 0 50 100 / 150 200 255.
an_image_is_inspected()
{
    python3 - "$dir/i.png" <<'END' || return 1
import struct, sys, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
rows = b"\0" + bytes([0, 50, 100]) + b"\0" + bytes([150, 200, 255])
open(sys.argv[1], "wb").write(b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
END
    "$client" inspect "$dir/i.png" --json >"$dir/i.json" &&
        holds "$dir/i.json" "(j['format'], j['rows'], j['cols'], j['frames'], j['channels'],
            j['bits']) == ('PNG', 2, 3, 1, 1, 8)" &&
        holds "$dir/i.json" "(j['min_stored'], j['max_stored']) == (0, 255)" &&
        holds "$dir/i.json" "abs(j['mean_stored'] - 755 / 6) < 1e-6" &&
        holds "$dir/i.json" "j['sha256'] == __import__('hashlib').sha256(
            bytes([0, 50, 100, 150, 200, 255])).hexdigest()" &&
        "$client" inspect "$dir/i.png" | grep -q '^PNG, 3 x 2 pixels' &&
        head -c 40 "$dir/i.png" >"$dir/cut.png" &&
        refused 1 "cut.png: " inspect "$dir/cut.png" &&
        refused 1 "expected an image" inspect "$dir/job.yaml"
}
shows an_image_is_inspected

a_volume_is_inspected()
{
    local nii=tests/fuzz/corpus/nifti/scaled.nii.gz
    "$client" inspect "$nii" --json >"$dir/v.json" &&
        holds "$dir/v.json" "(j['format'], j['cols'], j['rows'], j['frames'], j['bits'],
            j['type']) == ('NIfTI-1', 4, 3, 2, 16, 'signed')" &&
        holds "$dir/v.json" "j['spacing_mm'] == [3, 1.5, 2] and j['orientation'] == 'LAS'" &&
        holds "$dir/v.json" "abs(j['max'] - (j['max_stored'] * 0.1 - 1024)) < 1e-3" &&
        holds "$dir/v.json" "[row[3] for row in j['affine']] == [10, -20.5, 7]" &&
        "$client" inspect "$nii" | grep -q '^axes    LAS' &&
        "$client" inspect tests/fuzz/corpus/nifti/pair.hdr | grep -q '^NIfTI-1, 4 x 3 pixels'
}
shows a_volume_is_inspected

a_dicom_slice_is_inspected()
{
    local slice=tests/fuzz/corpus/dicom/explicit-i16.dcm
    "$client" inspect "$slice" --json >"$dir/d.json" &&
        holds "$dir/d.json" "(j['format'], j['cols'], j['rows'], j['frames'], j['bits'],
            j['photometric'], j['type']) == ('DICOM', 10, 9, 1, 16, 'MONOCHROME2', 'signed')" &&
        holds "$dir/d.json" "j['spacing_mm'] == [0.5, 0.75] and j['slice_thickness_mm'] == 2.5" &&
        holds "$dir/d.json" "j['max'] == j['max_stored'] - 1024 and j['window'] is None" &&
        "$client" inspect "$slice" | grep -q '^slices  2.5 mm thick' &&
        "$client" inspect tests/fuzz/corpus/dicom/frames.dcm | grep -q '^axes    LPS'
}
shows a_dicom_slice_is_inspected

keys_lists_what_can_be_written()
{
    "$client" keys >"$dir/keys" && grep -q '^rounds .*from 1 to 100000' "$dir/keys" &&
        grep -q '^on_error ' "$dir/keys"
}
shows keys_lists_what_can_be_written

a_bare_archive_of_real_images_is_enough()
{
    local npz=$CONSILIUM_DATA/breastmnist/breastmnist.npz
    "$client" train --model "{name: cnn, channels: [4, 4]}" --data "$npz" \
        --classes malignant,benign --positive malignant --epochs 2 \
        --out "$dir/breast.onnx" &&
        "$client" evaluate --model "$dir/breast.onnx" --data "$npz" --json >"$dir/breast.json" &&
        holds "$dir/breast.json" "j['n'] == 156 and j['metrics']['auc']['n_positive'] == 42"
}
if [ -f "${CONSILIUM_DATA:-}/breastmnist/breastmnist.npz" ]; then
    shows a_bare_archive_of_real_images_is_enough
else
    skip a_bare_archive_of_real_images_is_enough "CONSILIUM_DATA has no breastmnist"
fi
