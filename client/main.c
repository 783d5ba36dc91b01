/*
 * main.c - the hospital's program: federated work and local work, by name
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/cli.h"
#include "client/fed_commands.h"
#include "client/tools.h"

static const fl_command commands[] = {
    {"join", "INVITATION --home DIR --data DATASET",
     "make this hospital's home for a federation; works offline", NULL,
     client_join, client_join_options},
    {"run", "--home DIR [--home DIR ...] [--once] [--proxy URL]",
     "serve jobs of the federations that were joined",
     "Where there is no direct way out, --proxy or client.yaml's proxy names the "
     "hospital's\nproxy: http://HOST:PORT (CONNECT) or socks5://HOST:PORT, with "
     "USER:PASSWORD@ before\nHOST where it asks for them.  A password is better in "
     "client.yaml: other users see a\ncommand line.  The proxy looks up the "
     "coordinator's name and carries bytes that it\ncannot read.",
     client_run, client_run_options},
    {"approve", "--home DIR [JOB-DIGEST]",
     "let a job begin that waits for a person",
     "Without a digest: the jobs that wait, why, and what each asks for.  With one, or its "
     "first 8\ndigits or more: that job begins, within seconds where a client runs.",
     client_approve, client_approve_options},
    {"sent", "--home DIR [--run R]",
     "list every message that left this hospital", NULL,
     client_sent, client_sent_options},
    {"report", "--home DIR [--run R] [--lang en|fr]",
     "write the hospital's pages again, from the reports in its home",
     "A page lies beside its report.json, runs/R/report.html, or report.fr.html in French.\n"
     "client.yaml's `language: fr` has French ones written at the end of every run.",
     client_report, client_report_options},
    {"verify", "--home DIR RUN",
     "check a coordinator's record of a run against what this hospital kept",
     "RUN is a run's folder at the coordinator, or a copy of its audit.jsonl.  A "
     "record\nthat was cut, rewritten or forked lacks a head that the hospital was "
     "given; one\nwith a contribution that it did not send, or without one that it "
     "did, does not hold.",
     client_verify, client_verify_options},
    {"passphrase", "--home DIR [--remove]",
     "put the hospital's keys under a passphrase",
     "The keys are then read only with the passphrase (Argon2id): at a terminal, from "
     "the\nfile that CONSILIUM_PASSPHRASE_FILE names, or as systemd's credential "
     "`passphrase`.\nCONSILIUM_NEW_PASSPHRASE_FILE names a file with the new one where "
     "there is no\nterminal.",
     client_passphrase, client_passphrase_options},
    {"rotate", "--home DIR",
     "give the hospital new keys, under the old ones' signature",
     "The client that runs tells the coordinator; the old keys stay in use until it "
     "has\nanswered, so a lost answer or a killed program locks nobody out.  What was "
     "signed before\nis checked with the keys of its time (`verify`).",
     client_rotate, client_rotate_options},
    {"trust", "FILE --home DIR",
     "follow the coordinator's keys to new ones that it could not tell",
     "FILE is the coordinator's keys/former.jsonl.  Needed only where the hospital was away "
     "while\nthe coordinator rotated its keys without waiting for it.  Every change in it "
     "bears the\nsignature of the keys before, so it may come by any way; it holds no secret.",
     client_trust, client_trust_options},
    {"doctor", "--home DIR [--proxy URL] [--json]",
     "say what keeps this hospital's client from working, a line a cause",
     "Name, route, proxy, handshake, clock, protocol, whether the site is confirmed, "
     "policy,\ndata, disk, and whether the system lets oneDNN make code at run time.  Run it as "
     "the\nuser that runs the client (consilium, under systemd).  Exit code 1 when one of them fails.",
     client_doctor, client_doctor_options},
    {"check-data", "DATASET [--job JOB.yaml]",
     "show what a data set holds and whether it fits a job",
     "Prints how many files, cases and patients were read and left out, the "
     "classes\nand attributes of each split, and what looks odd.  Exit code 1 "
     "when the data do\nnot fit the job.",
     client_check_data, client_check_data_options},
    {"inspect", "FILE",
     "show what an image file holds",
     "Stored values are those in the file; the others are after rescale.  The "
     "SHA-256\nis of the stored samples, so that two files with the same image "
     "agree.",
     client_inspect, client_inspect_options},
    {"train", "--model SPEC --data DATASET --out MODEL.onnx [OPTION]...",
     "train a model on this hospital's data alone",
     "The model that was best on the validation split is written; the test "
     "split is\nnot looked at.  An interrupted training writes nothing.",
     client_train, client_train_options},
    {"evaluate", "--model MODEL.onnx --data DATASET [--split test] [OPTION]...",
     "figures of models with 95 % intervals, also by subgroup", NULL,
     client_evaluate, client_evaluate_options},
    {"predict", "--model MODEL.onnx --data DATASET --out DIR",
     "write a model's scores to DIR/predictions.csv",
     "The file names patients: it is readable by its owner only and stays in "
     "the\nhospital.",
     client_predict, client_predict_options},
    {"explain", "CASE|IMAGE --model M.onnx [--data DATASET] [--out PNG] [OPTION]...",
     "what the prediction of one case rests on: Grad-CAM, LIME or SHAP",
     "CASE is one of DATASET's; without --data, IMAGE is a file.  LIME and SHAP ask "
     "about\nthe case without some of its superpixels (each channel's mean in their "
     "place), or of\na table's columns (the training rows' mean).",
     client_explain, client_explain_options},
    {"metrics", "PREDICTIONS.csv",
     "figures of a table of predictions, also by subgroup",
     "Columns: case, patient, label, score_0 .. score_K-1; every other column "
     "is an\nattribute.  An empty label or -1 is none.",
     client_metrics, client_metrics_options},
    {"keys", "", "the reference of the keys in files that people write", NULL,
     client_keys, NULL},
    {0},
};

static const fl_program program = {
    "consilium-client", "one hospital's part of a federation, and local work",
    commands,
};

/*
 * OpenMP and OpenBLAS read their settings when they are loaded, before main:
 * waiting threads must sleep, or more threads than cores collapse by 20 to 100
 * times; but not in the few microseconds between two steps of a network, so they
 * look again some 2000 times first.  OpenBLAS must not start a thread a core
 * beside them.  So the
 * program starts itself again, once, with what is not set yet.
 */
static void set_thread_environment(char **argv)
{
    static const struct {
        const char *name, *value;
    } wanted[] = {
        {"OMP_WAIT_POLICY", "passive"},
        {"GOMP_SPINCOUNT", "2000"},
        {"OPENBLAS_NUM_THREADS", "1"},
    };
    int n_set = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (getenv(wanted[i].name) == NULL &&
            setenv(wanted[i].name, wanted[i].value, 0) == 0) {
            n_set++;
        }
    }
    if (n_set > 0) {
        execvp(argv[0], argv);
        // Not found again by its name: slower, not wrong.
    }
}

int main(int argc, char **argv)
{
    if (argc > 0) {
        set_thread_environment(argv);
    }
    return fl_cli_main(&program, argc, argv);
}
