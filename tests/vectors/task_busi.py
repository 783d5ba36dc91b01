#!/usr/bin/env python3
"""PyTorch's U-Net on the lesion images of busi-subset, image by image.

Writes task_busi.json: the test Dice of each of the 80 images, in five folds, of
a U-Net in PyTorch (milesial/Pytorch-UNet's module, base 16, its default
initialisation) in the set-up of tests/task/long_busi.c: gray, 128 x 128 by area
averaging, z-scored; masks by nearest neighbour; 30 epochs of Adam at 1e-3 in
batches of 8, no augmentation; softmax Dice and cross-entropy; the epoch with
the best Dice on the validation fold.  task_busi.json says which PyTorch wrote
it; one thread, some three minutes of CPU a fold; Pillow reads the images:

    CONSILIUM_DATA=... python3 tests/vectors/task_busi.py [FOLD ...]

Folds that are named are done again, the others kept.
"""
import json
import os
import sys

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
SIDE, EPOCHS, BATCH, LR, FOLDS = 128, 30, 8, 1e-3, 5


def area(n):
    """(SIDE, n): share of each of n pixels in each of SIDE larger ones."""
    edge = np.arange(SIDE + 1) * n / SIDE
    cell = np.arange(n)
    overlap = np.minimum(edge[1:, None], cell + 1) - np.maximum(edge[:-1, None], cell)
    return np.clip(overlap, 0, None) * SIDE / n


def read_image(path):
    x = np.asarray(Image.open(path).convert("RGB"), dtype=np.float64)
    x = x @ np.array([0.299, 0.587, 0.114])
    x = area(x.shape[0]) @ x @ area(x.shape[1]).T / 255
    return (x - x.mean()) / x.std()


def read_mask(paths):
    out = np.zeros((SIDE, SIDE), dtype=np.int64)
    for path in paths:
        m = np.asarray(Image.open(path).convert("RGB"), dtype=np.float64).max(axis=2)
        rows = ((np.arange(SIDE) + 0.5) * m.shape[0] / SIDE).astype(int)
        cols = ((np.arange(SIDE) + 0.5) * m.shape[1] / SIDE).astype(int)
        out |= m[np.ix_(rows, cols)] >= 1
    return out


def read_all(root):
    cases = []
    for kind in ("benign", "malignant"):
        for i in range(1, 41):
            stem = os.path.join(root, kind, "mask", f"{kind} ({i})_mask")
            masks = [p for p in (stem + ".png", stem + "_1.png") if os.path.exists(p)]
            image = read_image(os.path.join(root, kind, "images", f"{kind} ({i}).png"))
            cases.append((f"{kind}-{i}", (i - 1) % FOLDS, image, read_mask(masks)))
    return cases


def double_conv(c_in, c_out):
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(True),
        nn.Conv2d(c_out, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(True))


class UNet(nn.Module):
    def __init__(self, base=16, depth=4):
        super().__init__()
        width = [base * 2**i for i in range(depth + 1)]
        self.inc = double_conv(1, base)
        self.down = nn.ModuleList(double_conv(width[i], width[i + 1]) for i in range(depth))
        self.up = nn.ModuleList(nn.ConvTranspose2d(width[i + 1], width[i], 2, 2)
                                for i in reversed(range(depth)))
        self.conv = nn.ModuleList(double_conv(2 * width[i], width[i])
                                  for i in reversed(range(depth)))
        self.outc = nn.Conv2d(base, 2, 1)

    def forward(self, x):
        skips = [self.inc(x)]
        for down in self.down:
            skips.append(down(F.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for up, conv in zip(self.up, self.conv):
            x = conv(torch.cat([skips.pop(), up(x)], 1))
        return self.outc(x)


def loss_of(logits, target):
    p = torch.softmax(logits, 1)
    t = F.one_hot(target, 2).permute(0, 3, 1, 2).float()
    both = (p * t).sum((2, 3))
    dice = 1 - (2 * both + 1) / (p.sum((2, 3)) + t.sum((2, 3)) + 1)
    return dice.mean() + F.cross_entropy(logits, target)


def dice_of(net, x, y):
    net.eval()
    with torch.no_grad():
        called = net(x).argmax(1)
    net.train()
    both = ((called == 1) & (y == 1)).sum((1, 2)).double()
    return (2 * both / ((called == 1).sum((1, 2)) + (y == 1).sum((1, 2)))).numpy()


def run_fold(cases, k):
    def part(folds):
        chosen = [c for c in cases if c[1] in folds]
        return (torch.tensor(np.stack([c[2] for c in chosen]), dtype=torch.float32)[:, None],
                torch.tensor(np.stack([c[3] for c in chosen])), [c[0] for c in chosen])

    test, val = part({k}), part({(k + 1) % FOLDS})
    x, y, _ = part({f for f in range(FOLDS) if f not in (k, (k + 1) % FOLDS)})
    torch.manual_seed(1 + k)
    net = UNet()
    optim = torch.optim.Adam(net.parameters(), lr=LR)
    best, kept = -1.0, None
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            optim.zero_grad()
            loss = loss_of(net(x[batch]), y[batch])
            loss.backward()
            optim.step()
        dice = dice_of(net, *val[:2]).mean()
        if dice > best:
            best, kept = dice, {n: v.clone() for n, v in net.state_dict().items()}
        print(f"fold {k} epoch {epoch + 1} loss {loss.item():.4f} val Dice {dice:.4f}", flush=True)
    net.load_state_dict(kept)
    return dict(zip(test[2], (round(float(d), 4) for d in dice_of(net, *test[:2]))))


def main():
    torch.set_num_threads(1)
    path = os.path.join(os.environ.get("OUT", HERE), "task_busi.json")
    out = json.load(open(path)) if os.path.exists(path) else {"torch": None, "dice": {}}
    cases = read_all(os.path.join(os.environ["CONSILIUM_DATA"], "busi-subset", "data"))
    for k in map(int, sys.argv[1:] or range(FOLDS)):
        out["dice"].update(run_fold(cases, k))
        out["torch"] = torch.__version__
        out["dice"] = {c[0]: out["dice"][c[0]] for c in cases if c[0] in out["dice"]}
        with open(path, "w") as f:
            json.dump(out, f, indent=1)
            f.write("\n")
    dice = list(out["dice"].values())
    print(f"{len(dice)} images, mean test Dice {sum(dice) / len(dice):.4f}")


if __name__ == "__main__":
    main()
