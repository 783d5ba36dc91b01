#!/usr/bin/env python3
"""Networks exported to ONNX by PyTorch's two exporters, and one as Keras has it.

    python3 tests/vectors/ckpt_exports.py            writes exports/NAME.onnx and exports.json
    KEEP=DIR build/tests/ckpt/test_exports           leaves NAME.safetensors and NAME.onnx in DIR
    python3 tests/vectors/ckpt_exports.py DIR        loads those into the networks with
                                                     load_state_dict(strict=True), runs the others in
                                                     onnxruntime, compares the outputs

exports.json holds for every file an input, the output in evaluation mode (of PyTorch, or
of onnxruntime for the Keras one) and the names and shapes of its state_dict.  Needs torch, onnx,
onnxscript and onnxruntime; written with torch 2.15, onnx 1.23, onnxscript 0.7, onnxruntime 1.32.
"""
import json
import logging
import os
import struct
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


class Cnn(nn.Module):
    """Batch norm, dropout, a residual block; the batch's size is used by view."""
    shape = (1, 8, 8)

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.drop = nn.Dropout(0.3)
        self.fc1 = nn.Linear(16, 6)
        self.fc2 = nn.Linear(6, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.adaptive_avg_pool2d(x + self.block(x), 2)
        x = x.view(x.size(0), -1)
        return self.fc2(self.drop(F.relu(self.fc1(x))))


class Norms(nn.Module):
    """Every other normalisation, up-sampling, tokens."""
    shape = (2, 4, 4)

    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(2, 4, 3, padding=1)
        self.gn = nn.GroupNorm(2, 4)
        self.inn = nn.InstanceNorm2d(4, affine=True)
        self.ln = nn.LayerNorm(4)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.mlp = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 4))
        self.pr = nn.PReLU(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.up(F.silu(self.inn(self.pr(self.gn(self.c(x))))))
        x = x.flatten(2).transpose(1, 2)
        x = x + self.mlp(self.ln(x))
        return self.head(x.mean(1))


class Unet(nn.Module):
    """Sizes computed from shapes, padding, an attention gate, split and largest."""
    shape = (1, 8, 8)

    def __init__(self):
        super().__init__()
        self.d1 = nn.Conv2d(1, 4, 3, padding=1)
        self.d2 = nn.Conv2d(4, 6, 3, padding=1)
        self.up = nn.ConvTranspose2d(6, 4, 2, 2)
        self.att = nn.Conv2d(4, 1, 1)
        self.u1 = nn.Conv2d(8, 4, 3, padding=1)
        self.o = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        a = F.relu(self.d1(x))
        b = self.up(F.relu(self.d2(F.max_pool2d(a, 2))))
        b = F.interpolate(b, size=a.shape[2:], mode="nearest")
        x = torch.cat([a * torch.sigmoid(self.att(a)), b], 1)
        p, q = torch.chunk(x, 2, 1)
        return self.o(F.relu(self.u1(x))) + p.mean(1, keepdim=True) * 0.5 + q.max(dim=1, keepdim=True)[0]


class Vit(nn.Module):
    """A class token for every row, positions, attention."""
    shape = (1, 8, 8)

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(1, 6, 4, 4)
        self.pos = nn.Parameter(torch.randn(1, 5, 6) * 0.1)
        self.cls = nn.Parameter(torch.randn(1, 1, 6))
        self.norm = nn.LayerNorm(6)
        self.qkv = nn.Linear(6, 18)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.patch(x).flatten(2).permute(0, 2, 1)
        x = torch.cat([self.cls.expand(x.size(0), -1, -1), x], 1) + self.pos
        q, k, v = (t.view(x.size(0), 5, 2, 3).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, -1))
        a = ((q @ k.transpose(-2, -1)) * 3 ** -0.5).softmax(-1)
        return self.head((a @ v).transpose(1, 2).reshape(x.size(0), 5, 6)[:, 0])


class Encoder(nn.Module):
    """PyTorch's own encoder, whose attention has the batch second."""
    shape = (1, 8, 8)

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(1, 8, 4, 4)
        self.pos = nn.Parameter(torch.randn(1, 4, 8) * 0.1)
        self.enc = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, activation="gelu", batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.enc(self.patch(x).flatten(2).transpose(1, 2) + self.pos).mean(1))


