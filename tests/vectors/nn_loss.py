#!/usr/bin/env python3
"""Losses over the pixels of images in PyTorch.

Writes nn_loss.json: for each loss its value and some numbers of its gradient.
Logits (2, 3, 17, 17) and targets are not stored: both sides compute them with
the integer formula of nn_train.py's value().  Dice is written out here and
differentiated by autograd.  Written with PyTorch 1.13 (Debian 12's
python3-torch):

    /usr/bin/python3 tests/vectors/nn_loss.py
"""
import json
import os

import torch
from torch.nn import functional as F

from nn_train import value

HERE = os.path.dirname(os.path.abspath(__file__))
N, K, H, W = 2, 3, 17, 17
WEIGHT = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)


def dice(p, t, labelled):
    """Mean over images and classes of 1 - (2 both + 1) / (sum + 1)."""
    p, t = p * labelled, t * labelled
    both, total = (p * t).sum((2, 3)), (p + t).sum((2, 3))
    return (1 - (2 * both + 1) / (total + 1)).mean()


def main():
    logits = 4 * value(1, N * K * H * W).double().reshape(N, K, H, W)
    codes = torch.floor((value(2, N * H * W).double() + 1) * 2).reshape(N, H, W) - 1  # -1 .. 2
    values = torch.floor((value(3, N * K * H * W).double() + 1) * 2.5) / 4  # 0 .. 1
    values = values.reshape(N, K, H, W)
    is_value = (value(4, N * K * H * W) < 0.6).double().reshape(N, K, H, W)
    is_code = (codes >= 0).double()[:, None]
    one_hot = F.one_hot(codes.long().clamp(min=0), K).permute(0, 3, 1, 2).double()

    def ce(x, **options):
        return F.cross_entropy(x, codes.long(), ignore_index=-1, **options)

    def bce(x, weight=None):
        weight = None if weight is None else weight.reshape(1, K, 1, 1)
        each = F.binary_cross_entropy_with_logits(x, values, reduction="none", pos_weight=weight)
        return (each * is_value).sum() / is_value.sum()

    def of_softmax(x):
        return dice(torch.softmax(x, 1), one_hot, is_code)

    def of_sigmoid(x):
        return dice(torch.sigmoid(x), values, is_value)

    losses = {
        "softmax_ce": ce,
        "softmax_ce_weighted": lambda x: ce(x, weight=WEIGHT),
        "softmax_ce_smoothed": lambda x: ce(x, weight=WEIGHT, label_smoothing=0.2),
        "sigmoid_ce": bce,
        "sigmoid_ce_weighted": lambda x: bce(x, WEIGHT),
        "dice": of_sigmoid,
        "dice_ce": lambda x: of_sigmoid(x) + bce(x),
        "softmax_dice": of_softmax,
        "softmax_dice_ce": lambda x: of_softmax(x) + ce(x),
    }
    out = {}
    for name, loss in losses.items():
        x = logits.clone().requires_grad_()
        result = loss(x)
        result.backward()
        out[name] = {"loss": result.item(), "gradient": x.grad.flatten()[::53].tolist()}
    with open(os.path.join(HERE, "nn_loss.json"), "w") as f:
        json.dump(out, f, indent=0)
        f.write("\n")


if __name__ == "__main__":
    main()
