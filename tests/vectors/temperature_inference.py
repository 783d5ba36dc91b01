#!/usr/bin/env python3
"""temperature_inference.py - what the sums of a federated temperature tell of a hospital's scores

The table of docs/STATISTICS.md, "What the sums tell".  Margins m (log odds of the label, by
which one case of two classes is known) are drawn N(1.5, 2); an observer knows that, the number
of cases and all 34 sums of sure_put_sums (client/sure.h).  Printed, over 40 draws: how many
combinations of margins the sums hold to half a unit, an average margin's standard deviation
given the sums (the linear-Gaussian posterior at the truth; 2 without them), and the share of
cases known to .1.  Then a split with one wrong call among sure right ones.  Needs numpy.
"""
import numpy as np

RNG = np.random.default_rng(1)
B = 2.0 ** (np.arange(17) / 2 - 4)


def jacobian(m):
    """d (slopes, curvatures) / d m; slope -m s(-bm), curvature m^2 s (1 - s)"""
    s = 1 / (1 + np.exp(B[:, None] * m[None]))
    ds = -B[:, None] * s * (1 - s)
    slope = -s - m * ds
    curvature = 2 * m * s * (1 - s) + m * m * (1 - 2 * s) * ds
    return np.r_[slope, curvature]


def known(m, step):
    """singular values in units of the rounding error, and each margin's posterior sd"""
    error = max(step * len(m) / np.sqrt(12), 1e-14 * len(m))
    _, s, v = np.linalg.svd(jacobian(m) / error, full_matrices=True)
    information = np.r_[s ** 2, np.zeros(len(m) - len(s))] + 1 / 4
    return s, np.sqrt(np.clip(np.einsum("ki,ki->i", v, v / information[:, None]), 0, None))


print("cases  step     held  sd    to .1")
for n in (10, 20, 50, 100):
    for step in (0, 1 / 4096):
        draws = [known(RNG.normal(1.5, 2, n), step) for _ in range(40)]
        print("%5d  %-7s  %4.1f  %.2f  %3.0f %%" % (
            n, "exact" if step == 0 else "n/4096", np.mean([(s > 0.5).sum() for s, _ in draws]),
            np.median([np.median(sd) for _, sd in draws]),
            100 * np.mean([(sd < 0.1).mean() for _, sd in draws])))
print("one wrong call, margin about -6, among right ones of N(3, 1.5), rounded:")
for n in (50, 100, 200):
    sds = [known(np.r_[-abs(RNG.normal(6, 2)), RNG.normal(3, 1.5, n - 1)], 1 / 4096)[1][0] for _ in range(40)]
    print("%5d  its sd %.2f" % (n, np.median(sds)))
