#!/usr/bin/env python3
"""explain_gradcam.py - Grad-CAM by PyTorch's own gradients

Writes explain_gradcam.json beside itself.  Made with PyTorch 1.13.1, numpy 1.24.2:
    python3 tests/vectors/explain_gradcam.py

Two small networks with random weights, the second with batch normalisation and a
residual sum behind its last convolution; the maps of both classes, relu(sum alpha A)
divided by their greatest value (Selvaraju et al. 2017, equations 1 and 2).
"""
import json
import os

import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 5, 3, padding=1)
        self.fc1 = nn.Linear(5 * 3 * 3, 6)
        self.fc2 = nn.Linear(6, 2)

    def maps(self, x):
        return torch.relu(self.conv2(torch.max_pool2d(torch.relu(self.conv1(x)), 2)))

    def head(self, a):
        return self.fc2(torch.relu(self.fc1(torch.max_pool2d(a, 2).flatten(1))))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 2)

    def maps(self, x):
        a = torch.relu(self.conv1(x))
        return torch.relu(self.bn2(self.conv2(a)) + a)

    def head(self, a):
        return self.fc(a.mean(dim=(2, 3)))


def main():
    torch.manual_seed(1)
    out = {}
    for name, model in (("plain", Plain()), ("residual", Residual())):
        model.eval()
        if name == "residual":
            model.bn2.running_mean.uniform_(-0.2, 0.2)
            model.bn2.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(model.bn2.weight, 0.5, 1.5)
        x = torch.rand(1, 1, 12, 12)
        cams = []
        for k in range(2):
            a = model.maps(x).detach().requires_grad_(True)
            model.head(a)[0, k].backward()
            alpha = a.grad.mean(dim=(2, 3), keepdim=True)
            cam = torch.relu((alpha * a).sum(dim=1))[0]
            cams.append((cam / cam.max() if cam.max() > 0 else cam).tolist())
        params = {k: v.flatten().tolist() for k, v in model.state_dict().items()
                  if "num_batches" not in k}
        out[name] = {"x": x.flatten().tolist(), "params": params,
                     "cam": [[v for row in c for v in row] for c in cams]}
        assert all(any(c) for c in out[name]["cam"])
    with open(os.path.join(HERE, "explain_gradcam.json"), "w") as f:
        json.dump(out, f)
        f.write("\n")


main()
