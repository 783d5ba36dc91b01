#!/usr/bin/env python3
"""A logistic regression worked out without our code, in doubles.

Writes task_logistic.csv (a table with three features, label and split) and
task_logistic.json: the weights after each of ten full-batch steps of SGD with
momentum, and the optimum of the loss with an L2 term, by Newton's method.
Only the standard library is needed:

    python3 tests/vectors/task_logistic.py
"""
import json
import math
import os
import random

HERE = os.path.dirname(os.path.abspath(__file__))
N = {"train": 60, "val": 20, "test": 40}
TRUE = [1.5, -1.0, 0.5, -0.25]  # weights and bias behind the labels
LR, MOMENTUM, WEIGHT_DECAY = 0.5, 0.9, 0.01
START = [0.1, -0.2, 0.3, 0.05]


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def dot(w, x):
    return sum(a * b for a, b in zip(w, x))


def make_rows():
    rng = random.Random(20240213)
    rows = []
    for split, n in N.items():
        for _ in range(n):
            x = [round(rng.gauss(0, 1), 4) for _ in range(3)]
            p = sigmoid(2 * dot(TRUE, x + [1]))
            rows.append((split, x, int(rng.random() < p)))
    return rows


def mean_loss(w, rows):
    return sum(math.log1p(math.exp(-(2 * y - 1) * dot(w, x + [1])))
               for _, x, y in rows) / len(rows)


def gradient(w, rows, decay):
    g = [decay * a for a in w]
    for _, x, y in rows:
        e = (sigmoid(dot(w, x + [1])) - y) / len(rows)
        for j, v in enumerate(x + [1]):
            g[j] += e * v
    return g


def ten_steps(rows):
    w, v, path = START[:], [0.0] * 4, []
    for _ in range(10):
        loss = mean_loss(w, rows)
        g = gradient(w, rows, 0)
        v = [MOMENTUM * a + b for a, b in zip(v, g)]
        w = [a - LR * b for a, b in zip(w, v)]
        path.append({"loss": loss, "params": w})
    return path


def solve(a, b):
    """a x = b by Gaussian elimination with pivoting."""
    n = len(b)
    m = [row[:] + [b[i]] for i, row in enumerate(a)]
    for i in range(n):
        p = max(range(i, n), key=lambda r: abs(m[r][i]))
        m[i], m[p] = m[p], m[i]
        for r in range(n):
            if r != i:
                f = m[r][i] / m[i][i]
                m[r] = [u - f * t for u, t in zip(m[r], m[i])]
    return [m[i][n] / m[i][i] for i in range(n)]


def optimum(rows):
    w = [0.0] * 4
    for _ in range(50):
        g = gradient(w, rows, WEIGHT_DECAY)
        h = [[WEIGHT_DECAY * (i == j) for j in range(4)] for i in range(4)]
        for _, x, _ in rows:
            p = sigmoid(dot(w, x + [1]))
            for i, a in enumerate(x + [1]):
                for j, b in enumerate(x + [1]):
                    h[i][j] += p * (1 - p) * a * b / len(rows)
        w = [a - b for a, b in zip(w, solve(h, g))]
    return w


def auc(w, rows):
    pos = [dot(w, x + [1]) for _, x, y in rows if y]
    neg = [dot(w, x + [1]) for _, x, y in rows if not y]
    wins = sum((p > n) + 0.5 * (p == n) for p in pos for n in neg)
    return wins / (len(pos) * len(neg))


def main():
    rows = make_rows()
    train = [r for r in rows if r[0] == "train"]
    test = [r for r in rows if r[0] == "test"]
    best = optimum(train)
    with open(os.path.join(HERE, "task_logistic.csv"), "w") as f:
        f.write("split,a,b,c,label\n")
        for split, x, y in rows:
            f.write("%s,%s,%d\n" % (split, ",".join("%.4f" % v for v in x), y))
    with open(os.path.join(HERE, "task_logistic.json"), "w") as f:
        json.dump({
            "lr": LR, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY,
            "start": START, "steps": ten_steps(train), "optimum": best,
            "test": {"loss": mean_loss(best, test), "auc": auc(best, test),
                     "accuracy": sum((dot(best, x + [1]) >= 0) == y
                                     for _, x, y in test) / len(test)},
        }, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
