"""PyTorch's side of the comparison: told a case by line on stdin, prepares it, and runs it as often as asked.

    {"kind": "attention", "n": 512, "causal": false, "backward": true}   ->  ready
    run                                                                  ->  milliseconds
"""
import ctypes
import json
import math
import sys
import time

import torch
from torch import nn

HEADS, DIM, D_MODEL, D_FF, LAYERS = 8, 64, 512, 2048, 6


def attention(q, k, v, mask):
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(DIM)
    if mask is not None:
        scores = scores + mask
    return torch.matmul(torch.softmax(scores, -1), v)


def attention_case(case):
    n = case["n"]
    q, k, v = (torch.randn(1, HEADS, n, DIM, requires_grad=case["backward"]) for _ in range(3))
    mask = torch.full((n, n), -math.inf).triu(1) if case["causal"] else None
    return lambda: attention(q, k, v, mask), [q, k, v]


def layer_case(case):
    x = torch.randn(1, case["n"], D_MODEL, requires_grad=case["backward"])
    if case["kind"] == "multi-head":
        layer = nn.MultiheadAttention(D_MODEL, HEADS, batch_first=True)
        forward = lambda: layer(x, x, x, need_weights=False)[0]
    else:
        one = nn.TransformerEncoderLayer(
            D_MODEL, HEADS, D_FF, dropout=0, batch_first=True, norm_first=case["norm"] == "pre"
        )
        layer = nn.TransformerEncoder(one, LAYERS)
        forward = lambda: layer(x)
    # dropout is 0, so that training mode computes the same; eval mode lets a forward pass take the fused path
    layer.train(case["backward"])
    return forward, [x, *layer.parameters()]


def prepared(case):
    forward, leaves = attention_case(case) if case["kind"] == "attention" else layer_case(case)
    if not case["backward"]:
        def run():
            with torch.inference_mode():
                forward()
        return run
    grad = torch.randn_like(forward())

    def run():
        for leaf in leaves:
            leaf.grad = None
        forward().backward(grad)
    return run


def blas():
    """The library that was loaded for matrix products, and which processor's kernels it has chosen."""
    loaded = {line.split()[-1] for line in open("/proc/self/maps") if "blas" in line}
    for path in sorted(loaded):
        library = ctypes.CDLL(path)
        if hasattr(library, "openblas_get_config"):
            library.openblas_get_config.restype = library.openblas_get_corename.restype = ctypes.c_char_p
            config, core = library.openblas_get_config().decode(), library.openblas_get_corename().decode()
            return f"{config.strip()}, kernels for {core}, {library.openblas_get_num_threads()} threads"
    return ", ".join(loaded) or "no BLAS"


def main():
    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[1]))
    torch.matmul(torch.ones(2, 2), torch.ones(2, 2))
    print(json.dumps({"version": torch.__version__, "threads": torch.get_num_threads(), "blas": blas()}), flush=True)
    run = None
    for line in sys.stdin:
        if line.strip() == "run":
            begin = time.perf_counter()
            run()
            print((time.perf_counter() - begin) * 1000, flush=True)
        else:
            run = prepared(json.loads(line))
            print("ready", flush=True)


main()
