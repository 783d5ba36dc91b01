#!/usr/bin/env python3
"""Ten training steps of three networks in PyTorch.

Writes nn_train.json: for each network its options, the loss of every step and
the parameters after the last.  Initial parameters and batches are not stored:
both sides compute them with the integer formula of value().  Written with
PyTorch 1.13 (Debian 12's python3-torch), one thread:

    /usr/bin/python3 tests/vectors/nn_train.py
"""
import json
import os

import torch
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 10


def value(stream, n):
    """n floats in [-1, 1): number i of stream k, exact in 24 bits."""
    i = torch.arange(n, dtype=torch.int64)
    x = (i * 2654435761 + stream * 40503 * 65537 + 12345) % 2**32
    x = (x * 1664525 + 1013904223) % 2**32
    x = (x ^ (x >> 15)) * 2246822519 % 2**32
    return ((x >> 8).double() / 2**23 - 1).float()


class Logistic(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(13, 1)

    def forward(self, x):
        return self.fc(x)


class Cnn(nn.Module):
    """model cnn with channels [4, 8] and fc 16 on 1x12x12, three classes."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 8, 3, padding=1)
        self.fc1 = nn.Linear(72, 16)
        self.fc2 = nn.Linear(16, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Residual(nn.Module):
    """Batch normalisation, a sum of two branches, strides, average pooling."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16, 8, 3, stride=2, padding=1)
        self.fc = nn.Linear(8, 2)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(x + self.bn2(self.conv2(x)))
        x = F.relu(self.conv3(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def set_parameters(net):
    """Number j of the state's tensors is value(100 + j) / sqrt(fan in)."""
    j = 0
    for name, t in net.state_dict().items():
        if name.endswith("num_batches_tracked") or "running" in name:
            continue
        fan = t[0].numel() if t.dim() > 1 else 10
        scale = torch.tensor(1.0 / fan).sqrt()
        x = value(100 + j, t.numel()).reshape(t.shape) * scale
        t.copy_(1 + x if name.startswith("bn") and name.endswith("weight") else x)
        j += 1


def train(net, shape, sizes, make_loss, make_target, optimizer):
    with torch.no_grad():
        set_parameters(net)
    opt = optimizer(net.parameters())
    losses = []
    for step in range(STEPS):
        n = sizes[step % len(sizes)]
        row = torch.Size(shape).numel()
        x = value(1000 + step, n * row).reshape(n, *shape)
        t = make_target(value(2000 + step, n))
        opt.zero_grad()
        loss = make_loss(net(x), t)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    numbers = {k: [float("%.9g" % v) for v in t.reshape(-1).tolist()] for k, t in net.state_dict().items()
               if not k.endswith("num_batches_tracked")}
    return {"losses": losses, "parameters": numbers}


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)  # nothing below depends on it
    classes = torch.tensor([1.0, 2.0, 0.5])
    out = {
        "logistic": train(
            Logistic(), [13], [4],
            lambda y, t: F.binary_cross_entropy_with_logits(y, t, pos_weight=torch.tensor([1.5])),
            lambda u: (u > 0).float().reshape(-1, 1),
            lambda p: torch.optim.SGD(p, lr=0.1)),
        "cnn": train(
            Cnn(), [1, 12, 12], [8, 8, 5],
            lambda y, t: F.cross_entropy(y, t, weight=classes),
            lambda u: ((u + 1) * 1.5).long(),
            lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01)),
        "residual": train(
            Residual(), [2, 8, 8], [6, 6, 4],
            lambda y, t: F.cross_entropy(y, t),
            lambda u: (u > 0).long(),
            lambda p: torch.optim.Adam(p, lr=0.005, weight_decay=0.01)),
    }
    with open(os.path.join(HERE, "nn_train.json"), "w") as f:
        json.dump(out, f)
        f.write("\n")


if __name__ == "__main__":
    main()
