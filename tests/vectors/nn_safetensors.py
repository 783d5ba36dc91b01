#!/usr/bin/env python3
"""A file written by the safetensors library, and a check of ours by it.

    python3 tests/vectors/nn_safetensors.py            writes nn_weights.safetensors
    python3 tests/vectors/nn_safetensors.py FILE       reads FILE, prints what it holds

Needs `pip install safetensors==0.4.5 numpy` (written with 0.4.5); the numbers are
number i of a tensor = i / 4 - 1.
"""
import os
import struct
import sys

import numpy as np
from safetensors import safe_open, serialize_file

HERE = os.path.dirname(os.path.abspath(__file__))


def numbers(n):
    return np.arange(n, dtype=np.float64) / 4 - 1


def bf16(x):
    return b"".join(struct.pack("<f", v)[2:] for v in x)


def main():
    if len(sys.argv) > 1:
        with safe_open(sys.argv[1], framework="np") as f:
            print(f.metadata())
            for key in f.keys():
                t = f.get_tensor(key)
                print(key, t.dtype, t.shape, float(t.astype(np.float64).sum()))
        return
    tensors = {
        "conv1.weight": {"dtype": "float32", "shape": [2, 1, 3, 3],
                         "data": numbers(18).astype("<f4").tobytes()},
        "bn1.running_mean": {"dtype": "float64", "shape": [5], "data": numbers(5).astype("<f8").tobytes()},
        "bn1.num_batches_tracked": {"dtype": "int64", "shape": [], "data": struct.pack("<q", 7)},
        "fc.weight": {"dtype": "bfloat16", "shape": [2, 3], "data": bf16(numbers(6))},
        "fc.bias": {"dtype": "float32", "shape": [2], "data": numbers(2).astype("<f4").tobytes()},
    }
    serialize_file(tensors, os.path.join(HERE, "nn_weights.safetensors"), {"made by": "safetensors"})


if __name__ == "__main__":
    main()