class Attention(nn.Module):
    """Tokens first throughout, the weights of the attention asked for: products of (N heads, L, L)."""
    shape = (1, 8, 8)

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(1, 8, 4, 4)
        self.norm = nn.LayerNorm(8)
        self.att = nn.MultiheadAttention(8, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        t = self.patch(x).flatten(2).permute(2, 0, 1)
        n = self.norm(t)
        return self.head((t + self.att(n, n, n)[0]).mean(0))


# name: network, exporter, operator set, trainable form
EXPORTS = {
    "cnn_script9": (Cnn, "script", 9, True),
    "cnn_script13": (Cnn, "script", 13, True),
    "cnn_script13_folded": (Cnn, "script", 13, False),
    "cnn_dynamo18": (Cnn, "dynamo", 18, True),
    "cnn_dynamo18_folded": (Cnn, "dynamo", 18, False),
    "norms_script17": (Norms, "script", 17, True),
    "norms_dynamo20": (Norms, "dynamo", 20, True),
    "unet_script11": (Unet, "script", 11, True),
    "unet_dynamo18": (Unet, "dynamo", 18, True),
    "vit_script17": (Vit, "script", 17, True),
    "vit_dynamo18": (Vit, "dynamo", 18, True),
    "encoder_script17": (Encoder, "script", 17, True),
    "encoder_dynamo18": (Encoder, "dynamo", 18, True),
    "attention_script17": (Attention, "script", 17, True),
    "attention_dynamo18": (Attention, "dynamo", 18, True),
}


def make_net(kind):
    torch.manual_seed(1)
    net = kind()
    with torch.no_grad():
        for name, t in net.state_dict().items():
            if t.dtype == torch.float32 and t.dim() <= 1:  # nothing is as it started
                t.copy_(torch.rand_like(t) + 0.5)
    return net


def strip(path):
    """The exporter's notes on every node are larger than these models."""
    model = onnx.load(path)
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for thing in list(model.graph.node) + list(model.graph.value_info) + list(model.graph.input) + list(model.graph.output) + list(model.graph.initializer):
        thing.doc_string = ""
        if hasattr(thing, "metadata_props"):
            del thing.metadata_props[:]
    del model.graph.value_info[:]
    return model


def export(name):
    kind, exporter, opset, trainable = EXPORTS[name]
    net, path = make_net(kind), os.path.join(HERE, "exports", name + ".onnx")
    x = torch.randn(2, *kind.shape)
    net.train(trainable)
    ends = {"input_names": ["x"], "output_names": ["y"], "opset_version": opset}
    if exporter == "script":
        mode = torch.onnx.TrainingMode
        torch.onnx.export(net, (x,), path, dynamo=False, dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
                          training=mode.TRAINING if trainable else mode.EVAL, do_constant_folding=not trainable, **ends)
    else:
        torch.onnx.export(net, (x,), path, dynamo=True, dynamic_shapes=({0: torch.export.Dim("N")},),
                          optimize=not trainable, external_data=False, verbose=False, **ends)
    onnx.save(strip(path), path)
    net.eval()
    return x, net(x), {k: list(t.shape) for k, t in net.state_dict().items() if t.dtype == torch.float32}


def keras():
    """As tf2onnx writes it: NHWC outside, NCHW around convolutions, MatMul + Add."""
    rng = np.random.default_rng(1)
    shapes = {"model/conv2d/Conv2D/ReadVariableOp:0": (4, 2, 3, 3), "model/conv2d/BiasAdd/ReadVariableOp:0": (4,),
              "model/bn/gamma:0": (4,), "model/bn/beta:0": (4,), "model/bn/mean:0": (4,), "model/bn/var:0": (4,),
              "model/dense/MatMul/ReadVariableOp:0": (36, 5), "model/dense/BiasAdd/ReadVariableOp:0": (5,)}
    weights = [numpy_helper.from_array(rng.uniform(0.3, 1, s).astype(np.float32), n) for n, s in shapes.items()]
    weights.append(numpy_helper.from_array(np.array([-1, 36], dtype=np.int64), "const_fold_opt__12"))
    names = list(shapes)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t1"], "model/conv2d/Conv2D__6", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t1"] + names[:2], ["c1"], "model/conv2d/Conv2D", auto_pad="SAME_UPPER", kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1], group=1),
        helper.make_node("BatchNormalization", ["c1"] + names[2:6], ["b1"], "model/bn", epsilon=1e-3),
        helper.make_node("Relu", ["b1"], ["r1"], "model/relu"),
        helper.make_node("MaxPool", ["r1"], ["p1"], "model/pool", auto_pad="VALID", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Transpose", ["p1"], ["t2"], "model/pool__10", perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["t2", "const_fold_opt__12"], ["f1"], "model/flatten"),
        helper.make_node("MatMul", ["f1", names[6]], ["m1"], "model/dense/MatMul"),
        helper.make_node("Add", ["m1", names[7]], ["y"], "model/dense/BiasAdd"),
    ]
    graph = helper.make_graph(nodes, "keras", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6, 6, 2])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], producer_name="tf2onnx", ir_version=8)
    path = os.path.join(HERE, "exports", "keras15.onnx")
    onnx.save(model, path)
    x = rng.standard_normal((2, 6, 6, 2)).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(onnxruntime.InferenceSession(path).run(None, {"x": x})[0]), {k: list(s) for k, s in shapes.items()}


def numbers(t):
    return [float("%.9g" % v) for v in t.reshape(-1).tolist()]


def write():
    made = {name: export(name) for name in EXPORTS}
    made["keras15"] = keras()
    with open(os.path.join(HERE, "exports.json"), "w") as f:
        json.dump({n: {"input": numbers(x), "output": numbers(y), "names": names} for n, (x, y, names) in made.items()}, f)
        f.write("\n")


def read_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    header.pop("__metadata__", None)
    return {k: torch.from_numpy(np.frombuffer(data[slice(*v["data_offsets"])], dtype="<f4").reshape(v["shape"]).copy()) for k, v in header.items()}


def check(folder):
    with open(os.path.join(HERE, "exports.json")) as f:
        golden = json.load(f)
    worst = 0
    for name, g in golden.items():
        session = onnxruntime.InferenceSession(os.path.join(folder, name + ".onnx"))
        feed = session.get_inputs()[0]
        x = np.array(g["input"], dtype=np.float32).reshape([2] + feed.shape[1:])
        outputs = {"onnxruntime": session.run(None, {feed.name: x})[0]}
        if name in EXPORTS and EXPORTS[name][3]:
            net = EXPORTS[name][0]()
            print(name, net.load_state_dict(read_safetensors(os.path.join(folder, name + ".safetensors")), strict=True))
            net.eval()
            outputs["PyTorch"] = net(torch.from_numpy(x)).detach().numpy()
        for tool, y in outputs.items():
            apart = np.abs(y.reshape(-1) - g["output"]).max() / np.abs(g["output"]).max()
            print("%-24s %-12s outputs apart by %.1e" % (name, tool, apart))
            worst = max(worst, apart)
    sys.exit(0 if worst <= 1e-4 else "outputs differ")


if __name__ == "__main__":
    check(sys.argv[1]) if len(sys.argv) > 1 else write()
