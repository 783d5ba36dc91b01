#!/usr/bin/env python3
"""A network exported to ONNX by PyTorch, with an input and its output.

Writes nn_torch.onnx (opset 13, in the form that can still be trained: batch
normalisation and dropout are kept) and nn_torch.json.  Written with PyTorch
1.13 (Debian 12's python3-torch):

    /usr/bin/python3 tests/vectors/nn_torch_onnx.py
"""
import json
import os

import torch
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.conv3 = nn.Conv2d(4, 6, 3, stride=2, dilation=2)
        self.fc1 = nn.Linear(6, 10)
        self.fc2 = nn.Linear(10, 3)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = x + torch.sigmoid(self.conv2(x))
        x = F.relu(self.conv3(F.max_pool2d(x, 3, 2, padding=1)))
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        x = F.dropout(F.relu(self.fc1(x)), 0.25, self.training)
        return self.fc2(x)


def main():
    torch.manual_seed(1)
    net = Net()
    with torch.no_grad():
        for name, t in net.state_dict().items():
            if "running" in name:
                t.copy_(torch.rand_like(t) + 0.5)
    x = torch.randn(2, 1, 18, 18)
    torch.onnx.export(net, x, os.path.join(HERE, "nn_torch.onnx"), opset_version=13,
                      training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False,
                      input_names=["image"], output_names=["logits"],
                      dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}})
    net.eval()
    y = net(x)
    names = [k for k in net.state_dict() if not k.endswith("num_batches_tracked")]
    with open(os.path.join(HERE, "nn_torch.json"), "w") as f:
        json.dump({"input": [float("%.9g" % v) for v in x.reshape(-1).tolist()],
                   "output": [float("%.9g" % v) for v in y.reshape(-1).tolist()],
                   "names": names}, f)
        f.write("\n")


if __name__ == "__main__":
    main()
