#!/usr/bin/env python3
"""strategy_make.py - golden vectors of the server's strategies

An independent implementation in NumPy of what coordinator/fedavg.c,
fedavgm.c, fedopt.c, robust.c, krum.c and aggregate.c do; writes strategy_golden.json beside
itself.  Sources: McMahan et al. 2017 (FedAvg), Hsu et al. 2019 (FedAvgM),
Reddi et al. 2021, algorithm 2 (FedAdam, FedYogi, FedAdagrad; m and v without
bias correction, as in FLamby's fed_opt.py); Yin et al. 2018, definitions 1 and 2
(median, trimmed mean; every site weighs the same, in running statistics too); Blanchard et al. 2017 (Krum, multi-Krum;
likewise, and running statistics are those of the chosen updates); Wang et al. 2020, equations 6 and 8
(FedNova, for updates of unequal work).

Numbers are float32 between steps and float64 within one.  The mean is made
of Python's own integers: rint(w d 2^32), summed, divided once.  Every float32
is written with the nine digits that name it exactly.
"""
import json
import os

import numpy as np

KINDS = ["weight"] * 6 + ["bias"] * 2 + ["norm"] * 2 + ["stat"] * 2
P = len(KINDS)
ROUNDS = 4
WEIGHTS = [1500, 37, 410]


def mean(updates, weights):
    """The exact weighted mean, float32."""
    out = np.zeros(P, np.float32)
    for i in range(P):
        factor = 2 ** 16 if KINDS[i] == "stat" else 2 ** 32
        q = sum(int(np.rint(np.float64(w) * np.float64(u[i]) * factor)) for u, w in zip(updates, weights))
        out[i] = np.float32(np.float64(q) / (np.float64(factor) * np.float64(sum(weights))))
    return out


def f32(x):
    return np.asarray(x, np.float64).astype(np.float32)


def step(name, p, x, d, state):
    """x: global (float64 view of float32), d: mean update; trainable entries only."""
    x, d = x.astype(np.float64), d.astype(np.float64)
    if name in ("fedavg", "fedprox"):
        return f32(x + d)
    if name == "fedavgm":
        state["v"] = f32(p["momentum"] * state["v"].astype(np.float64) + d)
        return f32(x + p["lr"] * state["v"].astype(np.float64))
    m, v = state["m"].astype(np.float64), state["v"].astype(np.float64)
    state["m"] = f32(p["beta1"] * m + (1 - p["beta1"]) * d)
    if name == "fedadam":
        v = p["beta2"] * v + (1 - p["beta2"]) * d * d
    elif name == "fedyogi":
        v = v - (1 - p["beta2"]) * d * d * np.sign(v - d * d)
    else:
        v = v + d * d
    state["v"] = f32(v)
    return f32(x + p["lr"] * state["m"].astype(np.float64) / (np.sqrt(state["v"].astype(np.float64)) + p["tau"]))


def robust(name, p, updates):
    """Every parameter by itself."""
    u = np.sort(updates.astype(np.float64), axis=0)
    if name == "median":
        return np.median(u, axis=0)
    k = int(p["trim"] * len(u))
    return u[k:len(u) - k].mean(axis=0)


def krum(updates, byzantine, keep):
    """Indices of the updates of lowest score; distances are between trainable parameters."""
    u = updates[:, [k != "stat" for k in KINDS]].astype(np.float64)
    n = len(u)
    squares = ((u[:, None, :] - u[None, :, :]) ** 2).sum(axis=2)
    scores = [np.sort(np.delete(squares[i], i))[:n - byzantine - 2].sum() for i in range(n)]
    return sorted(np.argsort(scores, kind="stable")[:keep].tolist())


def nova_norm(steps, rho=0.0, eta_mu=0.0):
    """|a| of section 4: local momentum, or a proximal term; not both."""
    if rho > 0:
        return (steps - rho * (1 - rho ** steps) / (1 - rho)) / (1 - rho)
    return (1 - (1 - eta_mu) ** steps) / eta_mu if eta_mu > 0 else float(steps)


def nova(updates, weights, norms):
    """tau_eff sum_i p_i update_i / |a_i| in doubles; statistics are plainly averaged."""
    out = mean(updates, weights)
    share = np.array(weights, np.float64) / sum(weights)
    tau_eff = float(share @ norms)
    d = sum(s / a * u.astype(np.float64) for s, a, u in zip(share, norms, updates)) * tau_eff
    trained = np.array([k != "stat" for k in KINDS])
    out[trained] = f32(d)[trained]
    return out


