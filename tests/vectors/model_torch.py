#!/usr/bin/env python3
"""The architectures of common/model in PyTorch: tables, outputs, training curves.

Writes model_torch.json:
  tables   of torchvision's models at 1000 classes and of the modules below: how many
           trained numbers, how many tensors, and a SHA-256 over the sorted lines
           "name 3x4x5"
  outputs  of networks made narrow and small, for parameters and images that both
           sides compute from the integer formula of value(); each: our model: text,
           input shape, outputs, and of these every `stride`-th number
  curves   losses of 50 training steps, from the same formula

Written with PyTorch 2.15 and torchvision 0.29, one thread:

    python3 tests/vectors/model_torch.py
"""
import hashlib
import json
import os

import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 50


def value(stream, n):
    """n floats in [-1, 1): number i of stream k, exact in 24 bits."""
    i = torch.arange(n, dtype=torch.int64)
    x = (i * 2654435761 + stream * 40503 * 65537 + 12345) % 2**32
    x = (x * 1664525 + 1013904223) % 2**32
    x = (x ^ (x >> 15)) * 2246822519 % 2**32
    return ((x >> 8).double() / 2**23 - 1).float()


def stream_of(name):
    """FNV-1a of a parameter's name, from 10000 to 59999."""
    h = 2166136261
    for c in name.encode():
        h = (h ^ c) * 16777619 % 2**32
    return 10000 + h % 50000


def numbers_of(net):
    """The state without num_batches_tracked."""
    return {k: t for k, t in net.state_dict().items() if not k.endswith("num_batches_tracked")}


def set_parameters(net):
    norms = {name for name, m in net.named_modules()
             if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.InstanceNorm2d))}
    with torch.no_grad():
        for name, t in numbers_of(net).items():
            module, what = name.rpartition(".")[::2]
            v = value(stream_of(name), t.numel()).reshape(t.shape)
            if what == "running_var":
                t.copy_(1 + 0.5 * v)
            elif module in norms and what == "weight":
                t.copy_(1 + 0.3 * v)
            elif t.dim() == 1:
                t.copy_(0.1 * v)
            else:
                t.copy_(v * torch.tensor(6.0 / t[0].numel()).sqrt())
    return net


# ------------------------------------------------------------------- ResNet


