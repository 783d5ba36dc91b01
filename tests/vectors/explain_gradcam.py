#!/usr/bin/env python3
"""explain_gradcam.py - Grad-CAM by PyTorch's own gradients

Writes explain_gradcam.json beside itself.  Made with PyTorch 1.13.1, numpy 1.24.2:
    python3 tests/vectors/explain_gradcam.py

Small networks with random weights, the second with batch normalisation and a residual sum
behind its last convolution, the third of a volume; the maps of both classes, relu(sum alpha A)
divided by their greatest value (Selvaraju et al. 2017, equations 1 and 2).  The fourth has an
answer a pixel and a skip around its bottom, whose maps Seg-Grad-CAM takes for the sum of a
class's logits over the pixels that are called it (Vinogradova et al. 2020).
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


class Volume(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv3d(1, 3, 3, padding=1)
        self.conv2 = nn.Conv3d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, 2)

    def maps(self, x):
        return torch.relu(self.conv2(torch.max_pool3d(torch.relu(self.conv1(x)), 2)))

    def head(self, a):
        return self.fc(a.mean(dim=(2, 3, 4)))


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(3)
        self.conv2 = nn.Conv2d(3, 5, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(5)
        self.up = nn.ConvTranspose2d(5, 3, 2, stride=2)
        self.conv3 = nn.Conv2d(6, 4, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(4)
        self.conv4 = nn.Conv2d(4, 2, 1)

    def top(self, x):
        return torch.relu(self.bn1(self.conv1(x)))

    def bottom(self, a):
        return torch.relu(self.bn2(self.conv2(torch.max_pool2d(a, 2))))

    def head(self, a, d):
        x = torch.cat([a, self.up(d)], dim=1)
        return self.conv4(torch.relu(self.bn3(self.conv3(x))))


def disturb(bn):
    bn.running_mean.uniform_(-0.2, 0.2)
    bn.running_var.uniform_(0.5, 1.5)
    nn.init.uniform_(bn.weight, 0.5, 1.5)
    nn.init.uniform_(bn.bias, -0.3, 0.3)


def cam_of(a):
    places = tuple(range(2, a.dim()))
    alpha = a.grad.mean(dim=places, keepdim=True)
    cam = torch.relu((alpha * a).sum(dim=1))[0].flatten()
    return (cam / cam.max() if cam.max() > 0 else cam).tolist()


def params_of(model):
    return {k: v.flatten().tolist() for k, v in model.state_dict().items() if "num_batches" not in k}


def volume():
    model, x = Volume().eval(), torch.rand(1, 1, 4, 6, 6)
    cams = []
    for k in range(2):
        a = model.maps(x).detach().requires_grad_(True)
        model.head(a)[0, k].backward()
        cams.append(cam_of(a))
    return {"x": x.flatten().tolist(), "params": params_of(model), "cam": cams}


def skip():
    model, x = Skip().eval(), torch.rand(1, 1, 12, 12)
    for bn in (model.bn1, model.bn2, model.bn3):
        disturb(bn)
    top = model.top(x).detach()
    called = model.head(top, model.bottom(top)).argmax(dim=1)[0]
    if not 20 < called.sum() < 124:
        return None
    cams = []
    for k in range(2):
        a = model.bottom(top).detach().requires_grad_(True)
        model.head(top, a)[0, k][called == k].sum().backward()
        cams.append(cam_of(a))
    return {"x": x.flatten().tolist(), "params": params_of(model), "cam": cams,
            "called": called.flatten().tolist()}


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
    for name, make in (("volume", volume), ("skip", skip)):
        for seed in range(2, 500):  # the first where both classes have something to show
            torch.manual_seed(seed)
            out[name] = make()
            if out[name] is not None and all(any(c) for c in out[name]["cam"]):
                break
        else:
            raise SystemExit("no seed for " + name)
    with open(os.path.join(HERE, "explain_gradcam.json"), "w") as f:
        json.dump(out, f)
        f.write("\n")


main()
