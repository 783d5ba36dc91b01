#!/usr/bin/python3
"""peer_torch.py - the peer's side of a race: bench_nn's networks in PyTorch

    peer_torch.py NETWORK PRECISION VARIANT THREADS BATCH_FILE N C H W K

Speaks racer.h's lines on standard input and output.  VARIANT is one of plain,
channels_last, jit.  The training step is the one of trainer.c: forward, loss,
backward, SGD with momentum.
"""
import contextlib
import sys
import time


def no_torch(reason):
    print("cannot", str(reason).splitlines()[0])
    sys.exit(0)


try:
    import torch
    from torch import nn
except ImportError as error:
    no_torch(error)


def conv3(c, k, stride=1):
    return nn.Conv2d(c, k, 3, stride, 1, bias=False)


class Cnn(nn.Module):
    def __init__(self, shape, n_outputs):
        super().__init__()
        c, pixels = shape[0], (shape[1] // 8) * (shape[2] // 8)
        self.conv1 = nn.Conv2d(c, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * pixels, 128)
        self.fc2 = nn.Linear(128, n_outputs)

    def forward(self, x):
        for conv in (self.conv1, self.conv2, self.conv3):
            x = torch.max_pool2d(torch.relu(conv(x)), 2)
        return self.fc2(torch.relu(self.fc1(torch.flatten(x, 1))))


class BasicBlock(nn.Module):
    def __init__(self, c, k, stride):
        super().__init__()
        self.conv1, self.bn1 = conv3(c, k, stride), nn.BatchNorm2d(k)
        self.conv2, self.bn2 = conv3(k, k), nn.BatchNorm2d(k)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or c != k:
            self.downsample = nn.Sequential(nn.Conv2d(c, k, 1, stride, bias=False),
                                            nn.BatchNorm2d(k))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """He et al. 2016, the 28-px variant: 3x3 first convolution, no first pool."""

    def __init__(self, shape, n_outputs):
        super().__init__()
        self.conv1, self.bn1 = conv3(shape[0], 64), nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        blocks, c = [], 64
        for k, stride in ((64, 1), (64, 1), (128, 2), (128, 1),
                          (256, 2), (256, 1), (512, 2), (512, 1)):
            blocks.append(BasicBlock(c, k, stride))
            c = k
        self.layers = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, n_outputs)

    def forward(self, x):
        x = self.layers(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.pool(x), 1))


def double_conv(c, k):
    return nn.Sequential(conv3(c, k), nn.BatchNorm2d(k), nn.ReLU(inplace=True),
                         conv3(k, k), nn.BatchNorm2d(k), nn.ReLU(inplace=True))


class UNet(nn.Module):
    """Ronneberger et al. 2015 with padding and batch norm; ConvTranspose 2x2 up."""

    def __init__(self, shape, n_outputs, base=16, depth=4):
        super().__init__()
        widths = [base << i for i in range(depth + 1)]
        self.down = nn.ModuleList(double_conv(c, k)
                                  for c, k in zip([shape[0]] + widths, widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * k, k, 2, 2) for k in widths[-2::-1])
        self.dec = nn.ModuleList(double_conv(2 * k, k) for k in widths[-2::-1])
        self.out = nn.Conv2d(base, n_outputs, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        skips = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else self.pool(x))
            skips.append(x)
        skips.pop()
        for up, block in zip(self.up, self.dec):
            x = block(torch.cat([skips.pop(), up(x)], 1))
        return self.out(x)


class DenseLayer(nn.Module):
    def __init__(self, c, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(c), nn.Conv2d(c, 4 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), conv3(4 * growth, growth)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.conv1(self.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(self.relu(self.norm2(y)))], 1)


class DenseNet121(nn.Module):
    """Huang et al. 2017, as torchvision has it."""

    def __init__(self, shape, n_outputs, growth=32, blocks=(6, 12, 24, 16), c=64):
        super().__init__()
        layers = [nn.Conv2d(shape[0], c, 7, 2, 3, bias=False), nn.BatchNorm2d(c),
                  nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
        for i, n in enumerate(blocks):
            for _ in range(n):
                layers.append(DenseLayer(c, growth))
                c += growth
            layers += [nn.BatchNorm2d(c), nn.ReLU(inplace=True)]
            if i + 1 < len(blocks):
                layers += [nn.Conv2d(c, c // 2, 1, bias=False), nn.AvgPool2d(2)]
                c //= 2
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(c, n_outputs)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


def logistic(shape, n_outputs):
    return nn.Linear(shape[0], n_outputs)


NETWORKS = {"cnn": Cnn, "resnet18": ResNet18, "unet": UNet, "densenet121": DenseNet121,
            "logistic": logistic}


def read_batch(path, shape, network):
    numbers = torch.frombuffer(bytearray(open(path, "rb").read()), dtype=torch.float32)
    n = 1
    for dim in shape:
        n *= dim
    x, target = numbers[:n].clone().reshape(shape), numbers[n:].clone()
    if network == "unet":
        return x, target.reshape(shape[0], 1, *shape[2:])
    return x, target.reshape(-1, 1) if network == "logistic" else target.long()


def peak_bytes():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main():
    network, precision, variant = sys.argv[1:4]
    threads, path = int(sys.argv[4]), sys.argv[5]
    dims = [int(a) for a in sys.argv[6:10]]
    shape = dims if network != "logistic" else dims[:2]
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = NETWORKS[network](shape[1:], int(sys.argv[10])).train()
    x, target = read_batch(path, shape, network)
    binary = network in ("unet", "logistic")
    loss_of = nn.BCEWithLogitsLoss() if binary else nn.CrossEntropyLoss()
    n_params = sum(p.numel() for p in model.parameters())
    if variant == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    if variant == "jit":
        model = torch.jit.trace(model, x)
    cast = (lambda: torch.autocast("cpu", torch.bfloat16)) if precision == "bf16" \
        else contextlib.nullcontext

    def step():
        optimizer.zero_grad(set_to_none=True)
        with cast():
            y = model(x)
        loss = loss_of(y.float() if precision == "bf16" else y, target)
        loss.backward()
        optimizer.step()

    for _ in range(1 if variant != "jit" else 3):  # jit specialises in its first runs
        step()
    start = time.perf_counter()
    step()
    at_once = max(1, int(0.005 / (time.perf_counter() - start)))
    print("ready", n_params, "PyTorch", torch.__version__, flush=True)
    for line in sys.stdin:
        if not line.startswith("run"):
            break
        seconds, done, passed = float(line.split()[1]), 0, 0.0
        cpu, start = time.process_time(), time.perf_counter()
        while done == 0 or passed + at_once * passed / done / 2 < seconds:
            for _ in range(at_once):
                step()
            done += at_once
            passed = time.perf_counter() - start
        print("did", done, passed, time.process_time() - cpu, flush=True)
    print("peak", peak_bytes(), flush=True)


main()