class NarrowResNet(ResNet):
    """torchvision's with `base` channels in the first stage, and MedMNIST's stem."""

    def __init__(self, block, layers, base, channels, outputs, small, norm=nn.BatchNorm2d):
        nn.Module.__init__(self)
        self._norm_layer = norm
        self.inplanes, self.dilation, self.groups, self.base_width = base, 1, 1, 64
        if small:
            self.conv1 = nn.Conv2d(channels, base, 3, padding=1, bias=False)
            self.maxpool = nn.Identity()
        else:
            self.conv1 = nn.Conv2d(channels, base, 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.bn1 = norm(base)
        self.relu = nn.ReLU()
        self.layer1 = self._make_layer(block, base, layers[0])
        self.layer2 = self._make_layer(block, 2 * base, layers[1], stride=2)
        self.layer3 = self._make_layer(block, 4 * base, layers[2], stride=2)
        self.layer4 = self._make_layer(block, 8 * base, layers[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * base * block.expansion, outputs)


def resnet18(*args, **kwargs):
    return NarrowResNet(BasicBlock, [2, 2, 2, 2], *args, **kwargs)


def resnet34(*args, **kwargs):
    return NarrowResNet(BasicBlock, [3, 4, 6, 3], *args, **kwargs)


def resnet50(*args, **kwargs):
    return NarrowResNet(Bottleneck, [3, 4, 6, 3], *args, **kwargs)


def groups_of(channels, most=32):
    return max(n for n in range(1, most + 1) if n == 1 or channels % n == 0 and channels // n >= 4)


def group_norm(channels):
    return nn.GroupNorm(groups_of(channels), channels)


def instance_norm(channels):
    return nn.InstanceNorm2d(channels, affine=True)


# -------------------------------------------------- torchvision's other models


class NarrowVgg(torchvision.models.VGG):
    """torchvision's with `base` channels at first and a hidden layer of `fc`."""

    def __init__(self, base, channels, outputs, fc, batch_norm):
        plan = torchvision.models.vgg.cfgs["D"]
        plan = [n if n == "M" else n * base // 64 for n in plan]
        features = torchvision.models.vgg.make_layers(plan, batch_norm)
        first = nn.Conv2d(channels, base, 3, padding=1)
        super().__init__(nn.Sequential(first, *list(features)[1:]), outputs)
        self.classifier[0] = nn.Linear(8 * base * 49, fc)
        self.classifier[3] = nn.Linear(fc, fc)
        self.classifier[6] = nn.Linear(fc, outputs)


def alexnet(channels, outputs, fc):
    net = torchvision.models.alexnet(num_classes=outputs)
    net.features[0] = nn.Conv2d(channels, 64, 11, stride=4, padding=2)
    net.classifier[1] = nn.Linear(256 * 36, fc)
    net.classifier[4] = nn.Linear(fc, fc)
    net.classifier[6] = nn.Linear(fc, outputs)
    return net


def googlenet(channels, outputs, small):
    net = torchvision.models.googlenet(num_classes=outputs, aux_logits=False, init_weights=False)
    k, s = (3, 1) if small else (7, 2)
    net.conv1.conv = nn.Conv2d(channels, 64, k, stride=s, padding=k // 2, bias=False)
    if small:
        net.maxpool1 = nn.Identity()
    return net


def densenet121(base, channels, outputs, small):
    net = torchvision.models.DenseNet(base // 2, (6, 12, 24, 16), base, num_classes=outputs)
    k, s = (3, 1) if small else (7, 2)
    net.features.conv0 = nn.Conv2d(channels, base, k, stride=s, padding=k // 2, bias=False)
    if small:
        net.features.pool0 = nn.Identity()
    return net


# -------------------------------------------------------------------- U-Net


class DoubleConv(nn.Module):
    def __init__(self, dims, i, o, norm, pad):
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        bias = norm is nn.Identity
        self.double_conv = nn.Sequential(
            conv(i, o, 3, padding=pad, bias=bias), norm(o), nn.ReLU(),
            conv(o, o, 3, padding=pad, bias=bias), norm(o), nn.ReLU())

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, dims, i, o, norm, pad):
        super().__init__()
        pool = nn.MaxPool2d if dims == 2 else nn.MaxPool3d
        self.maxpool_conv = nn.Sequential(pool(2), DoubleConv(dims, i, o, norm, pad))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, dims, i, norm, pad):
        super().__init__()
        conv = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        self.up = conv(i, i // 2, 2, stride=2)
        self.conv = DoubleConv(dims, i, i // 2, norm, pad)
        self.pad = pad

    def forward(self, x, skip):
        x = self.up(x)
        missing = [s - u for s, u in zip(skip.shape[2:], x.shape[2:])]
        if self.pad:
            x = F.pad(x, [n for m in reversed(missing) for n in (m // 2, m - m // 2)])
        else:
            for d, m in enumerate(missing):
                skip = skip.narrow(2 + d, m // 2, x.shape[2 + d])
        return self.conv(torch.cat([skip, x], 1))


class OutConv(nn.Module):
    def __init__(self, dims, i, o):
        super().__init__()
        self.conv = (nn.Conv2d if dims == 2 else nn.Conv3d)(i, o, 1)

    def forward(self, x):
        return self.conv(x)


class Gate(nn.Module):
    """Equations 1 and 2 of Oktay et al. 2018."""

    def __init__(self, channels):
        super().__init__()
        inner = channels // 2
        self.W_x = nn.Conv2d(channels, inner, 2, stride=2, bias=False)
        self.W_g = nn.Conv2d(2 * channels, inner, 1)
        self.psi = nn.Conv2d(inner, 1, 1)

    def forward(self, x, g):
        q = self.psi(F.relu(self.W_x(x) + self.W_g(g)))
        a = F.interpolate(torch.sigmoid(q), size=x.shape[2:], mode="bilinear", align_corners=False)
        return x * a, a


class UNet(nn.Module):
    """The form of milesial/Pytorch-UNet, for any depth."""

    def __init__(self, channels, outputs, base=64, depth=4, dims=2, pad=1, gated=False,
                 norm=None):
        super().__init__()
        norm = norm or (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)
        self.depth, self.gated = depth, gated
        self.inc = DoubleConv(dims, channels, base, norm, pad)
        for i in range(depth):
            self.add_module("down%d" % (i + 1), Down(dims, base << i, base << (i + 1), norm, pad))
        for i in range(depth):
            self.add_module("up%d" % (i + 1), Up(dims, base << (depth - i), norm, pad))
            if gated and i < depth - 1:
                self.add_module("att%d" % (i + 1), Gate(base << (depth - 1 - i)))
        self.outc = OutConv(dims, base, outputs)

    def forward(self, x):
        modules = dict(self.named_children())
        skips, maps = [self.inc(x)], []
        for i in range(self.depth):
            skips.append(modules["down%d" % (i + 1)](skips[-1]))
        x = skips.pop()
        for i in range(self.depth):
            skip = skips.pop()
            if self.gated and i < self.depth - 1:
                skip, a = modules["att%d" % (i + 1)](skip, x)
                maps.append(a)
            x = modules["up%d" % (i + 1)](x, skip)
        self.maps = maps
        return self.outc(x)


# ------------------------------------------------------------------ sections


def table_of(net):
    lines = sorted("%s %s" % (k, "x".join(map(str, t.shape))) for k, t in numbers_of(net).items())
    text = "".join(line + "\n" for line in lines)
    return {"trained": sum(p.numel() for p in net.parameters()), "tensors": len(lines),
            "sha256": hashlib.sha256(text.encode()).hexdigest()}


def output_of(model, net, shape):
    """Two images of this shape through the net in use, not in training."""
    set_parameters(net).eval()
    n = 2 * torch.Size(shape).numel()
    with torch.no_grad():
        y = net(value(1, n).reshape(2, *shape))
    outputs, y = y.shape[1], y.reshape(-1)
    stride = max(1, y.numel() // 60)
    return {"model": model, "input": shape, "outputs": outputs, "count": y.numel(), "stride": stride,
            "output": [float("%.7g" % v) for v in y[::stride].tolist()]}


def labelled_images(step, n, shape):
    """Noise, brighter on the left in class 1, on the right in class 0."""
    label = (value(3000 + step, n) > 0).long()
    x = value(2000 + step, n * torch.Size(shape).numel()).reshape(n, *shape) * 0.5
    is_left = torch.arange(shape[-1]) < shape[-1] // 2
    brighter = is_left[None, :] == (label == 1)[:, None]
    return x + torch.where(brighter, 0.25, -0.25)[:, None, None, :], label


def discs(step, n, shape):
    """Noise, brighter in a disc; and the disc."""
    side = shape[-1]
    x = value(2000 + step, n * torch.Size(shape).numel()).reshape(n, *shape) * 0.5
    at = ((value(3000 + step, 2 * n) + 2) * (side // 4)).floor().reshape(n, 2)
    grid = torch.arange(side)
    square = (grid[None, :] - at[:, :1]) ** 2, (grid[None, :] - at[:, 1:]) ** 2
    mask = (square[0][:, :, None] + square[1][:, None, :] < side * side // 16)[:, None].float()
    return x + mask * 0.5, mask


def curve_of(model, net, shape, batch, make_batch, loss_of, optimizer, **options):
    """Losses of STEPS steps, a fresh batch each."""
    set_parameters(net).train()
    opt = optimizer(net.parameters(), **options)
    losses = []
    for step in range(STEPS):
        x, target = make_batch(step, batch, shape)
        opt.zero_grad()
        y = net(x)
        loss = loss_of(y, target)
        loss.backward()
        opt.step()
        losses.append(float("%.7g" % loss.item()))
    return {"model": model, "input": shape, "outputs": y.shape[1], "batch": batch, **options,
            "losses": losses}


class Cnn(nn.Module):
    """model cnn with its defaults, on one channel of 28x28."""

    def __init__(self, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * 9, 128)
        self.fc2 = nn.Linear(128, outputs)

    def forward(self, x):
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def curves():
    """Rates at which PyTorch in fp32 stays within 2e-4 of itself in double: training is
    chaotic, and ResNet-18 at twenty times this rate is 6 % away from itself after 50 steps."""
    sgd = torch.optim.SGD
    bce = F.binary_cross_entropy_with_logits
    return {
        "cnn": curve_of("cnn", Cnn(2), [1, 28, 28], 16, labelled_images, F.cross_entropy, sgd,
                        lr=0.002, momentum=0.9),
        "resnet18": curve_of("{name: resnet18, base: 16}", resnet18(16, 1, 2, True), [1, 28, 28],
                             32, labelled_images, F.cross_entropy, sgd, lr=0.0001, momentum=0.9),
        "unet": curve_of("{name: unet, base: 8, depth: 3}", UNet(1, 1, 8, 3), [1, 32, 32], 8,
                         discs, bce, sgd, lr=0.005, momentum=0.9),
    }


def tables():
    models = torchvision.models
    with torch.device("meta"):
        return {
            "resnet18": table_of(models.resnet18()),
            "resnet34": table_of(models.resnet34()),
            "resnet50": table_of(models.resnet50()),
            "alexnet": table_of(models.alexnet()),
            "vgg16": table_of(models.vgg16()),
            "vgg16_bn": table_of(models.vgg16_bn()),
            "googlenet": table_of(models.googlenet(aux_logits=False, init_weights=False)),
            "densenet121": table_of(models.densenet121()),
            "unet": table_of(UNet(3, 1000)),
            "attention_unet": table_of(UNet(3, 1000, gated=True)),
        }


def outputs():
    group, instance = {"norm": group_norm}, {"norm": instance_norm}
    return [output_of(*case) for case in [
        ("{name: resnet18, base: 4}", resnet18(4, 3, 5, True), [3, 32, 32]),
        ("{name: resnet18, base: 4}", resnet18(4, 1, 2, False), [1, 70, 64]),
        ("{name: resnet18, base: 8, norm: group}", resnet18(8, 1, 2, True, **group), [1, 28, 28]),
        ("{name: resnet18, base: 4, norm: instance, stem: small}",
         resnet18(4, 1, 2, True, **instance), [1, 64, 64]),
        ("{name: resnet34, base: 4}", resnet34(4, 1, 2, True), [1, 28, 28]),
        ("{name: resnet50, base: 4}", resnet50(4, 1, 2, True), [1, 28, 28]),
        ("{name: alexnet, fc: 16}", alexnet(3, 5, 16), [3, 64, 80]),
        ("{name: vgg16, base: 8, fc: 16}", NarrowVgg(8, 1, 2, 16, False), [1, 32, 48]),
        ("{name: vgg16, base: 8, fc: 16, norm: batch}", NarrowVgg(8, 1, 2, 16, True), [1, 230, 224]),
        ("googlenet", googlenet(1, 2, False), [1, 65, 70]),
        ("googlenet", googlenet(1, 2, True), [1, 28, 28]),
        ("{name: densenet121, base: 16}", densenet121(16, 1, 2, False), [1, 64, 70]),
        ("{name: densenet121, base: 8}", densenet121(8, 1, 2, True), [1, 28, 28]),
        ("{name: unet, base: 4, depth: 3}", UNet(1, 2, 4, 3), [1, 32, 32]),
        ("{name: unet, base: 4, depth: 2}", UNet(2, 1, 4, 2), [2, 19, 22]),
        ("{name: unet, base: 4, depth: 2, norm: none}", UNet(1, 1, 4, 2, norm=nn.Identity),
         [1, 16, 16]),
        ("{name: unet, base: 4, depth: 2, norm: group}", UNet(1, 1, 4, 2, norm=group_norm),
         [1, 16, 16]),
        ("{name: unet, base: 4, depth: 2, norm: instance}", UNet(1, 1, 4, 2, norm=instance_norm),
         [1, 16, 16]),
        ("{name: unet, base: 4, depth: 2, padding: valid}", UNet(1, 1, 4, 2, pad=0), [1, 44, 52]),
        ("{name: unet, base: 4, depth: 2}", UNet(1, 2, 4, 2, dims=3), [1, 9, 8, 10]),
        ("{name: attention_unet, base: 4, depth: 3}", UNet(1, 1, 4, 3, gated=True), [1, 32, 26]),
    ]]


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)  # nothing below depends on it
    out = {"tables": tables(), "outputs": outputs(), "curves": curves()}
    with open(os.path.join(HERE, "model_torch.json"), "w") as f:
        json.dump(out, f)
        f.write("\n")


if __name__ == "__main__":
    main()