def play(name, p, uniform=False, norms=None, sites=len(WEIGHTS)):
    r = np.random.default_rng(7)
    x = r.normal(0, 1, P).astype(np.float32)
    trained = np.array([k != "stat" for k in KINDS])
    n = int(trained.sum())
    state = {"m": np.zeros(n, np.float32), "v": np.full(n, p.get("v0", 0.0), np.float32)}
    case = {"strategy": name, "settings": p, "uniform": uniform, "first": x.tolist(), "rounds": []}
    if norms is not None:
        case["norms"] = norms
    for _ in range(ROUNDS):
        updates = r.normal(0, 0.1, (sites, P)).astype(np.float32)
        updates[:, 3] = 0  # a parameter that nobody moves
        weights = [1] * sites if uniform else WEIGHTS[:sites]
        d = mean(updates, weights) if norms is None else nova(updates, weights, norms)
        new = x + d  # running statistics: plainly averaged
        round = {"updates": updates.tolist()}
        if name in ("krum", "multi_krum"):
            keep = 1 if name == "krum" else p.get("keep", 0) or sites - p["byzantine"]
            round["chosen"] = krum(updates, p["byzantine"], keep)
            new = f32(x.astype(np.float64) + updates[round["chosen"]].astype(np.float64).mean(axis=0))
        elif name in ("median", "trimmed_mean"):
            new = f32(x.astype(np.float64) + robust(name, p, updates))
        else:
            new[trained] = step(name, p, x[trained], d[trained], state)
        x = new
        case["rounds"].append({**round, "global": x.tolist()})
    return case


def main():
    opt = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "tau": 1e-8}
    other = {"lr": 0.3, "beta1": 0.5, "beta2": 0.9, "tau": 1e-3, "v0": 1e-4}
    ada = {"lr": 0.1, "beta1": 0.0, "tau": 1e-3, "v0": 1e-6}
    cases = [
        play("fedavg", {}), play("fedavg", {}, uniform=True), play("fedprox", {"mu": 0.01}),
        play("fedavgm", {"lr": 1.0, "momentum": 0.9}), play("fedavgm", {"lr": 0.5, "momentum": 0.0}),
        play("fedadam", opt), play("fedadam", other), play("fedyogi", opt), play("fedyogi", other),
        play("fedadagrad", ada),
        play("fedavg", {}, norms=[nova_norm(t) for t in (100, 7, 40)]),
        play("fedavg", {}, uniform=True, norms=[nova_norm(t, rho=0.9) for t in (100, 7, 40)]),
        play("fedadam", other, norms=[nova_norm(t, eta_mu=0.01) for t in (1, 1000, 30)]),
        play("median", {}), play("median", {}, sites=2), play("trimmed_mean", {"trim": 0.34}),
        play("trimmed_mean", {"trim": 0.0}), play("median", {}, uniform=True, sites=8),
        play("trimmed_mean", {"trim": 0.25}, uniform=True, sites=8),
        play("krum", {"byzantine": 0}), play("krum", {"byzantine": 2}, uniform=True, sites=8),
        play("multi_krum", {"byzantine": 1}, uniform=True, sites=7),
        play("multi_krum", {"byzantine": 2, "keep": 3}, uniform=True, sites=8),
    ]
    norms = [{"steps": t, "momentum": rho, "lr": 0.05, "mu": mu, "norm": nova_norm(t, rho, 0.05 * mu)}
             for t in (1, 2, 17, 1000) for rho, mu in ((0, 0), (0.9, 0), (0.5, 0), (0, 0.2), (0, 1))]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "strategy_golden.json")
    with open(path, "w") as f:
        data = shorten({"kinds": KINDS, "weights": WEIGHTS, "cases": cases, "norms": norms})
        f.write(json.dumps(data, separators=(",", ":")) + "\n")


def shorten(x):
    """Nine digits name a float32 exactly; settings have fewer."""
    if isinstance(x, float):
        return float(f"{x:.9g}")
    if isinstance(x, list):
        return [shorten(v) for v in x]
    if isinstance(x, dict):
        return {k: shorten(v) for k, v in x.items()}
    return x


if __name__ == "__main__":
    main()
