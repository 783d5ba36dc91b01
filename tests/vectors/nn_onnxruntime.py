#!/usr/bin/env python3
"""Runs ONNX files that we wrote in onnxruntime and compares the outputs.

    KEEP=DIR build/tests/ckpt/test_onnx      leaves NAME.onnx and NAME.json in DIR
    python3 tests/vectors/nn_onnxruntime.py DIR

Needs `pip install onnx onnxruntime numpy`; checked with onnx 1.22 and
onnxruntime 1.23 or newer.  Not part of `make check`, which needs no network.
"""
import glob
import json
import sys

import numpy as np
import onnx
import onnxruntime

LIMIT = 1e-4  # relative


def main():
    worst = 0
    files = sorted(glob.glob(sys.argv[1] + "/*.onnx"))
    for path in files:
        onnx.checker.check_model(onnx.load(path), full_check=True)
        with open(path[:-5] + ".json") as f:
            golden = json.load(f)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        feed = session.get_inputs()[0]
        x = np.array(golden["input"], dtype=np.float32).reshape([-1] + feed.shape[1:])
        y = session.run(None, {feed.name: x})[0].reshape(-1)
        wanted = np.array(golden["output"])
        apart = np.abs(y - wanted).max() / max(np.abs(wanted).max(), 1e-30)
        print("%-60s %d rows, outputs apart by %.1e" % (path, len(x), apart))
        worst = max(worst, apart)
    sys.exit(0 if files and worst <= LIMIT else "outputs differ")


if __name__ == "__main__":
    main()
